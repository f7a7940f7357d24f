"""The command: plan, inspect, config, and every error in words with its exit code; without a server."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from flows.cli import main
from flows.config import compose_config
from flows.inspect import inspect
from flows.plan import price
from pipelines import cluster, sample
from siglino_core.config import Pick, Quota
from siglino_core.errors import ConfigError, StoreError
from siglino_core.report.numbers import hours, size
from siglino_core.store import Run
from tests.pools import pictures, write_files
from tests.stages import config, pool, write


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", os.environ.copy())  # the command sets defaults


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr(os, "fsync", lambda _: None)
    return write(Run(str(tmp_path / "run")), pool())


@pytest.mark.parametrize(
    ("argv", "code", "said"),
    [
        (["curate", "sed=1"], 2, "ConfigError: the command does not hold:\n  unknown key sed (did you mean seed?)"),
        (["curate", "--from", "sauce"], 2, "ConfigError: no such stage: sauce"),
        (["run", "--only", "embed", "--redo", "cluster"], 2, "ConfigError: cannot redo cluster"),
        (["curate", "embed.encoder=openclip"], 2, "ConfigError: embed.encoder=openclip: not one of "),
        (["run", "targets.teachers=[lit]"], 2, "ConfigError: targets.teachers=lit: not one of .*did you mean lite?"),
        (["plan", "seed=x"], 2, "ConfigError: the config does not hold:\n  seed: 'x' is not a whole number"),
        (["config", "experiment=dmo"], 2, "ConfigError: .*did you mean demo"),
        (["doctor", "+seed=1"], 2, "ConfigError: .*write seed=1"),
        (
            ["inspect", "/nowhere/run"],
            1,
            "StoreError: /nowhere/run: there is no run here. Start one with: siglino cur",
        ),
        (["plan", "source.uri=/nowhere/pool"], 1, "DataError: .*nowhere/pool"),
        (["report", "run=/nowhere/run", "sed=1"], 2, "unknown key sed"),
    ],
)
def test_errors_and_exit_codes(argv: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == code
    out, err = capsys.readouterr()
    assert all(line in err.replace("\n", " ") for line in said.replace("\n", " ").split(".*"))
    assert "Traceback" not in err
    assert out == ""


@pytest.mark.parametrize("argv", [[], ["fly"], ["inspect"], ["run", "--frm", "x"]])
def test_wrong_usage_is_two(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(argv)
    assert caught.value.code == 2
    assert "usage: siglino" in capsys.readouterr().err


def test_debug_shows_the_traceback() -> None:
    with pytest.raises(StoreError):
        main(["inspect", "--debug", "/nowhere"])


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    for word in ("--version", "--help"):
        with pytest.raises(SystemExit) as caught:
            main([word])
        assert caught.value.code == 0
    said = capsys.readouterr().out
    assert "siglino 0." in said
    assert all(c in said for c in ("plan", "curate", "run", "distill", "inspect", "report", "doctor", "config"))


def test_config_prints_what_it_resolved(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "experiment=demo", "seed=5"]) == 0
    out = capsys.readouterr().out
    assert "\nseed: 5  # number from which every random choice follows\n" in out
    assert "# experiments: demo, openlvd, openlvd-ground, openlvd-high, published, smoke" in out


def test_the_plan_prices_openlvd_without_the_pool(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "experiment=openlvd"]) == 0
    out = capsys.readouterr().out
    assert "2,300,000,000 images as configured, not listed" in out
    assert "Next: siglino curate experiment=openlvd" in out
    for stage in ("source", "embed", "cluster", "sample", "report"):
        assert f"  {stage} " in out
    assert "A100-hours" in out
    found = price(compose_config(["experiment=openlvd"])).estimates
    assert all(e.device_hours > 0 for e in found.values())
    assert found["cluster"].device == "A100"
    assert found["cluster"].device_hours > 10 * found["embed"].device_hours  # exact assignment is too dear: it says so
    # 2.3e9 ViT-B/16 passes of 35.9 GFLOP at 125 TFLOP/s.
    assert found["embed"].device_hours == pytest.approx(2.3e9 * 35.86e9 / 125e12 / 3600, rel=0.01)
    assert found["source"].bytes < 2.3e9 * 1000  # pointers, not images
    stored = price(compose_config(["experiment=openlvd", "source.keep=bytes"])).estimates["source"]
    assert stored.bytes > 2.3e9 * 50_000
    header = price(compose_config(["experiment=openlvd", "source.verify=header"])).estimates["source"]
    assert header.device_hours < found["source"].device_hours


def test_the_plan_of_a_listed_pool_does_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    uri = write_files(tmp_path / "pool", {f"{i}.jpg": d for i, d in enumerate(pictures(20))})
    words = [f"source.uri={uri}", f"run={tmp_path}/run", "cluster.num_clusters=[5]", "sample.target_size=10"]
    assert main(["plan", *words]) == 0
    assert "nothing is done yet" in capsys.readouterr().out
    assert sorted(p.name for p in tmp_path.iterdir()) == ["pool"]
    with pytest.raises(ConfigError) as caught:
        price(compose_config([*words, "sample.target_size=21", "cluster.num_clusters=[30]"]))
    assert str(caught.value) == (
        "sample.target_size=21 is larger than the pool (20 images)\n"
        "cluster.num_clusters=[30] asks for more centroids than images (20)"
    )


def seen(run: Run) -> str:
    out = io.StringIO()
    inspect(run.url, Console(file=out, width=160))
    return out.getvalue()


def test_inspect_of_a_begun_run(run: Run) -> None:
    text = seen(run)
    assert [line.split()[:3] for line in text.splitlines() if line.split()[1:2] == ["done"]] == [
        ["source", "done", "240"],
        ["embed", "done", "236"],
    ]
    assert "not begun" in text
    assert "truncated" in text  # embed's rejects

    class Stop(Exception):  # noqa: N818
        pass

    def stop(*a: object) -> None:
        if str(a[3]).startswith("assigned"):
            raise Stop

    with pytest.raises(Stop):
        cluster.run(config(), run, stop)
    assert "begun" in seen(run)
    assert "1/7" in seen(run)


def test_inspect_of_a_finished_sample(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    cluster.run(config(), run)
    facts = sample.run(config(), run).manifest.facts
    text = seen(run)
    for reason, count in facts["reasons"].items():
        assert any(line.split()[:2] == [reason, str(count)] for line in text.splitlines())
    assert "duplicates removed, then random" in text
    mean = facts["balance"]["curated"]["effective_labels"]["mean"]
    assert f"{mean:.1f} ±" in text
    assert "Cluster sizes, in images" in text
    assert "In DuckDB" in text or "DuckDB:" in text
    assert main(["inspect", run.url + "/"]) == 0
    assert "Sample, by reason" in capsys.readouterr().out


def test_a_reader_that_has_seen_enough(run: Run) -> None:
    command = f"{sys.executable} -m flows.cli config experiment=demo | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("run: ")
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


@pytest.mark.parametrize(
    ("n", "said"),
    [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (12_345_678, "12.3 MB"), (2.5e15, "2 PB"), (7e17, "700 PB")],
)
def test_bytes_for_people(n: float, said: str) -> None:
    assert size(n) == said


@pytest.mark.parametrize(("h", "said"), [(0.00123, "0.0012"), (0.5, "0.5"), (1.26, "1.3"), (12345.6, "12,346")])
def test_hours_for_people(h: float, said: str) -> None:
    assert hours(h) == said


def test_inspect_of_a_sample_without_a_draw_claims_no_spread(run: Run) -> None:
    recipe = config(sample={"pick": Pick.FACILITY, "quota": Quota.GLOBAL})
    cluster.run(recipe, run)
    mean = sample.run(recipe, run).manifest.facts["balance"]["curated"]["effective_labels"]["mean"]
    text = seen(run)
    (line,) = (line for line in text.splitlines() if line.split()[:1] == ["curated"] and f" {mean:.1f}" in line)
    assert "±" not in line
    assert "interval over 5 draws" in text
