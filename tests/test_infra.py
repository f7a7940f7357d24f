"""infra/ and prefect.yaml: what can be checked without a cluster."""

import os
import re
import shlex
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

REPO = Path(__file__).resolve().parents[1]
INFRA = REPO / "infra"
SCRIPT = INFRA / "slurm/curate.sbatch"
TEXTS = sorted(p for p in INFRA.rglob("*") if p.is_file())


def manifest(name: str) -> Any:
    return yaml.safe_load((INFRA / "kuberay" / name).read_text())


@pytest.mark.parametrize("path", TEXTS, ids=lambda p: str(p.relative_to(INFRA)))
def test_files_say_what_they_are_and_on_what_they_were_tested(path: Path) -> None:
    text = path.read_text()
    assert text.startswith("#"), "the first line says what the file is for"
    assert "Tested: " in text[:2000] or "Tested: " in (path.parent / "README.md").read_text()
    for secret in ("AWS_SECRET_ACCESS_KEY=", "AKIA", "BEGIN PRIVATE KEY", "password:"):
        assert secret not in text


def test_job_and_cluster_are_the_same_cluster() -> None:
    cluster, job = manifest("raycluster.yaml"), manifest("rayjob.yaml")
    assert (cluster["kind"], job["kind"]) == ("RayCluster", "RayJob")
    spec = cluster["spec"]
    assert job["spec"]["rayClusterSpec"] == spec
    assert spec["authOptions"] == {"mode": "token"}
    head, (workers,) = spec["headGroupSpec"], spec["workerGroupSpecs"]
    for group in (head, workers):
        pod = group["template"]["spec"]
        (container,) = pod["containers"]
        assert {m["name"] for m in container["volumeMounts"]} == {v["name"] for v in pod["volumes"]}
        assert container["resources"]["requests"] == container["resources"]["limits"]
        assert pod["securityContext"]["runAsNonRoot"]
    gpus = workers["template"]["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"]
    assert gpus == workers["rayStartParams"]["num-gpus"] == "8"
    assert head["rayStartParams"]["num-cpus"] == "0"


def test_the_manifests_commands_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    from flows.arguments import parsed
    from flows.config import compose_config

    words = manifest("rayjob.yaml")["spec"]["entrypoint"].split()
    arguments = parsed(words[1:])
    assert compose_config(arguments.settings).runtime.address == "auto"
    version = manifest("raycluster.yaml")["spec"]["rayVersion"]
    assert version.split(".")[:2] == ray.__version__.split(".")[:2]


@pytest.mark.parametrize(
    "path", ["docs/operations.md", "docs/evaluation.md", "infra/prefect/README.md", "infra/kuberay/README.md"]
)
def test_the_notes_commands_and_settings_exist(path: str) -> None:
    from prefect.utilities.callables import parameter_schema

    from flows.arguments import parsed
    from flows.config import compose_config
    from flows.curate import curate
    from flows.distill import distill
    from flows.evaluate import evaluate
    from flows.ground import ground

    flows = {flow.name: flow for flow in (curate, distill, evaluate, ground)}
    commands = [
        shlex.split(line, comments=True)
        for block in re.findall(r"```(?:sh|bash)\n(.*?)```", (REPO / path).read_text(), re.S)
        for line in block.splitlines()
    ]
    for program, *words in filter(None, commands):
        if program == "siglino":
            arguments = parsed(words)
            compose_config(getattr(arguments, "settings", []))
        elif program == "kubectl" and "-f" in words and words[-1].endswith(".yaml"):
            assert (REPO / words[-1]).is_file()
        elif words[:2] == ["deployment", "run"]:
            given = [w.partition("=")[0] for w in words if "=" in w]
            assert set(given) <= parameter_schema(flows[words[2].rpartition("/")[2]]).properties.keys()


def test_the_image_runs_without_root_and_without_secrets() -> None:
    lines = (INFRA / "docker/Dockerfile").read_text().splitlines()
    assert "FROM python:3.11-slim" in lines
    assert "USER siglino" in lines
    installed = next(i for i, line in enumerate(lines) if "pip install" in line)
    assert lines.index("USER siglino") > installed
    assert not any(line.startswith("COPY . ") for line in lines)


def test_prefect_yaml_names_no_machine_and_its_parameters_hold() -> None:
    from flows.config import compose_config
    from flows.curate import curate
    from flows.distill import distill
    from flows.evaluate import evaluate
    from flows.ground import ground

    project = yaml.safe_load((REPO / "prefect.yaml").read_text())
    entries = {"curate-openlvd": "flows.curate.curate", "distill-siglino": "flows.distill.distill"}
    entries |= {"evaluate-siglino": "flows.evaluate.evaluate", "ground-siglino": "flows.ground.ground"}
    assert [d["name"] for d in project["deployments"]] == list(entries)
    for deployment, flow in zip(project["deployments"], (curate, distill, evaluate, ground), strict=True):
        assert deployment["entrypoint"] == entries[flow.name]
        assert deployment["description"]
        assert deployment["concurrency_limit"] == 1
        assert deployment["work_pool"] == {"name": "siglino", "job_variables": {"working_dir": "."}}
        assert flow.validate_parameters(deployment["parameters"])["experiment"] == "demo"
    assert project["pull"] == [{"prefect.deployments.steps.set_working_directory": {"directory": "."}}]
    assert compose_config(["experiment=demo"]).run == "runs/demo"


@pytest.mark.parametrize(
    ("command", "flow"),
    [("curate", "curate"), ("distill", "distill"), ("evaluate", "evaluate"), ("ground", "ground"), ("run", "run_path")],
)
def test_the_form_lists_the_stages(command: str, flow: str) -> None:
    from importlib import import_module

    from prefect.utilities.callables import parameter_schema

    from flows.stages import COMMANDS

    stages = list(COMMANDS[command])
    schema = parameter_schema(getattr(import_module(f"flows.{command}"), flow))
    properties = schema.model_dump()["properties"]
    assert all(p["description"] for p in properties.values())

    def listed(form: dict[str, Any]) -> list[str]:
        return form["enum"] if "enum" in form else [form["const"]]

    assert listed(properties["only"]["anyOf"][0]) == stages
    assert listed(properties["from_stage"]["anyOf"][0]) == stages
    assert listed(properties["redo"]["anyOf"][0]["items"]) == stages


STAND_INS = {
    "scontrol": "echo node-a; echo node-b",
    "srun": 'while [[ $1 == --* ]]; do shift; done; echo "$@" >> "$CALLS"; exec "$@"',
    "ray": """[[ $1 == start ]] || exit 0
trap 'echo gone >> "$CALLS"; exit 0' TERM
echo up >> "$CALLS"
while :; do sleep 0.1; done""",
    "siglino": """until [[ $(grep -c ^up "$CALLS") == 2 ]]; do sleep 0.05; done
echo "works $RAY_AUTH_MODE ${#RAY_AUTH_TOKEN} $RAY_ADDRESS" >> "$CALLS"
sleep "${WORK:-0}"
exit 3""",
}


@pytest.fixture
def slurm(tmp_path: Path) -> dict[str, str]:
    """An environment with stand-ins for Slurm, Ray and our command on two nodes; each says how it was called."""
    for name, body in STAND_INS.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{body}\n")
        (tmp_path / name).chmod(0o755)
    return {
        **os.environ,
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "CALLS": str(tmp_path / "calls"),
        "SLURM_JOB_ID": "7",
        "SLURM_JOB_NODELIST": "node-[a-b]",
        "SLURM_GPUS_ON_NODE": "8",
        "SLURM_CPUS_PER_TASK": "96",
    }


def test_slurm_starts_head_and_workers_then_ends_them_with_the_runs_exit_code(slurm: dict[str, str]) -> None:
    subprocess.run(["bash", "-n", str(SCRIPT)], check=True)
    done = subprocess.run([str(SCRIPT), "experiment=demo"], env=slurm, timeout=60, capture_output=True, text=True)
    assert done.returncode == 3, done.stderr
    calls = Path(slurm["CALLS"]).read_text().splitlines()
    starts = [c for c in calls if c.startswith("ray start")]
    assert sorted("--head" in c for c in starts) == [False, True]
    assert all("--num-gpus=8" in c and "--num-cpus=96" in c and "--block" in c for c in starts)
    assert "siglino curate runtime.address=auto experiment=demo" in calls
    assert any(c.startswith("works token 64 ") and c.endswith(":6379") for c in calls)
    assert calls.count("gone") == 2


def test_slurm_heeds_the_signal_at_the_end_of_its_time(slurm: dict[str, str]) -> None:
    with subprocess.Popen([str(SCRIPT), "experiment=demo"], env={**slurm, "WORK": "300"}) as script:
        calls, deadline = Path(slurm["CALLS"]), time.monotonic() + 30
        while not (calls.exists() and "works" in calls.read_text()):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        script.send_signal(signal.SIGTERM)
        assert script.wait(timeout=30) == 143
    assert calls.read_text().splitlines().count("gone") == 2
