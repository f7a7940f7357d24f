"""Teachers' statistics: parts merge into the whole, the way to bytes and back, and what looks wrong is said."""

import re
from typing import Any

import pytest
import torch

from siglino_core.distillation.targets.phi_s import PhiS
from siglino_core.distillation.targets.statistics import Statistics, TeacherMoments, pack, unpack
from siglino_core.encoders.card import Card
from siglino_core.errors import DataError, StoreError
from siglino_core.teachers.teacher import Targets

CARD = Card(name="both", dim=24, identity="0")
FLAT = Card(name="flat", dim=90, identity="0", patches=False)


def targets(seed: int, card: Card = CARD, images: int = 40) -> Targets:
    draw = torch.Generator().manual_seed(seed)
    summaries, patches = (torch.randn(n, card.dim, generator=draw) + 3 for n in (images, images * 5))
    return Targets(summaries, 4 * patches if card.patches else None)


def fitted(card: Card = CARD, seed: int = 0) -> Statistics:
    moments = TeacherMoments(card)
    moments.update(targets(seed, card))
    return moments.fit()


def same(a: PhiS, b: PhiS) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.tensors().values(), b.tensors().values(), strict=True))


def test_saved_and_loaded() -> None:
    made = {"both": fitted(), "flat": fitted(FLAT)}
    data = Statistics.save(made)
    assert data == Statistics.save(dict(reversed(made.items())))
    loaded = Statistics.load(data)
    assert set(loaded) == {"both", "flat"}
    assert loaded["flat"].patch is None
    assert made["both"].patch is not None
    assert loaded["both"].patch is not None
    assert same(loaded["both"].summary, made["both"].summary)
    assert same(loaded["both"].patch, made["both"].patch)
    assert (loaded["both"].summary.kind, loaded["flat"].summary.kind) == ("hadamard", "random")


def test_keys_are_teacher_then_token_type() -> None:
    keys = unpack(Statistics.save({"both": fitted()}), "x", depth=3)
    assert set(keys) == {f"both.{kind}.{t}" for kind in ("summary", "patch") for t in PhiS.tensors(fitted().summary)}


def test_parts_merge_into_the_whole() -> None:
    whole, merged = TeacherMoments(CARD), TeacherMoments(CARD)
    for seed in range(4):
        whole.update(targets(seed))
        part = TeacherMoments(CARD)
        part.update(targets(seed))
        merged.merge(unpack(pack({"both": part.tensors()}), "state", depth=1)["both"])
    assert merged.by_kind["summary"].count == 160
    for kind in ("summary", "patch"):
        a, b = whole.fit(), merged.fit()
        torch.testing.assert_close(getattr(a, kind).mean, getattr(b, kind).mean, rtol=1e-12, atol=1e-12)
        assert getattr(a, kind).phi == pytest.approx(getattr(b, kind).phi, rel=1e-12)


@pytest.mark.parametrize(("kind", "says"), [("summary", "summaries"), ("patch", "patches")])
def test_constant_outputs_name_the_teacher(kind: str, says: str) -> None:
    moments = TeacherMoments(CARD)
    given = targets(0)._asdict()
    given["summaries" if kind == "summary" else "patches"] = torch.full_like(
        given["summaries" if kind == "summary" else "patches"], 0.1
    )
    moments.update(Targets(**given))
    with pytest.raises(DataError, match=rf"^teacher both, {says}: all [\d,]+ rows are the same"):
        moments.fit()


def test_one_image_is_too_few() -> None:
    moments = TeacherMoments(CARD)
    moments.update(targets(0, images=1))
    with pytest.raises(DataError, match=r"^teacher both, summaries: 1 rows"):
        moments.fit()


def test_what_is_not_finite_names_the_teacher() -> None:
    given = targets(0)
    given.summaries[3, 4] = float("nan")
    with pytest.raises(DataError, match=r"^teacher both, summaries: 1 of 40 rows hold NaN"):
        TeacherMoments(CARD).update(given)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda s: s * torch.nn.functional.one_hot(torch.tensor(7), 24).add(0.01), "channel 7 holds .* of all 24"),
        (lambda s: 1e6 + s, "hardly vary"),
        (lambda s: s, None),
    ],
)
def test_what_looks_wrong(change: Any, says: str | None) -> None:
    moments = TeacherMoments(CARD)
    given = targets(0)
    moments.update(given._replace(summaries=change(given.summaries)))
    if says is None:
        assert moments.warnings() == []
    else:
        [found] = moments.warnings()
        assert found.startswith("teacher both, summaries: ")
        assert re.search(says, found)


@pytest.mark.parametrize("data", [b"", b"not safetensors", pack({"both.summary": {"mean": torch.ones(3)}})])
def test_damaged_files(data: bytes) -> None:
    with pytest.raises(StoreError, match=r"stats is damaged.*run the targets stage again"):
        Statistics.load(data, "stats")
