"""Records of stages: what fingerprints follow, and manifests and plans that are another's or another version's."""

import dataclasses
from pathlib import Path

import pytest

from siglino_core.errors import ConfigError, DamagedError, StoreError
from siglino_core.store import Run
from siglino_core.store.sealed import as_json, opened, sealed
from tests.siglino_core.store.test_stage import finished, identity, shards, write


def test_fingerprint_is_what_shapes_the_bytes() -> None:
    base = identity()
    assert base.fingerprint == identity().fingerprint == "9d4888b9565ceb1f0cac6f1175c28c76"
    for change in ({"stage": "x"}, {"version": 2}, {"config": {"size": 1}}, {"inputs": {}}):
        assert dataclasses.replace(base, **change).fingerprint != base.fingerprint


def test_a_manifest_of_another_version(tmp_path: Path) -> None:
    stage = Run(str(tmp_path)).stage("embed")
    finished(stage)
    path = tmp_path / "embed/manifest.json"
    found = opened(path.read_bytes(), "")
    path.write_bytes(sealed({**found, "of_the_future": 1}))
    assert stage.require().digest == found["digest"]
    del found["software"], found["facts"]  # which have defaults
    path.write_bytes(sealed(found))
    assert stage.require().facts == {}
    del found["digest"], found["wall_seconds"]
    path.write_bytes(sealed(found))
    with pytest.raises(StoreError) as caught:
        stage.require()
    assert "manifest.json lacks digest, wall_seconds: another version of this software wrote it" in str(caught.value)
    assert "--redo embed" in str(caught.value)
    assert finished(stage, redo="always").rows == 15


@pytest.mark.parametrize(("theirs", "ours"), [("plan.json", "manifest.json"), ("manifest.json", "plan.json")])
def test_a_plan_is_no_manifest_and_a_manifest_no_plan(tmp_path: Path, theirs: str, ours: str) -> None:
    stage = Run(str(tmp_path)).stage("embed")
    before = finished(stage)
    (tmp_path / "embed" / ours).write_bytes((tmp_path / "embed" / theirs).read_bytes())
    read = stage.manifest if ours == "manifest.json" else stage.shards
    for ask in (read, lambda: stage.begin(identity(), shards)):
        with pytest.raises(DamagedError, match=rf"embed/{ours} is another record than that of embed\. `siglino verify"):
            ask()
    stage.drop_damaged()
    assert finished(stage).digest == before.digest


def test_a_manifest_of_no_stage_is_none(tmp_path: Path) -> None:
    stage = Run(str(tmp_path)).stage("embed")
    finished(stage)
    path = tmp_path / "embed/manifest.json"
    for change in ({"stage": None}, {"stage": "cluster"}, {"files": []}):
        whole = path.read_bytes()
        path.write_bytes(sealed({**opened(whole, ""), **change}))
        with pytest.raises(DamagedError, match="is another record"):
            stage.require()
        path.write_bytes(whole)


@pytest.mark.parametrize("was", [{}, {"format": 2}])
def test_a_run_of_an_earlier_version_is_refused_in_one_sentence(tmp_path: Path, was: dict[str, int]) -> None:
    stage = Run(str(tmp_path)).stage("embed")
    finished(stage)
    for name in ("plan.json", "manifest.json"):
        path = tmp_path / "embed" / name
        path.write_bytes(as_json({**opened(path.read_bytes(), ""), **was}))
    says = r"json was made by an earlier version of this software, .* --redo the stage to make it again.$"
    for ask in (stage.manifest, stage.require, stage.shards, lambda: stage.begin(identity(), shards)):
        with pytest.raises(ConfigError, match=says):
            ask()
    todo = stage.begin(identity(), shards, redo="stale")
    assert (todo.state, len(todo.missing)) == ("Computed", 3)
    for shard in todo.missing:
        write(todo.stage, shard)
    assert stage.finish(identity(), todo) == stage.require()
