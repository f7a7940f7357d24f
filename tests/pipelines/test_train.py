"""The train stage in one process: what a good run leaves, that settings do what they say, and one clear error."""

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from pipelines import train
from siglino_core.config import Config
from siglino_core.distillation.curated.index import ImageIndex
from siglino_core.distillation.targets.statistics import unpack
from siglino_core.distillation.training.student import new_student, student_config
from siglino_core.errors import WARNING, ConfigError, DamagedError, DataError, StoreError
from siglino_core.models import SigLino, SigLinoConfig
from siglino_core.store import Run
from siglino_core.teachers.teacher import Targets
from siglino_core.weights.checkpoint import tensor, weights
from tests import records
from tests.pipelines import distilling
from tests.pipelines.curated import curated
from tests.pipelines.distilling import STUDENT, TIMES, begun, curve, lines
from tests.pipelines.own_teachers import Own
from tests.siglino_core.models.tiny import exported
from tests.stages import table

STEPS, PACKS = 6, 4
BASE: dict[str, Any] = {"train__optim__steps": STEPS, "train__pack__packs_per_step": PACKS, "train__optim__lr": 3e-3}


class Moody(Own):
    """Its patches are NaN when it is asked for the so-manieth time: `bad`."""

    asked = 0
    bad: range = range(0)

    def changed(self, told: Targets) -> Targets:
        Moody.asked += 1
        return told._replace(patches=torch.nan * self.some(told.patches)) if Moody.asked - 1 in Moody.bad else told

    @staticmethod
    def some(x: Tensor | None) -> Tensor:
        assert x is not None
        return x


def moody(device: str, dtype: torch.dtype) -> Own:
    return Moody()


def other(device: str, dtype: torch.dtype) -> Own:
    return Own(name="other")


def spec_of(function: Any) -> str:
    return f"{__name__}:{function.__name__}"


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)
    monkeypatch.setattr(Moody, "asked", 0)
    monkeypatch.setattr(Moody, "bad", range(0))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A curated run, and one with targets online, a student's shape beside them."""
    folder = tmp_path_factory.mktemp("curated")
    curated(folder)
    distilling.student(folder)
    distilling.ready(folder / "run", folder / "online", of(folder, folder / "online"))
    return folder


def of(made: Path, run: str | Path, **changes: Any) -> Config:
    return distilling.config(run, [spec_of(moody)], str(made / "student.json"), **{**BASE, **changes})


def trained(made: Path, to: Path, **changes: Any) -> Run:
    """A run that was trained to its end."""
    run = begun(made, to)
    train.run(of(made, to, **changes), run)
    return run


@pytest.fixture(scope="module")
def plain(made: Path) -> Run:
    """A good run; not to be changed."""
    return trained(made, made / "plain")


def last(run: Run) -> Path:
    return Path(run.url, "train", "checkpoints", f"step_{STEPS:08d}")


def state(run: Run, step: int, prefix: str) -> dict[str, Tensor]:
    """What a checkpoint holds under a prefix."""
    from siglino_core.weights.checkpoint import _held, _read

    folder = last(run).parent / f"step_{step:08d}"
    held = _held(folder)
    return _read(folder, held, [key for key in held if key.startswith(prefix)])


def test_a_good_run(made: Path, plain: Run) -> None:
    found = list(lines(plain.url))
    assert [line["step"] for line in found] == list(range(STEPS))
    # Six steps of a dozen images: errors are of other images each step, relations fall in all of them.
    assert found[-1]["own.relation"] < found[0]["own.relation"] / 2
    for line in found:
        assert {"grad_norm", "lr", "own.summary", "own.patch", "own.relation", "expert_entropy", *TIMES} <= line.keys()
        assert line["bad_steps"] == 0
        parts = line["own.summary"] + line["own.patch"] + line["own.relation"]
        assert line["loss"] == pytest.approx(parts, rel=1e-5)
        assert line["own.patch_explained"] == pytest.approx(1 - line["own.patch"])
        assert line["tokens"] <= PACKS * 64
    manifest = plain.stage("train").require()
    facts = manifest.facts
    assert (facts["steps"], facts["ranks"], facts["cluster_level"], facts["max_pixels"]) == (STEPS, 1, 1, 64**2)
    assert facts["images"] == sum(line["images"] for line in found)
    assert facts["tokens"] == sum(line["tokens"] for line in found)
    assert facts["losses"]["first"]["loss"] == pytest.approx(found[0]["loss"], abs=1e-6)
    assert facts["losses"]["last"]["own.patch"] == pytest.approx(found[-1]["own.patch"], abs=1e-6)
    assert 0 <= facts["padding"] < 0.5
    assert 0 <= facts["data_wait"] < 1
    assert facts["tokens_per_second"] > 0
    weights_there = load_file(Path(plain.url, "train/student/model.safetensors"))
    assert facts["parameters"] == sum(t.numel() for t in weights_there.values())
    assert json.loads(json.dumps(facts)) == facts
    losses = table(plain, "train", "clusters/")
    assert sum(losses["images"].to_pylist()) == facts["images"]
    errors = sum(n * e for n, e in zip(losses["images"].to_pylist(), losses["loss"].to_pylist(), strict=True))
    wanted = sum(line["images"] * (line["own.summary"] + line["own.patch"]) for line in found)
    assert errors == pytest.approx(wanted, rel=1e-4)


def test_a_second_time_reuses_and_what_is_lost_is_made_again(made: Path, plain: Run, tmp_path: Path) -> None:
    assert train.run(of(made, plain.url), plain).state == "Reused"
    run = trained(made, tmp_path / "run")
    digest = run.stage("train").require().digest
    assert digest == plain.stage("train").require().digest
    Path(run.url, "train/student/model.safetensors").unlink()
    result = train.run(of(made, run.url), run)
    assert (result.state, result.manifest.digest) == ("Resumed", digest)
    assert curve(run.url) == curve(plain.url)


def test_loaders_change_nothing(made: Path, plain: Run, tmp_path: Path) -> None:
    run = trained(made, tmp_path / "run", train__num_workers=1)
    assert curve(run.url) == curve(plain.url)
    assert run.stage("train").require().digest == plain.stage("train").require().digest


def test_flips_change_images_and_not_their_order(made: Path, plain: Run, tmp_path: Path) -> None:
    ours, theirs = curve(trained(made, tmp_path / "run", train__flip=True).url), curve(plain.url)
    for name in ("images", "tokens", "padding", "lr"):
        assert [line[name] for line in ours] == [line[name] for line in theirs]
    assert all(a["loss"] != b["loss"] for a, b in zip(ours, theirs, strict=True))


def test_two_packs_at_once(made: Path, plain: Run, tmp_path: Path) -> None:
    one, two = curve(plain.url), curve(trained(made, tmp_path / "two", train__packs_at_once=2).url)
    for name in ("loss", "own.patch", "own.relation", "own.summary_cosine", "grad_norm"):
        assert [line[name] for line in two] == pytest.approx([line[name] for line in one], rel=1e-3)


def test_relations_of_fewer_packs(made: Path, plain: Run, tmp_path: Path) -> None:
    """Two of four packs: by two passes of one pack, or by one of two."""
    changes = {"train__loss__relation_packs": 2}
    one = curve(trained(made, tmp_path / "one", **changes).url)
    two = curve(trained(made, tmp_path / "two", train__packs_at_once=2, **changes).url)
    assert [line["own.relation"] for line in two] == pytest.approx([line["own.relation"] for line in one], rel=1e-3)
    assert all(a["own.relation"] != b["own.relation"] for a, b in zip(one, curve(plain.url), strict=True))


@pytest.mark.parametrize("keep", ["bf16", "summary"])
def test_stored_targets(made: Path, plain: Run, tmp_path: Path, keep: str) -> None:
    cfg = of(made, tmp_path / "run", targets__keep=keep)
    run = distilling.ready(made / "run", tmp_path / "run", cfg)
    train.run(cfg, run)
    ours, theirs = curve(run.url), curve(plain.url)
    assert [line["own.summary"] for line in ours[:1]] == pytest.approx([theirs[0]["own.summary"]], rel=1e-3)
    if keep == "bf16":
        assert [line["loss"] for line in ours] == pytest.approx([line["loss"] for line in theirs], rel=5e-3)
    else:
        assert "own.patch" not in ours[0]


def test_mixed_precision_alone(made: Path, plain: Run, tmp_path: Path) -> None:
    run = trained(made, tmp_path / "run", train__precision="bf16")
    ours, theirs = ([line["loss"] for line in curve(url)] for url in (run.url, plain.url))
    assert ours[0] == pytest.approx(theirs[0], rel=0.002)
    assert ours == pytest.approx(theirs, rel=0.1)  # rounding sends tokens to other experts from the first update on
    found = load_file(Path(run.url, "train/student/model.safetensors"))
    assert {t.dtype for t in found.values()} == {torch.float32}


def test_averaged_weights_are_what_is_exported(made: Path, tmp_path: Path) -> None:
    changes = {"train__optim__ema": 0.5, "train__checkpoint_steps": 1, "train__keep_every": 1}
    run = trained(made, tmp_path / "run", **changes)
    cfg, cards = of(made, run.url, **changes), [Moody().card]
    wanted = new_student(student_config(cfg.train, cards), seed=cfg.seed, heads={}).state_dict()
    for step in range(1, STEPS + 1):
        now = state(run, step, "model.")
        wanted = {k: v.lerp(now[f"model.{k}"], 0.5) if v.is_floating_point() else v for k, v in wanted.items()}
    found = load_file(Path(run.url, "train/student/model.safetensors"))
    key = "layers.0.attention.wq.weight"
    torch.testing.assert_close(found[key], wanted[key])
    assert not torch.equal(found[key], tensor(last(run), f"model.{key}"))
    assert all(torch.equal(found[k], v) for k, v in weights(last(run)).items())


def test_experts_are_balanced(made: Path, plain: Run, tmp_path: Path) -> None:
    biases = [v for k, v in state(plain, STEPS, "model.").items() if k.endswith("expert_bias")]
    assert len(biases) == STUDENT.layers
    assert all(1e-4 < bias.abs().max() < 2e-3 * STEPS for bias in biases)
    assert all(bias.mean().abs() < 1e-8 for bias in biases)
    still = state(trained(made, tmp_path / "run", train__balance=0.0), STEPS, "model.")
    assert not any(v.any() for k, v in still.items() if k.endswith("expert_bias"))


def test_a_step_that_is_not_finite_changes_nothing(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Moody.bad = range(2 * PACKS, 3 * PACKS)
    changes = {"train__optim__ema": 0.9, "train__checkpoint_steps": 1, "train__keep_every": 1}
    run = trained(made, tmp_path / "run", **changes)
    found = curve(run.url)
    assert [line["bad_steps"] for line in found] == [0, 0, 1, 0, 0, 0]
    assert [line["loss"] is None for line in found] == [False, False, True, False, False, False]
    for prefix in ("model.", "ema.", "optim."):
        before, after, later = (state(run, step, prefix) for step in (2, 3, 4))
        assert [k for k in before if not torch.equal(before[k], after[k])] == []
        assert any(not torch.equal(after[k], later[k]) for k in after)
    losses = table(run, "train", "clusters/")
    assert all(x == x for x in losses["loss"].to_pylist())
    assert sum(losses["images"].to_pylist()) == sum(line["images"] for line in found if line["loss"] is not None)
    facts = run.stage("train").require().facts
    assert facts["losses"]["last"]["loss"] == pytest.approx(found[-1]["loss"], abs=1e-6)


def test_too_many_bad_steps(made: Path, tmp_path: Path) -> None:
    Moody.bad = range(3 * PACKS, 100 * PACKS)
    run = begun(made, tmp_path / "run")
    said: list[str] = []
    with pytest.raises(
        DataError, match=r"^train: 3 steps in a row .* not finite, the last one step 5 with images"
    ) as e:
        train.run(of(made, run.url, train__checkpoint_steps=2), run, lambda *progress: said.append(str(progress[3])))
    left_out = [f"{WARNING}step {i}: the loss is not finite ({i - 3} in a row), step left out" for i in (4, 5, 6)]
    assert [note for note in said if note.startswith(WARNING)] == left_out
    named = [word.strip(",") for word in str(e.value).split() if len(word.strip(",")) == 32]
    index = ImageIndex.load(run.stage("sample"))
    assert len(named) == 8
    assert set(named) <= {index.image_id(i) for i in range(len(index))}
    assert [line["loss"] is None for line in lines(run.url)] == [False] * 3 + [True] * 3
    assert [p.name for p in sorted(last(run).parent.iterdir())] == ["step_00000002", "step_00000004"]
    Moody.bad, Moody.asked = range(0), 0
    assert train.run(of(made, run.url, train__checkpoint_steps=2), run).state == "Resumed"
    assert [line["bad_steps"] for line in lines(run.url)] == [0, 0, 0, 1, 0, 0]


def corrupt(run: Run, row: int) -> str:
    """Overwrite an image of the sample; its id."""
    index = ImageIndex.load(run.stage("sample"))
    path = Path(run.url, "sample", index.shards[index.shard_N[row]])
    data = bytearray(path.read_bytes())
    data[index.offset_N[row] : index.offset_N[row] + 16] = bytes(16)
    path.write_bytes(data)
    return index.image_id(row)


def refused(kind: type[Exception], says: str, made: Path, run: Run, **changes: Any) -> bool:
    """Whether the run ends in one message of the kind, and in no artifact."""
    with pytest.raises(kind, match=says) as caught:
        train.run(of(made, run.url, **changes), run)
    message = str(caught.value)
    return "Traceback" not in message and message.count("\n") <= 2 and run.stage("train").manifest() is None


def test_targets_that_are_not_this_runs(made: Path, tmp_path: Path) -> None:
    run = begun(made, tmp_path / "run")
    grid = "were made by another config:\n  targets.max_pixels: 4096 there, 6400 here\nUse --redo targets"
    assert refused(ConfigError, grid, made, run, targets__max_pixels=80**2)
    teacher = r"by another config:\n  targets.teachers: {'own': 'own'} there, {'other': 'other'} here\n"
    assert refused(ConfigError, teacher, made, run, targets__teachers=[spec_of(other)])
    records.edit(Path(run.url, "sample/manifest.json"), digest="0" * 64)
    assert refused(ConfigError, r"targets are of another sample \(.*, this run's is 0000.*--redo targets", made, run)
    shutil.rmtree(tmp_path / "run" / "targets")
    assert refused(StoreError, r"targets is not finished: run `siglino distill --from targets` first", made, run)


def test_checkpoints_of_another_training(made: Path, tmp_path: Path) -> None:
    run = trained(made, tmp_path / "run")
    with pytest.raises(ConfigError, match=r"made by another config:\n  optim.lr: 0.003 there, 0.001 here"):
        train.run(of(made, run.url, train__optim__lr=1e-3), run)
    for name in ("plan.json", "manifest.json"):
        Path(run.url, "train", name).unlink()
    assert refused(ConfigError, r"checkpoint of another training .*--redo train", made, run, train__optim__lr=1e-3)
    assert train.run(of(made, run.url, train__optim__lr=1e-3), run, redo="always").state == "Computed"


def test_weights_to_begin_from(made: Path, plain: Run, tmp_path: Path) -> None:
    run = trained(made, tmp_path / "run", train__checkpoint=str(last(plain)))
    assert curve(run.url)[0]["loss"] < curve(plain.url)[0]["loss"]
    student = Path(plain.url, "train/student")
    moved = shutil.copytree(last(plain), tmp_path / "moved")
    assert train.run(of(made, run.url, train__checkpoint=str(moved)), run).state == "Reused"
    with pytest.raises(ConfigError, match=r"made by another config:\n  inputs.checkpoint"):
        train.run(of(made, run.url, train__checkpoint=str(student)), run)
    wider = SigLinoConfig(**{**vars(STUDENT), "width": 48})
    shape = distilling.student(tmp_path, wider)
    fresh = begun(made, tmp_path / "fresh")
    assert refused(
        ConfigError,
        r"^train\.checkpoint=.*student is of another student than train\.student: \S+ and \d+ more differ$",
        made, fresh, train__checkpoint=str(student), train__student=shape,
    )  # fmt: skip
    assert refused(
        ConfigError, "nothing there", made, begun(made, tmp_path / "b"), train__checkpoint=str(tmp_path / "none")
    )


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_an_anchor_that_is_the_student_itself_costs_nothing_at_first(
    made: Path, plain: Run, tmp_path: Path, precision: str
) -> None:
    """Packs of images of several sizes, some mirrored; in bf16 through FSDP, which the anchor does without."""
    itself = str(last(plain))
    changes: dict[str, Any] = {"train__checkpoint": itself, "train__loss__gram": 2.0, "train__flip": True}
    changes |= {"train__loss__gram_checkpoint": itself, "train__precision": precision}
    found = [line["siglino.gram"] for line in curve(trained(made, tmp_path / "run", **changes).url)]
    assert found[0] < 1e-9
    assert all(gram > 1e-7 for gram in found[1:])


def test_an_anchor(made: Path, plain: Run, tmp_path: Path) -> None:
    anchor = {"train__loss__gram": 2.0, "train__loss__gram_checkpoint": str(last(plain))}
    run = trained(made, tmp_path / "run", **anchor)
    ours, theirs = curve(run.url), curve(plain.url)
    assert ours[0]["own.patch"] == theirs[0]["own.patch"]  # the student is the same, and pays for one thing more
    assert all(line["siglino.gram"] > 1e-4 for line in ours)
    assert ours[0]["loss"] == pytest.approx(theirs[0]["loss"] + 2 * ours[0]["siglino.gram"])
    assert ours[-1]["siglino.gram"] < ours[0]["siglino.gram"]
    assert run.stage("train").require().facts["losses"]["first"]["siglino.gram"] > 0
    moved = shutil.copytree(last(plain), tmp_path / "moved")
    anchor["train__loss__gram_checkpoint"] = str(moved)
    assert train.run(of(made, run.url, **anchor), run).state == "Reused"
    anchor["train__loss__gram_checkpoint"] = str(last(run))
    with pytest.raises(ConfigError, match=r"made by another config:\n  inputs.gram_checkpoint"):
        train.run(of(made, run.url, **anchor), run)
    anchor["train__loss__gram_checkpoint"] = str(tmp_path / "none")
    assert refused(ConfigError, "none: there is nothing there", made, begun(made, tmp_path / "b"), **anchor)
    anchor["train__loss__gram_checkpoint"] = exported(tmp_path / "coarse", SigLino(replace(STUDENT, patch_size=32)))
    says = r"^train\.loss\.gram_checkpoint=.*coarse has patches of 32 pixels and 3 channels, train\.student of 16 and 3"
    assert refused(ConfigError, says, made, begun(made, tmp_path / "c"), **anchor)


def test_an_anchor_has_its_price(made: Path) -> None:
    prices = [
        train.plan(of(made, "runs/x", targets__keep="bf16", targets__teachers=["lite"], **changes), {}).device_hours
        for changes in ({}, {"train__loss__gram": 1.0, "train__loss__gram_checkpoint": "runs/earlier"})
    ]
    assert prices[1] == pytest.approx(prices[0] * 4 / 3, rel=0.05)


def test_a_shape_of_ones_own_may_move_but_not_change(made: Path, tmp_path: Path) -> None:
    run = trained(made, tmp_path / "run")
    moved = distilling.student(tmp_path, name="moved.json")
    assert train.run(of(made, run.url, train__student=moved), run).state == "Reused"
    distilling.student(tmp_path, SigLinoConfig(**{**vars(STUDENT), "top_k": 1}), name="moved.json")
    with pytest.raises(ConfigError, match=r"made by another config:\n  student.top_k: 2 there, 1 here"):
        train.run(of(made, run.url, train__student=moved), run)


def test_what_vanished_or_broke(made: Path, tmp_path: Path) -> None:
    run = begun(made, tmp_path / "run")
    name = corrupt(run, 20)
    assert refused(DamagedError, r"sample: images/part-0\d+\.parquet: not the bytes", made, run)
    unchecked = {"runtime__check_inputs": 0}
    assert refused(DataError, rf"^image {name} of the sample cannot be decoded", made, run, **unchecked)
    Path(run.url, "sample/images/part-00001.parquet").unlink()
    assert refused(StoreError, r"sample/images/part-00001\.parquet", made, run, **unchecked)
    cfg = of(made, tmp_path / "stored", targets__keep="bf16")
    stored = distilling.ready(made / "run", tmp_path / "stored", cfg)
    Path(stored.url, "targets/part-00002.parquet").unlink()
    assert refused(StoreError, r"targets/part-00002\.parquet", made, stored, targets__keep="bf16", **unchecked)


def test_a_damaged_checkpoint_is_named(made: Path, tmp_path: Path) -> None:
    run = trained(made, tmp_path / "run", train__checkpoint_steps=2)
    Path(run.url, "train/manifest.json").unlink()
    shutil.rmtree(last(run))
    for file in (last(run).parent / "step_00000004").glob("*.distcp"):
        file.write_bytes(file.read_bytes()[:100])
    says = r"step_00000004 \(__0_0\.distcp\): not what was written, or gone, and no checkpoint is left to go on from"
    assert refused(DamagedError, says, made, run, train__checkpoint_steps=2)


def test_a_damaged_last_checkpoint_is_made_again(made: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = trained(made, tmp_path / "run", train__checkpoint_steps=2)
    digest, before = run.stage("train").require().digest, curve(run.url)
    for name in ("manifest.json", "student/config.json"):  # the student comes from the checkpoint again
        Path(run.url, "train", name).unlink()
    (file,) = last(run).glob("*.distcp")
    file.write_bytes(file.read_bytes()[:-1] + bytes([file.read_bytes()[-1] ^ 1]))
    with caplog.at_level("WARNING", "siglino.train"):
        again = train.run(of(made, run.url, train__checkpoint_steps=2), run)
    assert [r.message.partition(": ")[2] for r in caplog.records if r.name == "siglino.train"] == [
        f"step_00000006 ({file.name}): not what was written, or gone. Training goes on from step_00000004."
    ]
    assert (again.manifest.digest, curve(run.url)) == (digest, before)


def test_a_curve_that_was_changed_is_named(made: Path, tmp_path: Path) -> None:
    run = trained(made, tmp_path / "run", train__checkpoint_steps=2)
    path = Path(run.url, "train/metrics.jsonl")
    whole = path.read_bytes()
    for name in ("manifest.json", "student/config.json"):
        Path(run.url, "train", name).unlink()
    path.write_bytes(whole.replace(b"0", b"1", 1))  # a number like any other
    assert refused(DamagedError, r"metrics\.jsonl is damaged: .* or delete it", made, run, train__checkpoint_steps=2)
    shutil.rmtree(last(run))
    assert refused(DamagedError, r"it is not what step 4 left", made, run, train__checkpoint_steps=2)
    path.write_bytes(whole + b'{"half')
    assert train.run(of(made, run.url, train__checkpoint_steps=2), run).manifest.rows == 6


def test_ranks_that_cannot_be(made: Path, tmp_path: Path) -> None:
    run = begun(made, tmp_path / "run")
    assert refused(ConfigError, "train.ranks=2 needs runtime.runner=ray", made, run, train__ranks=2)
    assert refused(
        ConfigError, "packs_per_step=4 over train.ranks=8: every rank holds as many", made, run, train__ranks=8
    )


def test_a_lost_curve_does_not_cost_the_training(made: Path, tmp_path: Path) -> None:
    run = trained(made, tmp_path / "run")
    digest = run.stage("train").require().digest
    for name in ("manifest.json", "metrics.jsonl", "student/model.safetensors"):
        Path(run.url, "train", name).unlink()
    assert train.run(of(made, run.url), run).manifest.digest == digest


def teachers_of(values: Sequence[str]) -> set[str]:
    return {value.partition(".")[0] for value in values}


def test_heads_are_the_teachers(made: Path, tmp_path: Path) -> None:
    specs = distilling.teachers(tmp_path)
    cfg = distilling.config(tmp_path / "run", specs, str(made / "student.json"), **{**BASE, "train__optim__steps": 2})
    run = distilling.ready(made / "run", tmp_path / "run", cfg)
    train.run(cfg, run)
    found = load_file(Path(run.url, "train/student/model.safetensors"))
    heads = unpack(Path(run.url, "targets/heads.safetensors").read_bytes(), "heads", depth=1)
    for key, value in heads["siglip2"].items():
        assert torch.equal(found[f"siglip2_multihead_attention_pooling_head.{key}"], value)
    assert teachers_of([k for k in curve(run.url)[0] if "." in k]) == {"siglip2", "dinov3"}
    assert "dinov3.register" in curve(run.url)[0]
