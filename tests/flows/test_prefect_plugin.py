"""The bare deployment name: how it is resolved, and that nothing but that changes in Prefect."""

from __future__ import annotations

import asyncio
import inspect
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from prefect.client import orchestration
from prefect.client.schemas import filters

from flows import prefect_plugin
from tests.prefect_server import Server, logs, prefect_server, wait_for_run, work_pool, worker

REPO = Path(__file__).resolve().parents[2]
REFUSAL = "Invalid deployment name format"
KINDS = ("async", "sync")


class Api:
    """The deployments a fake client sees, and the questions it was asked."""

    def __init__(self, *names: str, failure: Exception | None = None) -> None:
        self.deployments = [SimpleNamespace(flow=name.split("/")[0], name=name.split("/")[1]) for name in names]
        self.failure = failure
        self.questions = 0

    def by_name(self, name: str) -> Any:
        try:
            flow, deployment = name.split("/")
        except ValueError as error:
            raise ValueError(f"{REFUSAL}: {name}.") from error
        return next(d for d in self.deployments if (d.flow, d.name) == (flow, deployment))

    def matching(self, deployment_filter: Any, limit: int) -> list[Any]:
        self.questions += 1
        if self.failure:
            raise self.failure
        return [d for d in self.deployments if d.name in deployment_filter.name.any_][:limit]


def client(kind: str, api: Api) -> Any:
    """A client with Prefect's look-ups, taught bare names."""

    class Async:
        async def read_deployment_by_name(self, name: str) -> Any:
            return api.by_name(name)

        async def read_deployments(self, *, deployment_filter: Any, limit: int) -> list[Any]:
            return api.matching(deployment_filter, limit)

    class Sync:
        def read_deployment_by_name(self, name: str) -> Any:
            return api.by_name(name)

        def read_deployments(self, *, deployment_filter: Any, limit: int) -> list[Any]:
            return api.matching(deployment_filter, limit)

    if kind == "async":
        assert prefect_plugin.teach_bare_names(Async, prefect_plugin._async_lookup)
        return Async()
    assert prefect_plugin.teach_bare_names(Sync, prefect_plugin._sync_lookup)
    return Sync()


def look_up(client: Any, name: str) -> Any:
    found = client.read_deployment_by_name(name)
    return asyncio.run(found) if inspect.iscoroutine(found) else found


@pytest.mark.parametrize("kind", KINDS)
def test_a_bare_name_that_one_deployment_bears_is_that_deployment(kind: str) -> None:
    api = Api("curate/openlvd", "distil/openlvd-student")
    assert look_up(client(kind, api), "openlvd") is api.deployments[0]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("names", [(), ("other/thing",), ("a/openlvd", "b/openlvd"), ("a/openlvd",) * 3])
def test_a_bare_name_of_none_or_several_keeps_prefects_refusal(kind: str, names: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=f"^{REFUSAL}: openlvd.$"):
        look_up(client(kind, Api(*names)), "openlvd")


@pytest.mark.parametrize("kind", KINDS)
def test_a_name_with_a_slash_is_left_to_prefect(kind: str) -> None:
    api = Api("a/openlvd", "b/openlvd")
    taught = client(kind, api)
    assert look_up(taught, "b/openlvd") is api.deployments[1]
    with pytest.raises(ValueError, match=f"^{REFUSAL}: a/b/openlvd.$"):
        look_up(taught, "a/b/openlvd")
    assert api.questions == 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_failure_of_our_own_question_keeps_prefects_refusal(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    api = Api("curate/openlvd", failure=TypeError("read_deployments() got an unexpected argument"))
    with pytest.raises(ValueError, match=REFUSAL):
        look_up(client(kind, api), "openlvd")
    monkeypatch.delattr(filters, "DeploymentFilterName")
    with pytest.raises(ValueError, match=REFUSAL):
        look_up(client(kind, Api("curate/openlvd")), "openlvd")


@pytest.mark.parametrize("kind", KINDS)
def test_an_api_out_of_reach_is_not_called_a_bad_name(kind: str) -> None:
    with pytest.raises(httpx.ConnectError, match="refused"):
        look_up(client(kind, Api(failure=httpx.ConnectError("refused"))), "openlvd")


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Prefect's own look-ups by client, put back in place for the test and whatever it does to them."""
    found = {}
    for name in ("PrefectClient", "SyncPrefectClient"):
        real = getattr(orchestration, name)
        found[name] = inspect.unwrap(real.read_deployment_by_name)
        monkeypatch.setattr(real, "read_deployment_by_name", found[name])
    return found


def test_both_clients_are_taught_once(plain: dict[str, Any]) -> None:
    prefect_plugin.setup_environment(ctx=None)
    taught = {name: getattr(orchestration, name).read_deployment_by_name for name in plain}
    for name, wrapper in taught.items():
        assert wrapper is not plain[name]
        assert wrapper.__wrapped__ is plain[name]
    prefect_plugin.setup_environment(ctx=None)
    assert taught == {name: getattr(orchestration, name).read_deployment_by_name for name in plain}


def test_a_look_up_of_another_shape_is_left_alone() -> None:
    class Renamed:
        async def read_deployment_by_name(self, flow: str, deployment: str) -> None: ...

    class NowSync:
        def read_deployment_by_name(self, name: str) -> None: ...

    for changed in (Renamed, NowSync):
        before = changed.read_deployment_by_name
        assert not prefect_plugin.teach_bare_names(changed, prefect_plugin._async_lookup)
        assert changed.read_deployment_by_name is before


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize("missing", ["PrefectClient", "SyncPrefectClient"])
def test_a_prefect_without_a_client_or_its_look_up_does_not_break_the_hook(
    missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orchestration, missing, type("Changed", (), {}))
    prefect_plugin.setup_environment(ctx=None)
    assert not hasattr(getattr(orchestration, missing), "read_deployment_by_name")
    monkeypatch.delattr(orchestration, missing)
    prefect_plugin.setup_environment(ctx=None)


def test_the_plugin_imports_light_and_without_prefects_plugin_api() -> None:
    code = (
        "import sys; sys.modules['prefect.plugins'] = None\n"
        "from flows import prefect_plugin\n"
        "prefect_plugin.setup_environment(ctx=None)\n"
        "heavy = {'ray', 'torch', 'hydra', 'faiss', 'pyarrow'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], cwd=REPO, check=True, timeout=120)


@pytest.fixture
def as_installed(tmp_path: Path) -> dict[str, str]:
    """An environment in which this checkout is installed, as far as Prefect's search for plugins can tell.

    The entry point is the one that pyproject.toml declares; another install of the project is overlaid.
    """
    project = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]
    metadata = tmp_path / "site" / "siglino-0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: siglino\nVersion: 0\n")
    declared = project["entry-points"]["prefect.plugins"].items()
    lines = "".join(f"{name} = {module}\n" for name, module in declared)
    (metadata / "entry_points.txt").write_text(f"[prefect.plugins]\n{lines}")
    return {"PYTHONPATH": os.pathsep.join((str(metadata.parent), str(REPO)))}


TINY_FLOW = """
from pathlib import Path
from prefect import flow

@flow
def tiny(n: int = 1) -> None:
    Path("ran").write_text(str(n))
"""

TINY_PROJECT = """
name: tiny
pull:
  - prefect.deployments.steps.set_working_directory:
      directory: "{{ $TINY_PROJECT }}"
deployments:
  - name: bare-name
    entrypoint: tiny.py:tiny
    parameters: {n: 2}
    work_pool: {name: tiny-pool}
"""


@pytest.mark.slow
def test_deployment_run_takes_the_bare_name(tmp_path: Path, as_installed: dict[str, str]) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "tiny.py").write_text(TINY_FLOW)
    (project / "prefect.yaml").write_text(TINY_PROJECT)
    with prefect_server(tmp_path) as server:
        work_pool(server, "tiny-pool")
        server.prefect("--no-prompt", "deploy", "--all", cwd=project, env={"TINY_PROJECT": str(project)})
        with worker(server, "tiny-pool", cwd=tmp_path):
            started = server.prefect("deployment", "run", "bare-name", "--param", "n=3", cwd=REPO, env=as_installed)
            assert "Creating flow run for deployment 'tiny/bare-name'" in started.stdout
            run = wait_for_run(server, "bare-name")
            assert run["state"]["type"] == "COMPLETED", logs(server, run)
        assert (project / "ran").read_text() == "3"
        _the_rest_of_prefect_is_as_it_was(server, as_installed)


def _the_rest_of_prefect_is_as_it_was(server: Server, as_installed: dict[str, str]) -> None:
    """Unknown and shared names fail as they do without the plugin; other commands say nothing of it."""
    off = {**as_installed, "PREFECT_PLUGINS_ENABLED": "false"}
    for name, message in (
        ("no-such-thing", f"ValueError: {REFUSAL}: no-such-thing. Expected format:"),
        ("tiny/no-such-thing", "Deployment 'tiny/no-such-thing' not found!"),
    ):
        for env in (as_installed, off):
            failed = server.prefect("deployment", "run", name, cwd=REPO, env=env, check=False)
            assert failed.returncode == 1
            assert message in failed.stdout + failed.stderr
    refused = server.prefect("deployment", "run", "bare-name", cwd=REPO, env=off, check=False)
    assert refused.returncode == 1, "without the plugin Prefect takes the bare name: the plugin can go"
    namesake = server.api("/flows/", {"name": "another"})
    server.api("/deployments/", {"name": "bare-name", "flow_id": namesake["id"]})
    refused = server.prefect("deployment", "run", "bare-name", cwd=REPO, env=as_installed, check=False)
    assert refused.returncode == 1, "two deployments bear the name, and one of them was started"
    assert f"{REFUSAL}: bare-name" in refused.stderr
    for command in (("version",), ("deployment", "ls")):
        with_plugin, without = (server.prefect(*command, cwd=REPO, env=env) for env in (as_installed, off))
        assert (with_plugin.stdout, with_plugin.stderr) == (without.stdout, without.stderr)
