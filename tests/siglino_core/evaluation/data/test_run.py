"""A run's own images: what is held out against a plain reference, what was kept, and runs that cannot be used."""

import pickle
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from pipelines import cluster, sample
from siglino_core.errors import DataError, StoreError
from siglino_core.evaluation.data import chosen
from siglino_core.evaluation.data.chosen import LIKE_KEPT, NOT_DRAWN, OTHER_FORMAT, Part
from siglino_core.evaluation.data.kept import kept_blocks, kept_ids, shards_of
from siglino_core.evaluation.data.run import RunSplit, open_run
from siglino_core.evaluation.data.sample import EvalSample
from siglino_core.store import Identity, Run
from tests import stages


def curated(path: Path, of: stages.Pool, **settings: object) -> Run:
    run = stages.write(Run(str(path / "run")), of)
    config = stages.config(**({"sample": settings} if settings else {}))
    cluster.run(config, run)
    sample.run(config, run)
    return run


@pytest.fixture
def of() -> stages.Pool:
    return stages.pool(160, classes=6, near=20)


def samples(split: RunSplit) -> list[EvalSample]:
    sent = pickle.loads(pickle.dumps(split))
    assert not any(name.startswith("_found") for name in sent.__dict__)
    assert sent.units() == split.units()
    return [s for unit in split.units() for s in sent.read(unit)]


def cosines(run: Run, of: stages.Pool) -> dict[str, float]:
    """The largest cosine of every embedded image with a kept one, in the clustered space."""
    center = np.array(run.stage("cluster").require().facts["center"])
    x = of.vectors.astype(np.float64) - center
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    rows = stages.table(run, "sample", "part-").to_pylist()
    kept = [i for i, row in enumerate(rows) if row["kept"]]
    return {rows[i]["image_id"]: float((x[kept] @ x[i]).max()) for i in of.embedded()}


@pytest.mark.parametrize("together", [1, 10_000])
def test_held_out_is_what_training_did_not_see(
    tmp_path: Path, of: stages.Pool, together: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chosen, "CANDIDATES", together)
    run = curated(tmp_path, of)
    rows = stages.table(run, "sample", "part-").to_pylist()
    best = cosines(run, of)
    limit = sorted(best[r["image_id"]] for r in rows if r["reason"] == "over_quota")[15] + 1e-3
    split = open_run(run.url, near_duplicate=limit)
    expected = [r["image_id"] for r in rows if r["reason"] == "over_quota" and best[r["image_id"]] < limit]
    found = samples(split)
    assert [s.sample_id for s in found] == expected
    assert 0 < len(expected) < sum(r["reason"] == "over_quota" for r in rows)
    reasons = Counter(r["reason"] for r in rows)
    like = reasons.pop("over_quota") - len(expected)
    assert split.passed == reasons | Counter({LIKE_KEPT: like})
    assert reasons["near_duplicate"] > 0
    assert reasons["exact_duplicate"] == 2
    assert reasons["rejected"] == 2
    row = {of.image_id(i): i for i in reversed(range(len(rows)))}
    for s in found:
        i = row[s.sample_id]
        assert (s.data, s.label, s.captions) == (of.data(i), of.labels[i], (f"caption {i}",) if i % 2 else ())
    assert split.classes == tuple(sorted({s.label for s in found if s.label}))


def drawn(run: Run, **settings: int) -> list[str]:
    split = open_run(run.url, near_duplicate=1.0, rows_per_unit=7, **settings)  # type: ignore[arg-type]
    units = split.units()
    assert all(0 < u["rows"] == len(u["rows_of"]) <= 7 for u in units)
    assert [u["rows"] for u in units[:-1]] == [7] * (len(units) - 1)
    return [s.sample_id for s in samples(split)]


def test_the_draw_is_the_same_wherever_shards_end(tmp_path: Path, of: stages.Pool) -> None:
    runs = []
    for rows in (9, 40, 1000):
        run = stages.write(Run(str(tmp_path / f"run{rows}")), of, rows)
        cluster.run(stages.config(), run)
        sample.run(stages.config(), run)
        runs.append(run)
    sets = [set(drawn(run, most=20, seed=4)) for run in runs]
    assert sets[0] == sets[1] == sets[2]
    assert len(sets[0]) == 20
    every = set(drawn(runs[0]))
    assert sets[0] < set(drawn(runs[0], most=35, seed=4)) < every, "a smaller draw is a part of a larger one"
    assert set(drawn(runs[0], most=20, seed=5)) != sets[0]
    assert set(drawn(runs[0], most=10_000)) == every
    split = open_run(runs[0].url, near_duplicate=1.0, most=20, seed=4)
    assert split.passed[NOT_DRAWN] == len(every) - 20
    assert split.identity != open_run(runs[0].url, near_duplicate=1.0, most=20, seed=5).identity


def test_like_images_are_looked_for_among_the_drawn_alone(tmp_path: Path, of: stages.Pool) -> None:
    run = curated(tmp_path, of)
    best = cosines(run, of)
    limit = sorted(best[i] for i in drawn(run))[30] + 1e-3
    before = drawn(run, most=40)
    after = [s.sample_id for s in samples(open_run(run.url, near_duplicate=limit, most=40))]
    assert after == [i for i in before if best[i] < limit]
    assert 0 < len(after) < len(before) == 40


def test_only_some_encodings(tmp_path: Path, of: stages.Pool) -> None:
    run = curated(tmp_path, of)
    split = open_run(run.url, near_duplicate=1.0, formats=["jpeg"])
    assert len(samples(split)) == len(drawn(run))
    assert OTHER_FORMAT not in split.passed
    with pytest.raises(DataError, match=r"no image of the run is held out \(another_format \d+"):
        open_run(run.url, near_duplicate=1.0, formats=["png"])


def test_the_runs_own_threshold_and_one(tmp_path: Path, of: stages.Pool) -> None:
    run = curated(tmp_path, of, near_duplicate=0.9, target_size=20)
    own, given, none = open_run(run.url), open_run(run.url, near_duplicate=0.9), open_run(run.url, near_duplicate=1.0)
    assert own.units() == given.units()
    assert own.identity == given.identity != none.identity
    assert LIKE_KEPT not in none.passed
    best = cosines(run, of)
    assert max(best[s.sample_id] for s in samples(own)) < 0.9


def test_kept(tmp_path: Path, of: stages.Pool) -> None:
    run = curated(tmp_path, of)
    split = open_run(run.url, Part.KEPT)
    kept = [r["image_id"] for r in stages.table(run, "sample", "part-").to_pylist() if r["kept"]]
    assert [s.sample_id for s in samples(split)] == kept
    assert split.passed.total() == 160 - len(kept)
    assert split.identity != open_run(run.url).identity
    blocks = list(kept_blocks(run))
    assert [i for block in blocks for i in block.image_ids] == kept
    assert all(b.vectors is not None and len(b.vectors) == len(b.image_ids) for b in blocks)
    assert [list(b.image_ids) for b in kept_ids(run)] == [list(b.image_ids) for b in blocks]
    second = list(kept_blocks(run, shards_of(run)[1:2]))
    assert [list(b.image_ids) for b in second] == [list(blocks[1].image_ids)]


def test_without_labels(tmp_path: Path) -> None:
    run = curated(tmp_path, stages.pool(80, labelled=False), target_size=20)
    split = open_run(run.url)
    assert split.classes == ()
    assert {s.label for s in samples(split)} == {None}


def test_a_stage_that_was_made_anew(tmp_path: Path, of: stages.Pool) -> None:
    run = curated(tmp_path, of)
    run.stage("embed").erase()
    stages._embed(run.stage("embed"), of, [], [], run.stage("source").require().digest)
    with pytest.raises(DataError, match="its embed was made anew after its sample"):
        open_run(run.url)


def test_nothing_is_held_out(tmp_path: Path, of: stages.Pool) -> None:
    run = curated(tmp_path, of)
    with pytest.raises(DataError, match=r"no image of the run is held out \(.*kept 60, like_a_kept_image \d+"):
        open_run(run.url, near_duplicate=-1.0)


def test_runs_that_are_not_whole(tmp_path: Path, of: stages.Pool) -> None:
    run = stages.write(Run(str(tmp_path / "run")), of)
    with pytest.raises(StoreError, match="sample is not finished"):
        open_run(run.url)


def test_a_sample_that_was_made_anew_after_its_training(tmp_path: Path, of: stages.Pool) -> None:
    run = curated(tmp_path, of, target_size=60)
    saw = run.stage("sample").require().digest
    train = run.stage("train")
    identity = Identity(stage="train", version=1, config={}, inputs={"sample": saw})
    todo = train.begin(identity, lambda: [{"name": "all", "kind": "part"}])
    with train.writer("all", identity.fingerprint) as out:
        out.commit(rows=1)
    train.finish(identity, todo)
    open_run(run.url)
    sample.run(stages.config(sample={"target_size": 50}), run, redo="stale")
    assert run.stage("sample").require().digest != saw
    with pytest.raises(DataError, match="its sample was made anew after its training"):
        open_run(run.url)
