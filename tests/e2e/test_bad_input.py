"""What a user, a disk or a killer gets wrong: one clear message, the right exit code, and a re-run that mends it."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from siglino_core.store import Run
from tests.e2e.tiny import Tiny, contents, count, digests, leftovers, one_message

pytestmark = pytest.mark.slow

USAGE, FAILED = 2, 1


def _refused(tiny: Tiny, code: int, *arguments: str, says: tuple[str, ...]) -> None:
    done = tiny.siglino(*arguments)
    assert done.returncode == code, done.stdout + done.stderr
    one_message(done.stderr, *says)


@pytest.fixture
def run(undisturbed: Path, tmp_path: Path) -> Path:
    """A finished run of one's own to spoil."""
    return shutil.copytree(undisturbed, tmp_path / "run")


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("nonsense=1", ("unknown key nonsense",)),
        ("sample.targetsize=9", ("unknown key sample.targetsize", "did you mean sample.target_size?")),
        ("+cluster.n_clusters=[3]", ("cluster.n_clusters", "did you mean cluster.num_clusters?")),
        ("cluster.num_clusters=[6,24]", ("cluster.num_clusters", "[6, 24]", "does not decrease")),
        ("sample.target_size=0", ("sample.target_size", "below 1")),
        ("embed.precision=half", ("embed.precision", "auto, fp32, bf16")),
    ],
)
def test_settings_that_cannot_be(tiny: Tiny, tmp_path: Path, word: str, says: tuple[str, ...]) -> None:
    _refused(tiny, USAGE, "curate", *tiny.words(tmp_path / "run"), word, says=says)
    assert not (tmp_path / "run").exists(), "nothing is begun"


def test_more_than_the_pool_is_refused_before_embedding(tiny: Tiny, tmp_path: Path) -> None:
    run = tmp_path / "run"
    words = tiny.words(run, "sample.target_size=245", "cluster.num_clusters=[250,6]")  # of 262 rows
    done = tiny.siglino("curate", *words)
    assert done.returncode == USAGE, done.stdout
    one_message(done.stderr, "sample.target_size=245 is larger than the pool (244 images)")
    one_message(done.stderr, "cluster.num_clusters=[250, 6] asks for more centroids than images (244)")
    assert (run / "source/manifest.json").exists()
    assert not (run / "embed").exists()


def test_a_target_that_duplicates_make_impossible(tiny: Tiny, run: Path) -> None:
    before = digests(run, "sample")
    _refused(
        tiny,
        USAGE,
        "curate",
        "--redo",
        "sample",
        *tiny.words(run, "sample.target_size=244"),
        says=("sample.target_size=244", "are left when duplicates, outliers and rejects are gone", "Ask for at most"),
    )
    assert digests(run, "sample") == before, "what stood stands"


def test_a_pool_that_is_not_there(tiny: Tiny, tmp_path: Path) -> None:
    missing = tmp_path / "no" / "pool"
    _refused(
        tiny,
        FAILED,
        "curate",
        *tiny.words(tmp_path / "run", f"source.uri={missing}"),
        says=("DataError", str(missing), "nothing is there"),
    )
    assert not list(tmp_path.rglob("plan.json")), "nothing is begun"


def test_another_config_is_named_and_redo_mends_it(tiny: Tiny, run: Path, undisturbed: Path) -> None:
    other = tiny.words(run, "cluster.iterations=1")
    _refused(tiny, USAGE, "curate", *other, says=("cluster", "iterations: 2 there, 1 here", "--redo cluster"))
    assert contents(run) == contents(undisturbed), "a refusal changes nothing"
    out = tiny.run(run, "cluster.iterations=1", "--redo=cluster")
    states = {line.split()[0]: line.split()[1] for line in out.splitlines() if "shards" in line and "rows" in line}
    assert states["source"] == states["embed"] == "Reused"
    assert states["cluster"] == states["sample"] == states["report"] == "Computed"


def test_another_target_remakes_sample_and_report_alone(tiny: Tiny, run: Path, undisturbed: Path) -> None:
    out = tiny.run(run, "sample.target_size=40", "--redo=sample")
    states = {line.split()[0]: line.split()[1] for line in out.splitlines() if "shards" in line and "rows" in line}
    assert states == {
        "source": "Reused",
        "embed": "Reused",
        "cluster": "Reused",
        "sample": "Computed",
        "report": "Computed",
    }
    manifest = Run(str(run)).stage("sample").require()
    assert manifest.facts["kept"] == 40
    same = {stage: digest for stage, digest in digests(undisturbed).items() if stage != "sample"}
    assert {stage: digest for stage, digest in digests(run).items() if stage != "sample"} == same
    assert leftovers(run) == []


@pytest.mark.parametrize("words", [["--only", "cluster"], ["--from", "sample"]])
def test_a_stage_without_its_parents(tiny: Tiny, tmp_path: Path, words: list[str]) -> None:
    _refused(tiny, FAILED, "curate", *words, *tiny.words(tmp_path / "run"), says=("StoreError", "is not finished"))
    assert not list(tmp_path.rglob("plan.json")), "nothing is begun"


def test_a_stage_that_there_is_not(tiny: Tiny, tmp_path: Path) -> None:
    _refused(
        tiny, USAGE, "curate", "--only", "clutser", *tiny.words(tmp_path / "run"), says=("no such stage: clutser",)
    )
    assert not (tmp_path / "run").exists(), "nothing is begun"


def test_a_file_where_the_run_should_be(tiny: Tiny, tmp_path: Path) -> None:
    (tmp_path / "run").write_text("mine")
    _refused(tiny, FAILED, "curate", *tiny.words(tmp_path / "run"), says=("StoreError", str(tmp_path / "run")))
    assert (tmp_path / "run").read_text() == "mine"


def test_a_stranger_where_a_stage_should_be(tiny: Tiny, run: Path) -> None:
    (run / "embed/plan.json").write_text("this is not ours")
    _refused(tiny, FAILED, "curate", *tiny.words(run), says=("DamagedError", "embed/plan.json", "damaged"))
    assert (run / "embed/plan.json").read_text() == "this is not ours"


def test_a_prefect_api_that_does_not_answer(tiny: Tiny, tmp_path: Path) -> None:
    nowhere = "http://127.0.0.1:9/api"
    env = {"PREFECT_API_URL": nowhere, "PREFECT_CLIENT_MAX_RETRIES": "0"}
    with tiny.start("curate", *tiny.words(tmp_path / "run"), log=tmp_path / "log", env=env) as started:
        code, text = started.wait()
    assert code == FAILED, text
    one_message(text, "WorkerError", nowhere, "does not answer", "unset PREFECT_API_URL")
    assert not (tmp_path / "run/source/manifest.json").exists(), "it would have run where nobody sees it"


def test_a_shard_cut_short_is_made_again_alone(tiny: Tiny, run: Path, undisturbed: Path) -> None:
    victims = ["source/part-00003.parquet", "embed/part-00002.parquet", "sample/images/part-00001.parquet"]
    for name in victims:
        os.truncate(run / name, (run / name).stat().st_size // 2)
    before = {p: p.stat().st_mtime_ns for p in run.rglob("part-*.parquet") if str(p.relative_to(run)) not in victims}
    tiny.run(run)
    assert digests(run) == digests(undisturbed)
    assert contents(run) == contents(undisturbed)
    again = {str(p.relative_to(run)) for p, at in before.items() if p.stat().st_mtime_ns != at}
    # A shard's files are made together; the clusters' table comes with the sample's swept scratch.
    redone = {
        f"{stage}/{folder}{name}"
        for stage, name in (("source", "part-00003"), ("embed", "part-00002"), ("sample", "part-00001"))
        for folder in ("", "rejects/", "images/", "index/")
    } | {"sample/clusters/part-00000"}
    assert {name.removesuffix(".parquet") for name in again} <= redone, "only the damaged shards are made again"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of a quarter of a megabyte."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", disk]).returncode:
        pytest.skip("a small disk can be mounted by root alone")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def test_a_full_disk(tiny: Tiny, small_disk: Path, undisturbed: Path) -> None:
    run = small_disk / "run"
    done = tiny.siglino("curate", *tiny.words(run))
    assert done.returncode == FAILED, done.stdout + done.stderr
    one_message(done.stderr, "StoreError", "no space left", str(run))
    subprocess.run(["mount", "-o", "remount,size=64m", small_disk], check=True)
    tiny.run(run)
    assert digests(run) == digests(undisturbed)
    assert leftovers(run) == []


def test_a_dead_worker(tiny: Tiny, undisturbed: Path, tmp_path: Path) -> None:
    """One of Ray's workers dies while it embeds: the run goes on, or says so and goes on when it is run again."""
    run, log = tmp_path / "run", tmp_path / "log"
    shutil.copytree(undisturbed / "source", run / "source")
    with tiny.start("curate", "--only=embed", *tiny.words(run, runner="ray"), log=log) as started:
        assert started.until(lambda: count(run, "embed/commits/part-") >= 1)
        victims = [p for p in started.family() if _title(p).startswith("ray::MapWorker")]
        assert victims or (run / "embed/manifest.json").exists(), [_title(p) for p in started.family()]
        for victim in victims[:1]:
            victim.kill()
        code, text = started.wait()
    if code:
        assert code == FAILED, text
        one_message(text, "WorkerError", "run the same command again")
        tiny.run(run, "--only=embed")
    assert digests(run, "embed") == digests(undisturbed, "embed")


def _title(process: psutil.Process) -> str:
    with suppress(psutil.Error):
        return " ".join(process.cmdline())
    return ""
