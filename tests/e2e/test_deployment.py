"""`prefect deployment run`: curated, reused, distilled, evaluated, grounded; killed and resumed; a wrong parameter.

The deployment is the one of prefect.yaml but for its experiment: a tiny pool and a tiny DINOv3. The commands are typed
as a user types them at the repository's root; what they did is read from Prefect's API.
"""

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from siglino_core.models import SigLinoConfig
from siglino_core.models.hf_config import SigLinoHFConfig
from siglino_core.store import Run
from tests.e2e.tiny import write_encoder
from tests.pools import parquet_file, pictures
from tests.prefect_server import Server, logs, prefect_server, wait_for_run, work_pool, worker

REPO = Path(__file__).resolve().parents[2]
STAGES = ["source", "embed", "cluster", "sample", "report"]
IMAGES, TARGET = 120, 40
SIZE = {"min_pixels": 1024, "max_pixels": 1024}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900), pytest.mark.usefixtures("flow_worker")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the pool, the encoder and the experiment lie, and where the worker starts."""
    return tmp_path_factory.mktemp("deployment")


def write_student(path: Path) -> str:
    """A student's config, with as many registers as the tiny encoder."""
    shape = SigLinoConfig(width=32, layers=2, heads=2, head_dim=16, hidden=64, registers=1, teachers=())
    SigLinoHFConfig.of(shape).to_json_file(path)
    return str(path)


@pytest.fixture(scope="module")
def experiment(folder: Path) -> Path:
    labels = [f"class {i % 4}" for i in range(IMAGES)]
    parquet_file(folder / "pool.parquet", {"image": pictures(IMAGES), "label": labels})
    settings = {
        "run": "runs/tiny",
        "source": {"uri": str(folder / "pool.parquet"), "format": "parquet", "rows_per_shard": 24},
        "embed": {"encoder": f"dinov3:{write_encoder(folder / 'encoder')}", "image_size": 32},
        "cluster": {"num_clusters": [24, 6]},
        "sample": {"target_size": TARGET, "near_duplicate": 1},
        "report": {"map_points": 50, "clusters": 2, "images_per_cluster": 4},
        "runtime": {"runner": "local"},  # through Ray and Prefect together go the README's commands
        "targets": {
            "teachers": [f"dinov3:{folder / 'encoder'}"],
            "keep": "int8",
            "min_pixels": 1024,
            "max_pixels": 1024,
        },
        "train": {
            "student": write_student(folder / "student.json"),
            "pack": {"packs_per_step": 2, "capacity": 64},
            "optim": {"steps": 6, "warmup_steps": 1},
            "num_workers": 0,
            "trackers": [],
        },
        "expressions": {"train": [{"count": 12, "side": 64}], "test": [{"count": 4, "side": 64}]},
        "ground": {
            "min_pixels": 4096,
            "max_pixels": 4096,
            "shape": {"bins": 16},
            "pack": {"packs_per_step": 2, "capacity": 64},
            "optim": {"steps": 4, "warmup_steps": 1},
            "num_workers": 0,
            "trackers": [],
        },
    }
    (folder / "tiny.yaml").write_text(yaml.safe_dump(settings))
    return folder / "tiny.yaml"


@pytest.fixture(scope="module")
def server(folder: Path, experiment: Path) -> Iterator[Server]:
    """A server with the deployment."""
    project = yaml.safe_load((REPO / "prefect.yaml").read_text())
    for deployment in project["deployments"]:
        deployment["parameters"] = {"experiment": str(experiment)}
    (folder / "prefect.yaml").write_text(yaml.safe_dump(project))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(REPO), os.environ.get("PYTHONPATH")))))
        with prefect_server(folder) as server:
            work_pool(server, "siglino")
            server.prefect("--no-prompt", "deploy", "--all", "--prefect-file", str(folder / "prefect.yaml"), cwd=REPO)
            yield server


@pytest.fixture(scope="module")
def flow_worker(server: Server, folder: Path) -> Iterator[psutil.Process]:
    with worker(server, "siglino", cwd=folder) as process:
        yield psutil.Process(process.pid)


def start(server: Server, *parameters: str, name: str = "curate-openlvd") -> None:
    words = [word for parameter in parameters for word in ("-p", parameter)]
    started = server.prefect("deployment", "run", name, *words, cwd=REPO)
    flow = name.partition("/")[0]
    assert f"Creating flow run for deployment '{flow}/{flow}'" in started.stdout


def ended(server: Server, state: str, flow: str = "curate-openlvd") -> dict[str, Any]:
    run = wait_for_run(server, flow, seconds=300)
    assert run["state"]["type"] == state, logs(server, run)
    return run


def stage_states(server: Server, run: dict[str, Any]) -> dict[str, str]:
    """Stage by stage, what its task run's state is called."""
    wanted = {"flow_runs": {"id": {"any_": [run["id"]]}}, "sort": "EXPECTED_START_TIME_ASC"}
    return {t["name"].rpartition("-")[0]: t["state"]["name"] for t in server.api("/task_runs/filter", wanted)}


def said(server: Server, run: dict[str, Any], *, until: str) -> list[str]:
    """The lines of a run's log in the API, which come to it a little after the run has ended."""
    wanted = {"logs": {"flow_run_id": {"any_": [run["id"]]}}, "sort": "TIMESTAMP_ASC"}
    deadline = time.monotonic() + 30
    while True:
        lines = [line["message"] for line in server.api("/logs/filter", wanted)]
        if any(until in line for line in lines):
            return lines
        assert time.monotonic() < deadline, lines
        time.sleep(0.5)


def test_computed_then_reused_then_one_stage_alone(server: Server, folder: Path) -> None:
    start(server)
    first = ended(server, "COMPLETED")
    assert stage_states(server, first) == dict.fromkeys(STAGES, "Computed")
    run = Run(str(folder / "runs/tiny"))  # relative to where the worker was started
    digests = {stage: run.stage(stage).require().digest for stage in STAGES}
    lines = said(server, first, until="Finished in state Completed")
    assert sum("Computed" in line for line in lines) == len(STAGES), lines

    start(server, name="curate-openlvd/curate-openlvd")
    assert stage_states(server, ended(server, "COMPLETED")) == dict.fromkeys(STAGES, "Reused")
    assert digests == {stage: run.stage(stage).require().digest for stage in STAGES}

    start(server, name="distill-siglino")
    distilled = ended(server, "COMPLETED", "distill-siglino")
    assert stage_states(server, distilled) == dict.fromkeys(["targets", "train", "export"], "Computed")
    assert (folder / "runs/tiny/export/student/model.safetensors").is_file()

    start(server, name="evaluate-siglino")
    evaluated = ended(server, "COMPLETED", "evaluate-siglino")
    assert stage_states(server, evaluated) == {"evaluate": "Computed"}
    facts = run.stage("evaluate").require().facts
    assert {row["network"] for row in facts["headlines"]} >= {"student", "untrained", "dinov3"}
    assert (folder / "runs/tiny/evaluate/evaluation.html").is_file()
    start(server, 'redo=["evaluate"]', name="evaluate-siglino")
    assert stage_states(server, ended(server, "COMPLETED", "evaluate-siglino")) == {"evaluate": "Computed"}

    start(server, name="ground-siglino")
    grounded = ended(server, "COMPLETED", "ground-siglino")
    assert stage_states(server, grounded) == dict.fromkeys(["expressions", "ground", "answers"], "Computed")
    assert (folder / "runs/tiny/answers/grounding.html").is_file()
    assert run.stage("ground").require().identity["inputs"]["export"] == run.stage("export").require().digest
    start(server, 'redo=["answers"]', "only=answers", name="ground-siglino")
    assert stage_states(server, ended(server, "COMPLETED", "ground-siglino")) == {"answers": "Computed"}

    start(server, "only=sample", 'redo=["sample"]', 'overrides=["sample.target_size=20"]')
    assert stage_states(server, ended(server, "COMPLETED")) == {"sample": "Computed"}
    assert run.stage("sample").require().facts["reasons"]["kept"] == 20


@pytest.mark.soak
def test_killed_in_mid_embed_then_resumed(server: Server, flow_worker: psutil.Process, folder: Path) -> None:
    embed = folder / "runs/killed/embed"
    start(server, "run=runs/killed", 'overrides=["source.rows_per_shard=6"]')
    kill_flow_process(flow_worker, once=embed / "commits")
    crashed = ended(server, "CRASHED")
    assert stage_states(server, crashed)["source"] == "Computed"
    kept = {f: f.stat().st_mtime_ns for f in (embed / "commits").iterdir()}
    assert 0 < len(kept) < IMAGES // 6
    assert not (embed / "manifest.json").exists()

    start(server, "run=runs/killed", 'overrides=["source.rows_per_shard=6"]')
    expected = {"source": "Reused", "embed": "Resumed", "cluster": "Computed", "sample": "Computed"}
    assert stage_states(server, ended(server, "COMPLETED")) == {**expected, "report": "Computed"}
    assert {f: f.stat().st_mtime_ns for f in kept} == kept, "what was committed was done again"
    assert Run(str(folder / "runs/killed")).stage("embed").require().rows == IMAGES


def test_a_wrong_parameter_fails_once_and_says_how_to_mend_it(server: Server) -> None:
    start(server, "experiment=nonsense")
    run = ended(server, "FAILED")
    assert "ConfigError" in run["state"]["message"]
    assert "experiment=nonsense: there is no such experiment" in run["state"]["message"]
    assert run["run_count"] == 1
    assert stage_states(server, run) == {}
    assert "Traceback" not in "".join(said(server, run, until="Engine execution exited"))


@pytest.mark.soak
def test_the_bare_name_changes_nothing_else_in_prefect(server: Server) -> None:
    """Unknown and shared names fail as they do without the plugin; other commands say nothing of it."""
    off = {"PREFECT_PLUGINS_ENABLED": "false"}
    refusal = "Invalid deployment name format"

    def refused(name: str, **env: str) -> str:
        failed = server.prefect("deployment", "run", name, cwd=REPO, env=env, check=False)
        assert failed.returncode == 1, failed.stdout
        return failed.stdout + failed.stderr

    assert f"ValueError: {refusal}: no-such-thing. Expected format:" in refused("no-such-thing")
    assert "Deployment 'curate-openlvd/no-such-thing' not found!" in refused("curate-openlvd/no-such-thing")
    assert refusal in refused("curate-openlvd", **off), "without the plugin Prefect takes it: the plugin can go"
    namesake = server.api("/flows/", {"name": "another"})
    second = server.api("/deployments/", {"name": "curate-openlvd", "flow_id": namesake["id"]})
    assert f"{refusal}: curate-openlvd" in refused("curate-openlvd"), "two bear the name, and one was started"
    server.api(f"/deployments/{second['id']}", method="DELETE")
    with_plugin, without = (server.prefect("version", cwd=REPO, env=env) for env in ({}, off))
    assert (with_plugin.stdout, with_plugin.stderr) == (without.stdout, without.stderr)


def kill_flow_process(worker: psutil.Process, *, once: Path, seconds: float = 180) -> None:
    """Kill -9 the flow's process and all that it started, as soon as ``once`` holds a file."""
    deadline = time.monotonic() + seconds
    while not (once.is_dir() and any(once.glob("*.json"))):
        assert time.monotonic() < deadline, f"nothing came to {once}"
        time.sleep(0.005)
    for process in worker.children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            process.kill()
