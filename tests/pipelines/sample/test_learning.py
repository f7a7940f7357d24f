"""Whether a sample teaches, as the sample stage measures it: of what it kept, in bounded memory, or why not."""

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from flows.inspect import inspect
from pipelines import cluster, sample
from pipelines.sample import learning
from pipelines.support.summary import learning as shown
from siglino_core.evaluation.samples import learning as core
from siglino_core.evaluation.samples.learning import Images, compare
from siglino_core.hashing import id_bits
from siglino_core.store import Run
from tests.stages import Pool, config, pool, table, write


def measured(path: Path, of: Pool) -> tuple[Run, dict[str, Any]]:
    run = write(Run(str(path / "run")), of)
    cluster.run(config(), run)
    return run, sample.run(config(), run).manifest.facts["learning"]


def seen(run: Run) -> str:
    out = io.StringIO()
    inspect(run.url, Console(file=out, width=160))
    return out.getvalue()


def test_it_is_of_the_embeddings_labels_and_kept_images(tmp_path: Path) -> None:
    of = pool()
    run, found = measured(tmp_path, of)
    rows = of.embedded()
    kept = table(run, "sample", "part-")["kept"].to_numpy()[rows]
    names = sorted({name for name in of.labels if name})
    images = Images(
        label_N=np.array([names.index(of.labels[r] or "") if of.labels[r] else -1 for r in rows]),
        ids_N=id_bits([of.image_id(r) for r in rows]),
        kept_N=kept,
    )
    expected = compare(images, of.vectors[rows].astype(np.float32), 0)
    assert expected is not None
    assert found.keys() == expected.keys()
    for name in ("curated", "random", "difference"):
        for metric in ("probe", "probe_rare"):
            assert found[name][metric] == pytest.approx(expected[name][metric])
    assert (found["train"], found["test"], found["labels"]) == tuple(expected[n] for n in ("train", "test", "labels"))
    assert found["train"] <= kept.sum() == 60


def test_shards_beyond_the_limit_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, whole = measured(tmp_path / "a", pool())
    monkeypatch.setattr(learning, "LOOKED_AT", 4)
    run, some = measured(tmp_path / "b", pool())
    assert some["test"] < whole["test"]
    parts = run.stage("sample").require()
    assert parts.rows == 240
    monkeypatch.setattr(learning, "IMAGES", 80)  # two shards of 40, less what is not embedded, and one more
    _, fewer = measured(tmp_path / "c", pool())
    assert fewer["test"] < some["test"]


def test_of_a_large_pool_few_embeddings_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core, "TESTED", 100)
    monkeypatch.setattr(core, "TRAINED", 20)
    sizes: list[int] = []
    features = learning._features
    monkeypatch.setattr(learning, "_features", lambda *a: (sizes.append(len(a[2])), features(*a))[1])
    _, found = measured(tmp_path, pool())
    assert 100 <= sizes[0] <= 120
    assert found["train"] <= 20


@pytest.mark.parametrize(
    ("labels", "why"),
    [
        ([None] * 240, "the pool has no labels"),
        ([None, "cat"] * 120, "all labels are one"),
        ([f"{i // 3}" for i in range(240)], "fewer than two labels have four images"),
    ],
)
def test_without_labels_there_is_no_row(tmp_path: Path, labels: list[str | None], why: str) -> None:
    run, found = measured(tmp_path, replace(pool(), labels=labels))
    assert found == {"why": why}
    assert f"Learning: not measured, {why}." in seen(run)
    assert shown(run.stage("sample").require().facts) is None


def test_inspect_shows_the_row_and_says_what_it_means(tmp_path: Path) -> None:
    run, found = measured(tmp_path, pool())
    text = seen(run)
    low, high = (found["difference"]["probe"][end] for end in ("low", "high"))
    assert f"{100 * found['curated']['probe']['mean']:.1f}%" in text
    assert f"({100 * low:+.1f} to {100 * high:+.1f})" in text
    assert ("a random one of its size" in " ".join(text.split())) == (low <= 0)
    assert shown(run.stage("sample").require().facts) is not None


def test_a_run_of_before_has_no_row() -> None:
    assert shown({"balance": {}}) is None
