"""`siglino evaluate`: the commands of docs/evaluation.md run, on small data laid out as they say; what is refused."""

import io
import json
import os
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from flows.arguments import parsed
from flows.cli import main
from flows.config import compose_config
from flows.stages import choose, configured, judged
from siglino_core.store import Run
from tests.pictures import picture
from tests.pools import parquet_file, tar_bytes, write_files

DOC = (Path(__file__).resolve().parents[2] / "docs/evaluation.md").read_text(encoding="utf-8")
CLASSES = ("cat", "dog")
HERE = "runtime.runner=local"
TEXTS = ("siglip2=siglip2:models/siglip2", "lite_text=lite_text")  # the page's, and what is here
PATH = [  # a student of a few steps
    "targets.teachers=[lite,lite_text]",
    "targets.min_pixels=1024",
    "targets.max_pixels=1024",
    "train.student=siglino-nano",
    "train.optim.steps=3",
    "train.optim.warmup_steps=1",
    "train.pack.packs_per_step=1",
    "train.pack.capacity=256",
    "train.num_workers=0",
    "train.trackers=[]",
]


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", os.environ.copy())  # the command sets defaults
    monkeypatch.setattr(os, "fsync", lambda _: None)


def commands() -> list[list[str]]:
    """The page's `siglino evaluate` commands about data of one's own."""
    lines = [line for block in re.findall(r"```sh\n(.*?)```", DOC, re.S) for line in block.splitlines()]
    words = [shlex.split(line, comments=True) for line in lines]
    return [w[1:] for w in words if w[:2] == ["siglino", "evaluate"] and any("datasets" in one for one in w)]


def labelled(split: str, each: int = 4) -> list[tuple[str, bytes]]:
    first = 0 if split == "train" else 100
    return [(c, picture(first + 20 * n + i)) for n, c in enumerate(CLASSES) for i in range(each)]


def mask(seed: int) -> bytes:
    numbers = (np.add.outer(np.arange(32), np.arange(48)) // 8 + seed) % 2
    out = io.BytesIO()
    Image.fromarray(numbers.astype(np.uint8)).save(out, "PNG")
    return out.getvalue()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page's data, in small, and the run that it speaks of, made by `siglino run`."""
    root = tmp_path_factory.mktemp("evaluation")
    for split in ("train", "test"):
        rows = labelled(split)
        write_files(root / "data/pets" / split, {f"{c}/{i}.jpg": data for i, (c, data) in enumerate(rows)})
        members = [m for i, (c, data) in enumerate(rows) for m in ((f"{i}.jpg", data), (f"{i}.cls", c.encode()))]
        write_files(root / "data/tars", {f"{split}-0.tar": tar_bytes(members)})
        columns = {"image": [data for _, data in rows], "label": [c for c, _ in rows]}
        parquet_file(root / f"data/rows/{split}.parquet", columns)
        listed = "".join(f"{split}/{i}.jpg,{c}\n" for i, (c, _) in enumerate(rows))
        images = {f"{split}/{i}.jpg": data for i, (_, data) in enumerate(rows)}
        write_files(root / "data/list", {f"{split}.csv": f"path,label\n{listed}".encode(), **images})
        write_files(root / "data/regions" / split, {f"{i}.jpg": data for i, (_, data) in enumerate(rows)})
        write_files(root / f"data/regions/{split}_masks", {f"{i}.png": mask(i) for i in range(len(rows))})
    write_files(root / "data/regions", {"classes.txt": b"sky\nground\n"})
    pictures = {f"images/{i}.jpg": data for i, (_, data) in enumerate(labelled("test"))}
    coco = {
        "images": [{"id": i, "file_name": f"{i}.jpg"} for i in range(8)],
        "annotations": [{"id": i, "image_id": i // 2, "caption": f"picture {i}"} for i in range(16)],
    }
    write_files(root / "data/coco", {"captions.json": json.dumps(coco).encode(), **pictures})
    every = [*labelled("train", 12), *labelled("test", 12)]
    columns = {"image": [data for _, data in every], "label": [c for c, _ in every]}
    _made(root, "run", parquet_file(root / "pool.parquet", columns), "runs/demo", *PATH)
    return root


def _made(root: Path, command: str, pool: Path, run: str, *more: str) -> None:
    few = ["cluster.num_clusters=[6,2]", "sample.target_size=20", "sample.near_duplicate=1", "sample.trim=0"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda _: None)
        patch.delenv("PREFECT_API_URL", raising=False)
        patch.chdir(root)
        words = [f"source.uri={pool}", f"run={run}", *few, "report.map_points=10", HERE]
        assert main([command, *words, *more]) == 0


def here(words: list[str]) -> list[str]:
    """A command of the page with a text side that is here."""
    return [word.replace(*TEXTS) for word in words] + [HERE]


@pytest.mark.slow
def test_the_path_ends_with_an_evaluation(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    facts = Run("runs/demo").stage("evaluate").require().facts
    assert {row["network"] for row in facts["headlines"]} == {"student", "untrained", "lite", "lite_text"}
    assert {row["dataset"] for row in facts["headlines"]} == {"pool"}, "no image has an outline to cut out"
    assert main(["evaluate", "run=runs/demo", HERE]) == 0
    assert "Evaluation       runs/demo/evaluate/evaluation.html" in capsys.readouterr().out
    assert main(["verify", "runs/demo"]) == 0


@pytest.mark.slow
def test_an_evaluation_of_a_former_student_is_told_until_it_is_made_anew(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    run = str(tmp_path / "run")
    shutil.copytree("runs/demo", run)
    assert main(["distill", f"run={run}", HERE, "--redo", "train", "train.optim.steps=2"]) == 0
    capsys.readouterr()
    command = f"siglino evaluate run={run} --redo evaluate"
    former = f"{run}/evaluate is stale: export changed since, so that its results are of the former model. `{command}`"
    assert main(["compare", "runs/demo", run, "--gate", "--allow", "100"]) == 1
    assert capsys.readouterr().out.startswith(f"Warning: {former} makes it anew.")
    assert main(["inspect", run]) == 0
    out = capsys.readouterr().out
    assert "stale: export changed since" in out
    assert 0 < out.index(former) < out.index("k nearest neighbours")
    assert main([*shlex.split(command)[1:], HERE]) == 0
    capsys.readouterr()
    assert main(["compare", "runs/demo", run]) == 0
    assert main(["inspect", run]) == 0
    assert "stale" not in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("words", commands(), ids=lambda words: words[1].rpartition("/")[2])
def test_the_pages_commands_run(
    folder: Path, words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    assert main(here(words)) == 0
    out = capsys.readouterr().out
    name = words[1].rpartition("/")[2]
    expected = {"captions": "Retrieval", "regions": "Linear segmentation"}.get(name, "k nearest neighbours")
    assert expected in [line.strip() for line in out.splitlines()]
    results = list((folder / "runs" / name / "evaluate/results").rglob("*.json"))
    assert results
    assert all(json.loads(file.read_text())["dataset"] == name for file in results)
    assert f"Evaluation       runs/{name}/evaluate/evaluation.html" in out
    assert main(here(words)) == 0
    assert "evaluate Reused" in capsys.readouterr().out


@pytest.mark.slow
def test_the_pages_file_runs(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(folder)
    (text,) = re.findall(r"```yaml\n(.*?)```", DOC, re.S)
    (folder / "several.yaml").write_text(text)
    assert main(["evaluate", "experiment=several.yaml", HERE]) == 0
    shown = capsys.readouterr().out
    assert "Ridge probe" in shown
    assert re.search(r"pets: top1, n = 8 +rows: top1, n = 8", shown)
    assert main(["inspect", "runs/several"]) == 0
    features = [line.split()[:3] for line in capsys.readouterr().out.splitlines() if "features/" in line]
    assert ["ours", "pets", "test"] in features
    assert ["other", "rows", "train"] in features
    assert main(["compare", "runs/several", "runs/several/evaluate", "--gate"]) == 0


def test_every_recipe_is_named() -> None:
    recipes = {p.stem for p in Path("siglino_core/evaluation/data/recipes").glob("*.toml")}
    section = DOC.partition("`recipe` names")[2].partition("\n\n")[0]
    assert set(re.findall(r"`(\w+)`", section)) - {"limit"} == recipes


def test_the_page_names_every_layout() -> None:
    settings = [yaml.safe_load(w.partition("=")[2]) for words in commands() for w in words if "datasets" in w]
    names = {one["name"] for (one,) in settings}
    assert names == {"pets", "tars", "rows", "captions", "lists", "regions", "elsewhere"}


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["--only", "export"], 2, "no such stage: export. The stages are evaluate. `siglino distill` has export."),
        (["evaluate.models=[{network: lit}]"], 2, "did you mean lite?"),
        (["evaluate.unread=perhaps"], 2, "evaluate.unread"),
        ([], 1, "there is no finished student here to evaluate"),
        (["evaluate.models=[{network: lite}]"], 1, "there is no finished sample here. Name data sets"),
        (["evaluate.models=[{network: lite}]", "evaluate.datasets=[{uri: /no/where}]"], 1, "/no/where"),
        (
            ["evaluate.models=[{network: lite},{network: lite}]", "evaluate.datasets=[{uri: x}]"],
            2,
            "stands there twice",
        ),
        (["evaluate.models=[{network: lite}]", "evaluate.datasets=[{uri: x, recipe: imagnet}]"], 2, "imagenet"),
    ],
)
def test_what_is_refused(
    tmp_path: Path, words: list[str], code: int, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", f"run={tmp_path}/run", HERE, *words]) == code
    said = capsys.readouterr()
    assert says in said.err, said
    assert not (tmp_path / "run/evaluate").exists()


@pytest.mark.slow
def test_a_path_ends_without_an_evaluation_where_its_images_allow_none(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(folder)
    bare = parquet_file(folder / "bare.parquet", {"image": [data for _, data in labelled("train", 15)]})
    _made(folder, "curate", bare, "runs/bare")
    _made(folder, "curate", bare, "runs/all", "sample.target_size=30")

    def stages(run: str, *words: str) -> list[str]:
        config = compose_config([f"run={run}", *words])
        return [c.stage for c in judged(configured(choose("run", "export", None, []), config), config)]

    assert stages("runs/demo") == ["export", "evaluate"]
    assert stages("runs/bare") == ["export", "evaluate"], "without labels a student is compared with its teachers"
    assert stages("runs/all") == ["export"]
    assert "not evaluated: runs/all: no image of the run is held out" in caplog.text
    assert stages("runs/all", "evaluate.datasets=[{uri: data/pets/test}]") == ["export", "evaluate"]
    alone = [c.stage for c in judged(choose("evaluate", None, None, []), compose_config(["run=runs/all"]))]
    assert alone == ["evaluate"], "who asks for it alone is told why not"


def test_the_words_of_the_page_areparsed() -> None:
    for words in commands():
        config = compose_config(parsed(words).settings)
        assert len(config.evaluate.models) == len(config.evaluate.datasets) == 1
    assert Run("x").stage("evaluate").files.url == "x/evaluate"
