"""Checkpoints: whole or absent, kept by rule, read by any number of ranks, and never another training's."""

import hashlib
import json
import warnings
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.tensor import DTensor

from siglino_core.distillation.optim import OptimConfig, build
from siglino_core.distillation.optim.ema import Ema
from siglino_core.distillation.training.checkpoints import Checkpoints, prime, state_of
from siglino_core.distillation.training.parallel import parallelize
from siglino_core.errors import ConfigError, DamagedError, DataError, StoreError
from siglino_core.models.hf_config import SigLinoHFConfig
from siglino_core.store import Files
from siglino_core.weights.checkpoint import tensor, weights
from siglino_core.weights.load import load_student
from siglino_core.weights.marks import MARK
from tests.ranks import on_ranks
from tests.records import read
from tests.siglino_core.models.tiny import TINY, patches, student

CONFIG = SigLinoHFConfig.of(TINY).to_dict()


def saved(store: Checkpoints, step: int, value: float = 0.0) -> None:
    store.save({"model.x": torch.full((3,), value)}, CONFIG, {"step": step})


def test_the_newest_and_some_old_ones_are_kept(tmp_path: Path) -> None:
    store = Checkpoints(Files(str(tmp_path)), "f", last=2, every=30)
    for step in (10, 20, 30, 40, 50, 60, 70, 80):
        saved(store, step, step)
    store.finish()
    assert [k.step for k in store.all()] == [30, 60, 70, 80]  # 70 is kept for nothing but its age
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"step_000000{step}" for step in (30, 60, 70, 80)]
    assert tensor(tmp_path / "step_00000060", "model.x").tolist() == [60, 60, 60]


def test_what_was_not_finished_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Checkpoints(Files(str(tmp_path)), "f")
    saved(store, 1)
    store.finish()
    with monkeypatch.context() as patch:  # all is written but the mark, and then it is killed
        patch.setattr("siglino_core.distillation.training.checkpoints.mark", lambda *_: None)
        saved(store, 2)
        store._writing[0].result()  # type: ignore[index]
    (tmp_path / "step_00000002" / "__2_0.distcp").write_bytes(b"of a third rank")
    again = Checkpoints(Files(str(tmp_path)), "f")
    assert [k.step for k in again.all()] == [1]
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "Detected an existing checkpoint")
        saved(again, 2)
        again.finish()
    assert not (tmp_path / "step_00000002" / "__2_0.distcp").exists()
    assert [k.step for k in again.all()] == [1, 2]


def test_what_is_saved_does_not_move_on(tmp_path: Path) -> None:
    store, x = Checkpoints(Files(str(tmp_path)), "f"), torch.zeros(1 << 20)
    store.save({"model.x": x}, CONFIG, {"step": 1})
    x += 1
    store.finish()
    assert not tensor(tmp_path / "step_00000001", "model.x").any()


def test_another_trainings(tmp_path: Path) -> None:
    saved(store := Checkpoints(Files(str(tmp_path)), "one"), 1)
    store.finish()
    with pytest.raises(ConfigError, match="another training"):
        Checkpoints(Files(str(tmp_path)), "other").all()


def test_a_mark_has_every_file(tmp_path: Path) -> None:
    saved(store := Checkpoints(Files(str(tmp_path)), "f"), 1)
    store.finish()
    folder = tmp_path / "step_00000001"
    found = {p.name: [p.stat().st_size, hashlib.sha256(p.read_bytes()).hexdigest()] for p in folder.iterdir()}
    found.pop(MARK)
    assert read(folder / MARK)["files"] == found
    assert {".metadata", "config.json", "__0_0.distcp"} == found.keys()


DAMAGED = {
    "a flipped bit": lambda path: path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:]),
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "gone": Path.unlink,
}


@pytest.mark.parametrize(
    ("name", "how"),
    [
        (name, how)
        for name in (".metadata", "config.json", "__0_0.distcp", MARK)
        for how in DAMAGED
        if (name, how) != (MARK, "gone")  # it is then one that was not finished
    ],
)
def test_a_damaged_newest_one_is_named_and_gone_on_without(tmp_path: Path, name: str, how: str) -> None:
    store, said = Checkpoints(Files(str(tmp_path)), "f"), []
    for step in (1, 2):
        saved(store, step, step)
    store.finish()
    found = store.newest(said.append)
    assert found is not None
    assert (found.step, said) == (2, [])
    DAMAGED[how](tmp_path / "step_00000002" / name)
    found = store.newest(said.append)
    assert found is not None
    assert found.step == 1
    (line,) = said
    assert f"step_00000002 ({name}): not what was written, or gone. Training goes on from step_00000001." in line
    assert [k.step for k in store.all()] == [1], "it is none any more"
    store.newest(said.append)
    assert len(said) == 1, "it was said"
    saved(store, 2, 2)
    store.finish()
    assert tensor(tmp_path / "step_00000002", "model.x").tolist() == [2, 2, 2]


def test_only_damaged_ones_are_an_error_each_time(tmp_path: Path) -> None:
    store = Checkpoints(Files(str(tmp_path)), "f")
    assert store.newest() is None
    for step in (1, 2):
        saved(store, step)
    store.finish()
    for name in ("step_00000001/config.json", f"step_00000002/{MARK}"):
        DAMAGED["a flipped bit"](tmp_path / name)
    before = sorted(tmp_path.rglob("*"))
    for _ in range(2):
        with pytest.raises(DamagedError, match=r"step_00000001 \(config.json\).*no checkpoint is left.*--redo train"):
            store.newest()
    assert sorted(tmp_path.rglob("*")) == before


def test_what_is_damaged_is_not_deleted_by_the_rule(tmp_path: Path) -> None:
    store = Checkpoints(Files(str(tmp_path)), "f", last=1)
    saved(store, 1)
    store.finish()
    DAMAGED["a flipped bit"](tmp_path / f"step_00000001/{MARK}")
    saved(store, 2)
    store.finish()
    assert (tmp_path / "step_00000001").exists()


def test_a_mark_of_an_earlier_version_is_refused(tmp_path: Path) -> None:
    saved(store := Checkpoints(Files(str(tmp_path)), "f"), 1)
    store.finish()
    (tmp_path / "step_00000001" / MARK).write_text(json.dumps({"step": 1, "fingerprint": "f"}, indent=2))
    with pytest.raises(ConfigError, match="made by an earlier version of this software"):
        store.newest()


@pytest.mark.parametrize("name", [".metadata", "config.json", "__0_0.distcp", MARK])
def test_weights_of_a_damaged_one_are_not_read(tmp_path: Path, name: str) -> None:
    saved(store := Checkpoints(Files(str(tmp_path)), "f"), 1)
    store.finish()
    folder = tmp_path / "step_00000001"
    DAMAGED["a flipped bit"](folder / name)
    with pytest.raises(DamagedError, match=rf"{folder}.* damaged: .*Take another checkpoint, e.g. the one before it"):
        weights(folder)
    (folder / MARK).unlink()
    with pytest.raises(DataError, match=r"has no checkpoint\.json: its training did not finish it"):
        weights(folder)


def shared(folder: str) -> tuple[int, list[str]]:
    """What a rank finds newest, and what it is told."""
    said: list[str] = []
    store = Checkpoints(Files(folder), "f", rank=dist.get_rank(), group=dist.new_group(backend="gloo"))
    found = store.newest(said.append)
    assert found is not None
    return found.step, said


@pytest.mark.slow
def test_ranks_share_the_hashing_and_agree(tmp_path: Path) -> None:
    store = Checkpoints(Files(str(tmp_path)), "f")
    for step in (1, 2):
        saved(store, step)
    store.finish()
    DAMAGED["a flipped bit"](tmp_path / "step_00000002" / "config.json")
    found = on_ranks(shared, str(tmp_path), ranks=3)
    assert [step for step, _ in found] == [1, 1, 1]
    assert [len(said) for _, said in found] == [1, 0, 0]


def test_one_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    saved(store := Checkpoints(Files(str(tmp_path)), "f"), 1)
    store.finish()
    for file in (tmp_path / "step_00000001").glob("*.distcp"):
        file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(StoreError, match="step_00000001 cannot be read"):
        store.restore({"model.x": torch.zeros(3)}, "step_00000001")


def trained(world: int, steps: int, folder: str, shard: int = 0) -> dict[str, Tensor]:
    """So many steps more than the newest checkpoint; the whole state after them."""
    model = parallelize(student(seed=1).train(), device="cpu", dtype=torch.float32, world=world, fsdp_size=shard)
    optimizers = build(model, OptimConfig(lr=1e-2, steps=9, warmup_steps=0))
    ema = Ema(model, 0.9)
    prime(optimizers)
    rank, group = (dist.get_rank(), dist.new_group(backend="gloo")) if world > 1 else (0, None)
    store = Checkpoints(Files(folder), "f", rank=rank, group=group)
    step = 0
    if kept := store.all():
        store.restore(state_of(model, optimizers, ema), kept[-1].name)
        step = kept[-1].step
    shapes = [(2, 3), (4, 2)]
    for i in range(step, step + steps):
        features = model(torch.cat(patches(TINY, shapes, seed=i)), model.layout(shapes))
        sum(x.square().mean() for x in features.patches.values()).backward()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        ema.update(model)
    state = state_of(model, optimizers, ema)
    store.save(state, CONFIG, {"step": step + steps})
    store.finish()
    if world > 1:
        dist.barrier()
    return {k: (v.full_tensor() if isinstance(v, DTensor) else v).detach().clone() for k, v in state.items()}


def resumed(folder: str, steps: int, shard: int) -> dict[str, Tensor]:
    return trained(dist.get_world_size(), steps, folder, shard)


@pytest.mark.slow
def test_resumed_by_other_ranks(tmp_path: Path) -> None:
    wanted = trained(1, 4, str(tmp_path / "whole"))
    trained(1, 1, str(tmp_path / "parts"))
    on_ranks(resumed, str(tmp_path / "parts"), 1, 0)
    on_ranks(resumed, str(tmp_path / "parts"), 1, 1, ranks=3)  # each with its own copy
    found = trained(1, 1, str(tmp_path / "parts"))
    assert found.keys() == wanted.keys()
    assert any(key.startswith("optim.") and "momentum" in key for key in found)
    for key, value in wanted.items():
        torch.testing.assert_close(found[key], value, rtol=1e-4, atol=1e-5, msg=lambda m, k=key: f"{k}: {m}")


def test_its_weights_are_a_student(tmp_path: Path) -> None:
    state = trained(1, 2, str(tmp_path))
    folder = tmp_path / "step_00000002"
    loaded = load_student(str(folder)).state_dict()
    assert all(torch.equal(loaded[k], state[f"ema.{k}"]) for k in loaded)
    assert weights(folder).keys() == loaded.keys()
    assert read(folder / MARK)["step"] == 2
