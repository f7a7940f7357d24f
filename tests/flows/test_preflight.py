"""What a command would run into hours later is said before its first stage."""

import gzip
from pathlib import Path

import pytest

from flows.cli import main
from flows.config import compose_config
from flows.preflight import memory, preflight
from siglino_core.errors import SiglinoError
from siglino_core.store import Run
from tests.pictures import picture
from tests.pools import parquet_file, pictures, tar_bytes, write_files


def refused(capsys: pytest.CaptureFixture[str], run: Path, *words: str, command: str = "curate") -> str:
    code = main([command, f"run={run}", "runtime.runner=local", *words])
    captured = capsys.readouterr()
    assert code in (1, 2), captured.out
    assert not (run / "source").exists(), "nothing is begun"
    return captured.err


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    return write_files(tmp_path / "pool", {f"{i}.jpg": d for i, d in enumerate(pictures(12))})


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (
            ("sample.target_size=13", "cluster.num_clusters=[4,2]"),
            "sample.target_size=13 is larger than the pool (at most 12",
        ),
        (("sample.target_size=5", "cluster.num_clusters=[40,2]"), "asks for more centroids than images (at most 12)"),
        (("embed.encoder=timm:no_such_network",), "no_such_network"),
        (("embed.encoder=dinov3:/no/such/folder",), "/no/such/folder"),
        (("embed.encoder=timm:resnet18", "embed.weights=/no/such.safetensors"), "/no/such.safetensors"),
        (("sample.learned=/no/such/run",), "/no/such/run/train is not finished"),
    ],
)
def test_curate(
    tmp_path: Path, pool: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], says: str
) -> None:
    assert says in refused(capsys, tmp_path / "run", f"source.uri={pool}", *words)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("targets.teachers=[dinov3:/no/such/folder]",), "/no/such/folder"),
        (("targets.teachers=[lite,timm:no_such_network]",), "no_such_network"),
        (("targets.teachers=[lite]", "train.checkpoint=/nonexist"), "train.checkpoint=/nonexist: there is nothing"),
        (("targets.teachers=[lite]", "train.checkpoint=nothere/x.safetensors"), "train.checkpoint=nothere/x.safet"),
        (("targets.teachers=[lite]", "train.checkpoint=not/here/step_1"), "train.checkpoint=not/here/step_1: there is"),
        (("targets.teachers=[lite]", "embed.encoder=timm:resnet18", "embed.weights=x.pth"), "embed.weights=x.pth:"),
        (("targets.teachers=[lite]", "export.max_pixels=1"), "export.max_pixels=1: a patch has"),
        (("targets.teachers=[lite]", "export.license='Apache 2'"), "export.license=Apache 2: an id of the Hub's"),
        (("targets.teachers=[lite]", "embed.weights=/nonexist"), "embed.weights=/nonexist"),
        (("targets.teachers=[lite]", "train.optim.steps=1000000000000"), "train would take"),
        (("targets.teachers=[lite]", "train.ranks=2"), "train.ranks=2 needs runtime.runner=ray"),
    ],
)
def test_the_whole_path(
    tmp_path: Path, pool: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], says: str
) -> None:
    few = ("sample.target_size=5", "cluster.num_clusters=[4,2]", "embed.encoder=lite")
    assert says in refused(capsys, tmp_path / "run", f"source.uri={pool}", *few, *words, command="run")


MODEL, DATA = "evaluate.models=[{network: %s}]", "evaluate.datasets=[{name: d, uri: %s}]"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((MODEL % "timm:no_such_network",), "no_such_network"),
        ((MODEL % "dinov3:/no/such/folder",), "/no/such/folder"),
        (("evaluate.models=[{network: lite, texts: ['lite=lite']}]",), "lite has no text side"),
        (("evaluate.models=[{network: lite, texts: ['lite=lite_text']}]",), "wide, and those of view lite"),
        ((DATA % "/no/such/data",), "/no/such/data"),
        (("evaluate.datasets=[{uri: x, recipe: imagnet}]",), "imagnet"),
        (("targets.teachers=[siglip2:/no/such/teacher]",), "/no/such/teacher"),
    ],
)
def test_what_the_evaluation_at_the_paths_end_would_find(
    tmp_path: Path, pool: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], says: str
) -> None:
    few = ("sample.target_size=5", "cluster.num_clusters=[4,2]", "embed.encoder=lite", "targets.teachers=[lite]")
    assert says in refused(capsys, tmp_path / "run", f"source.uri={pool}", *few, *words, command="run")


def test_an_evaluations_texts_are_judged_before_its_features(
    tmp_path: Path, pool: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("evaluate.models=[{network: lite, texts: ['lite=lite_text']}]", DATA % pool)
    assert "wide, and those of view lite" in refused(capsys, tmp_path / "run", *words, command="evaluate")
    assert not (tmp_path / "run/features").exists()


def test_the_student_that_is_still_to_be_made_is_not_asked_for(tmp_path: Path) -> None:
    run = f"{tmp_path}/run"
    config = compose_config([f"run={run}", MODEL % f"siglino:{run}/export/student", "targets.teachers=[lite]"])
    preflight(config, ["export", "evaluate"])
    with pytest.raises(SiglinoError):
        preflight(config, ["evaluate"])


@pytest.mark.parametrize(("kind", "asked"), [("tars", 500), ("parquet", 13)])
@pytest.mark.parametrize("pool_size", [0, 10**9])
def test_pools_of_every_kind_are_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str, asked: int, pool_size: int
) -> None:
    if kind == "tars":
        write_files(tmp_path / "p", {"0.tar": tar_bytes([(f"{i}.jpg", d) for i, d in enumerate(pictures(12))])})
    else:
        parquet_file(tmp_path / "p/0.parquet", {"image": pictures(12)})
    words = (
        f"source.uri={tmp_path / 'p'}",
        f"source.pool_size={pool_size}",
        "embed.encoder=lite",
        f"sample.target_size={asked}",
        "cluster.num_clusters=[4,2]",
    )
    assert f"sample.target_size={asked} is larger than the pool" in refused(capsys, tmp_path / "run", *words)


def test_a_size_that_the_pool_does_not_have_is_refused(
    tmp_path: Path, pool: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("source.pool_size=13", "sample.target_size=5", "cluster.num_clusters=[4,2]", "embed.encoder=lite")
    assert "source.pool_size=13 is larger than the pool (at most 12 images)" in refused(
        capsys, tmp_path / "run", f"source.uri={pool}", *words
    )


@pytest.mark.parametrize("packed", [False, True])
def test_a_guess_refuses_nothing(tmp_path: Path, packed: bool) -> None:
    """The first tar holds a large image, from which one would guess few in the second."""
    large = tar_bytes([("0.jpg", picture(0, "jpeg") + bytes(300_000))])
    small = tar_bytes([(f"{i}.jpg", picture(i, "jpeg")) for i in range(1, 30)])
    tars = {"0.tar": large, "1.tar": small}
    write_files(tmp_path / "p", {f"{n}.gz": gzip.compress(d) for n, d in tars.items()} if packed else tars)
    words = [f"run={tmp_path / 'run'}", f"source.uri={tmp_path / 'p'}", "runtime.runner=local", "embed.encoder=lite"]
    few = ["sample.target_size=25", "cluster.num_clusters=[4,2]", "sample.near_duplicate=1", "sample.trim=0"]
    assert main(["curate", *words, *few]) == 0


def test_only_what_is_to_run_is_judged(tmp_path: Path, pool: Path) -> None:
    words = [f"run={tmp_path / 'run'}", f"source.uri={pool}", "runtime.runner=local", "embed.encoder=timm:no_such"]
    assert main(["curate", "--only", "source", *words]) == 0
    assert Run(str(tmp_path / "run")).stage("source").manifest() is not None


HUGE = ("source.pool_size=4000000000", "sample.target_size=10", "embed.encoder=efficientnet_lite0")


@pytest.mark.parametrize("command", ["plan", "curate"])
def test_what_takes_more_than_a_year_or_the_memory_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    tar = tar_bytes([(f"{i}.jpg", d) for i, d in enumerate(pictures(12))])
    pool = write_files(tmp_path / "pool", {"0.tar.gz": gzip.compress(tar)})  # it may hold any number
    words = (*HUGE, f"source.uri={pool}", "cluster.num_clusters=[900000000,50]", "cluster.iterations=50")
    err = refused(capsys, tmp_path / "run", *words, command=command)
    assert "cluster would take" in err
    assert "Lower cluster.num_clusters" in err
    assert "in one process, and this machine has" in err
    words = (*words, "runtime.workers=100000000", "runtime.address=auto")
    assert main(["plan", f"run={tmp_path / 'run'}", *words]) == 0


def test_the_memory_is_that_of_the_machine_or_less() -> None:
    assert 1 << 28 < memory() < 1 << 50
