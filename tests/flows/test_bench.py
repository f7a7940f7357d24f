"""`siglino bench curation`: of arrays and of a run, its table and its JSON, and every wrong word in a sentence."""

import dataclasses
import errno
import json
import os
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from flows.bench import parse
from flows.cli import main
from flows.config import compose_config
from pipelines.judge.methods import baselines
from siglino_core.evaluation.samples import judgement
from siglino_core.evaluation.samples.split import quarter
from siglino_core.hashing import id_bits
from siglino_core.store import Run
from tests.flows.small import HERE, SETTINGS
from tests.pictures import picture
from tests.pools import parquet_file
from tests.siglino_core.evaluation.samples.mixture import mixture
from tests.stages import table

SCHEMA = json.loads(Path(judgement.__file__).with_name("judgement.schema.json").read_text())
X, LABEL = mixture(head=200, others=10, each=8, dim=12)


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.fixture
def arrays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", X)
    np.save("y.npy", LABEL)
    return ["embeddings=x.npy", "labels=y.npy", "target=40", "levels=[8,3]"]


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """48 images of three labels, curated by the command line."""
    folder = tmp_path_factory.mktemp("labelled")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda _: None)
        patch.delenv("PREFECT_API_URL", raising=False)
        columns = {"image": [picture(i) for i in range(48)], "label": [f"kind {i % 3}" for i in range(48)]}
        parquet_file(folder / "pool.parquet", columns)
        words = [f"source.uri={folder / 'pool.parquet'}", f"run={folder / 'run'}", *SETTINGS, HERE]
        assert main(["curate", *words]) == 0
    return folder / "run"


def judged(words: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[dict, str]:
    assert main(["bench", "curation", *words, "--json", "found.json"]) == 0
    found = json.loads(Path("found.json").read_text())
    jsonschema.validate(found, SCHEMA)
    return found, capsys.readouterr().out


def test_of_arrays(arrays: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    found, out = judged([*arrays, "seeds=2", "seed=7", "against=[flat]", "sample.trim=0.05"], capsys)
    assert list(found["methods"]) == ["default", "random", "flat"]
    assert found["methods"]["default"]["settings"]["sample"]["trim"] == 0.05
    assert found["methods"]["default"]["settings"]["cluster"]["num_clusters"] == [8, 3]
    assert [s["seed"] for s in found["methods"]["random"]["seeds"]] == [7, 8]
    assert len(found["selected"]) == len(set(found["selected"])) == 40
    assert max(found["selected"]) < len(X)
    assert "student" not in found["methods"]["random"]["mean"]
    assert "student: not measured, for the arrays have no pixels=." in out
    assert "280 images, 11 labels, of x.npy; samples of 40." in out
    assert "flat: k-means, flat quotas." in out
    mean = found["methods"]["flat"]["less_random"]["probe"]["mean"]
    assert f"{100 * mean:+.1f} ±" in out
    assert "default: by what it teaches this sample cannot be told" in out or "default: this sample teaches " in out


def test_of_a_run(
    labelled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    before = {p: p.stat().st_mtime_ns for p in labelled.rglob("*") if p.is_file()}
    found, out = judged([str(labelled), "seeds=1"], capsys)
    assert {p: p.stat().st_mtime_ns for p in labelled.rglob("*") if p.is_file()} == before  # it is only read
    assert found["recipe"] == "as made"
    assert found["methods"]["as made"]["settings"]["cluster"]["num_clusters"] == [6, 2]
    assert found["protocol"]["target"] == 15  # three quarters of what the run keeps
    assert (found["pool"]["images"], found["pool"]["labels"], found["pool"]["pixels"]) == (48, 3, 32 * 32 * 3)
    assert found["protocol"]["junk"].startswith("half embedded images of uniform noise")
    assert "student" in found["methods"]["as made"]["mean"]
    assert "as made: one draw does not tell this sample from a random one of its size: probe " in out
    found, _ = judged([str(labelled), "seeds=1", "recipe=default", "target=20", "levels=[6,2]", "against=[]"], capsys)
    assert list(found["methods"]) == ["default", "random"]


def test_a_runs_own_sample_is_selected_again(
    labelled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    found, _ = judged([str(labelled), "seeds=1", "target=20", "against=[]"], capsys)
    kept = table(Run(str(labelled)), "sample", "part-")["kept"].to_numpy()
    assert found["selected"] == np.flatnonzero(kept).tolist()


def test_what_is_held_out_of_a_run_hangs_on_its_images(labelled: Path) -> None:
    source = table(Run(str(labelled)), "source", "part-")
    label = np.array([int(name[-1]) for name in source["label"].to_pylist()])
    assert quarter(label, id_bits(source["image_id"].to_pylist()), 0).sum() == 12


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "name one run, or embeddings=x.npy labels=y.npy target=N"),
        (["a", "b"], "name one run, or embeddings="),
        (["a", "embeddings=x.npy"], "name one run, or embeddings="),
        (["embeddings=x.npy"], "arrays need labels= and target= too"),
        (["a", "pixels=p.npy"], "pixels= goes with embeddings=; a run has its own"),
        (["a", "targte=3"], "no word targte"),
        (["a", "target=0"], "target=0: a whole number from 1 is needed"),
        (["a", "seeds=two"], "seeds=two: a whole number from 1 is needed"),
        (["a", "levels=[3,5]"], "levels=[3,5]: numbers of clusters are needed, the finest level first"),
        (["a", "levels=[]"], "levels=[]: numbers of clusters are needed"),
        (["a", "against=[rnadom]"], "rnadom is none of random, deduplicated"),
        (["a", "sample.target_size=3"], "sample.target_size=3: write target=3"),
        (["a", "recipe=dfault"], "recipe=dfault: there is no such recipe"),
        (["a", "sample.trm=3"], "unknown key sample.trm"),
        (["a", "target=10", "seed=1", "target=5"], "target= stands there twice: 10 and 5"),
        (["a", "sample.trim=0.1", "sample.trim=0.1"], "sample.trim= stands there twice"),
        (["a", "train.optim.steps=5"], "no train is made here; settings of cluster, sample and runtime count"),
        (["a", "embed.encoder=lite"], "no embed is made here"),
    ],
)
def test_wrong_words(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "curation", *words]) == 2
    assert said in capsys.readouterr().err


def test_what_cannot_be_judged(arrays: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save("short.npy", LABEL[:9])
    np.save("one.npy", LABEL * 0)
    Path("folder").mkdir()

    def but(*words: str) -> list[str]:
        return [w for w in arrays if w.partition("=")[0] not in {w.partition("=")[0] for w in words}] + list(words)

    for words, said in (
        (but("labels=short.npy"), "each row needs its label"),
        (but("labels=one.npy"), "1 label (0)"),
        (but("target=400"), "Ask for at most"),
        (but("levels=[5000,100]"), "levels=[5000, 100]: 210 of the pool's 280 images are left to choose from"),
        (["nowhere"], "there is no run nowhere"),
        ([*arrays, "--json", "no/such/x.json"], "there is no folder"),
        ([*arrays, "--json", "folder"], "--json folder: this is a folder; name a file"),
        ([*arrays, "--json", "/proc/x.json"], "--json /proc/x.json: nothing can be written there"),
    ):
        assert main(["bench", "curation", *words]) in (1, 2)
        out, err = capsys.readouterr()
        assert said in err
        assert "seed 0" not in out + err  # before any sample is drawn
    assert not list(Path("folder").iterdir())


def test_the_file_is_there_whole_or_as_it_was(
    arrays: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("found.json").write_text("before")
    monkeypatch.setattr("siglino_core.store.files.os.replace", _full)
    assert main(["bench", "curation", *arrays, "seeds=1", "against=[]", "--json", "found.json"]) == 1
    assert "no space left" in capsys.readouterr().err
    assert Path("found.json").read_text() == "before"


def _full(*_: object) -> None:
    raise OSError(errno.ENOSPC, "no space left on device")


@pytest.mark.parametrize("recipe", ["random", "deduplicated", "published"])
def test_a_recipe_that_is_named_as_a_baseline_stands_beside_it(
    arrays: list[str], recipe: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*arrays, "seeds=1", f"recipe={recipe}", "sample.pick=facility", "sample.near_duplicate=1"]
    found, out = judged([*words, "against=[deduplicated,published]"], capsys)
    assert list(found["methods"]) == [f"recipe {recipe}", "random", "deduplicated", "published"]
    assert found["recipe"] == f"recipe {recipe}"
    assert found["methods"][f"recipe {recipe}"]["role"] == "recipe"
    assert found["methods"][f"recipe {recipe}"]["settings"]["sample"]["pick"] == "facility"
    assert all(found["methods"][n]["settings"]["sample"]["pick"] == "random" for n in ("random", "deduplicated"))
    assert found["methods"]["deduplicated"]["settings"]["sample"]["near_duplicate"] == 0.95
    assert (found["protocol"]["near_duplicate"], found["protocol"]["near_duplicate_of"]) == (0.95, "default")
    assert "near-duplicates: from a cosine of 0.95 on, the default, for the recipe drops none." in out
    assert f"recipe {recipe}: one draw does not tell this sample" in out


def test_a_pool_of_few_different_images(arrays: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    np.save("x.npy", X[:1].repeat(len(X), 0))
    words = [w for w in arrays if not w.startswith("levels")]
    assert main(["bench", "curation", *arrays]) == 1
    out, err = capsys.readouterr()
    assert "recipe default, of the whole pool: level 1 asks for" in err
    assert "Lower levels=, or raise cluster.fit_fraction." in err
    assert "seed 0" not in out + err
    assert main(["bench", "curation", *words, "levels=[1]"]) == 2
    out, err = capsys.readouterr()
    assert "recipe default, of the whole pool: target=40: only 1 " in err
    assert "seed 0" not in out + err


def test_a_run_without_labels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parquet_file(tmp_path / "pool.parquet", {"image": [picture(i) for i in range(30)]})
    words = [f"source.uri={tmp_path / 'pool.parquet'}", f"run={tmp_path / 'run'}", *SETTINGS, HERE]
    assert main(["curate", *words, "--only", "source"]) == main(["curate", *words, "--only", "embed"]) == 0
    assert main(["bench", "curation", str(tmp_path / "run")]) == 1
    assert "its pool has no labels, so that nobody can say what a sample teaches" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["random", "deduplicated", "published"])
def test_a_baseline_is_the_recipe_of_its_name(name: str) -> None:
    config = compose_config([f"recipe={name}", "cluster.num_clusters=[9,3]"])
    made = baselines(config, 100)[name]
    levels = made.cluster.num_clusters
    assert dataclasses.replace(made, cluster=dataclasses.replace(made.cluster, num_clusters=[9, 3])) == config
    assert levels == ([9, 3] if name == "published" else [1])


def test_words() -> None:
    said = parse(["runs/x/", "target=5", "cluster.center=true", "against=[flat,random]"])
    assert (said.run, said.values["target"], said.settings) == ("runs/x", 5, ["cluster.center=true"])
    assert said.values["against"] == ("random", "flat")
