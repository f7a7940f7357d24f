"""A real Prefect server, work pools and workers for tests: own processes, own home, a loopback port.

    with prefect_server(tmp_path) as server:
        work_pool(server, "pool")
        server.prefect("--no-prompt", "deploy", "--all", cwd=project)
        with worker(server, "pool", cwd=project):
            server.prefect("deployment", "run", "flow/deployment", cwd=project)
            run = wait_for_run(server, "deployment")
            assert run["state"]["type"] == "COMPLETED", logs(server, run)

Whatever is started here ends with its `with` block, its children included.
"""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.ports import reserve
from tests.process import running

PREFECT = Path(sys.executable).with_name("prefect")
FINAL_STATES = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}

_loopback = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True, kw_only=True)
class Server:
    """A running server: `env` points a process at it, `url` is its API, `home` holds its state and logs."""

    env: Mapping[str, str]
    url: str
    home: Path

    def prefect(
        self, *args: str, cwd: Path, env: Mapping[str, str] | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run the `prefect` command as a user at `cwd` would, without a terminal; `env` is added to ours.

        Raises AssertionError with the command's output when it fails, unless `check` is off.
        """
        done = subprocess.run(
            [str(PREFECT), *args],
            cwd=cwd,
            env={**self.env, **(env or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=180,
        )
        if check and done.returncode:
            command = " ".join(("prefect", *args))
            raise AssertionError(f"{command}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def api(self, path: str, body: Any = None, *, method: str | None = None) -> Any:
        """JSON from the API: a GET, or a POST where there is a body."""
        request = urllib.request.Request(
            self.url + path,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
            method=method,
        )
        tries = 0
        while True:
            try:
                with _loopback.open(request, timeout=30) as answer:
                    return json.loads(answer.read() or "null")
            except urllib.error.HTTPError as e:
                tries += 1
                if e.code != 503 or tries == 5:  # its database is busy: Prefect's own clients ask again, too
                    raise
                time.sleep(1)


@contextmanager
def prefect_server(tmp: Path, *, startup_seconds: float = 120) -> Iterator[Server]:
    """A server of its own under `tmp`, ready to answer; gone with its children when the block ends.

    Settings of the machine (`PREFECT_*`, profiles, proxies for loopback) do not reach it, it sends no
    analytics, and polling is quick so that tests are.
    """
    home = tmp / "prefect-home"
    home.mkdir(parents=True)
    (port,), reserved = reserve(1)
    url = f"http://127.0.0.1:{port}/api"
    env = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")}
    env |= {
        "PREFECT_HOME": str(home),
        "PREFECT_API_URL": url,
        "PREFECT_SERVER_API_HOST": "127.0.0.1",
        "PREFECT_SERVER_API_PORT": str(port),
        "PREFECT_SERVER_UI_ENABLED": "false",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_WORKER_QUERY_SECONDS": "2",
        "PREFECT_RUNNER_POLL_FREQUENCY": "2",
        "PREFECT_CLI_COLORS": "false",
        "PREFECT_CLI_WRAP_LINES": "false",
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
    }
    log = home / "server.log"
    with reserved, running([str(PREFECT), "server", "start"], cwd=home, env=env, log=log) as process:
        deadline = time.monotonic() + startup_seconds
        while not _healthy(url):
            if process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"the Prefect server did not start:\n{log.read_text()}")
            time.sleep(0.2)
        yield Server(env=env, url=url, home=home)


def work_pool(server: Server, name: str) -> None:
    """Create a work pool of type process."""
    server.prefect("work-pool", "create", "--type", "process", name, cwd=server.home)


@contextmanager
def worker(
    server: Server, pool: str, cwd: Path, *, env: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A worker that serves `pool` from `cwd` until the block ends; logs to `<home>/worker-<pool>.log`.

    Workers run with Prefect's plugins off, as ours do everywhere.
    """
    with running(
        [str(PREFECT), "worker", "start", "--pool", pool, "--type", "process"],
        cwd=cwd,
        env={**server.env, "PREFECT_PLUGINS_ENABLED": "false", **(env or {})},
        log=server.home / f"worker-{pool}.log",
    ) as process:
        yield process


def wait_for_run(server: Server, deployment: str, *, seconds: float = 120) -> dict[str, Any]:
    """The deployment's newest flow run, once its state is final; AssertionError after `seconds`."""
    wanted = {"deployments": {"name": {"any_": [deployment]}}, "sort": "EXPECTED_START_TIME_DESC", "limit": 1}
    deadline = time.monotonic() + seconds
    while True:
        runs = server.api("/flow_runs/filter", wanted)
        if runs and runs[0]["state_type"] in FINAL_STATES:
            return runs[0]
        if time.monotonic() > deadline:
            state = runs[0]["state"] if runs else "no run"
            raise AssertionError(f"no final state after {seconds} s: {state}\n{_process_logs(server)}")
        time.sleep(0.5)


def logs(server: Server, run: Mapping[str, Any]) -> str:
    """What explains a run: its own log lines, then the output of the server and the workers."""
    wanted = {"logs": {"flow_run_id": {"any_": [run["id"]]}}, "sort": "TIMESTAMP_ASC"}
    lines = [line["message"] for line in server.api("/logs/filter", wanted)]
    return "\n".join([*lines, _process_logs(server)])


def _process_logs(server: Server) -> str:
    tails = ((log.name, log.read_text()[-4000:]) for log in sorted(server.home.glob("*.log")))
    return "\n".join(f"--- {name}\n{tail}" for name, tail in tails)


def _healthy(url: str) -> bool:
    try:
        with _loopback.open(url + "/health", timeout=5) as answer:
            return answer.status == 200
    except (urllib.error.URLError, OSError, http.client.HTTPException):
        return False
