"""A split of scenes: halves that share no cut-out, units that cover all, an identity that tells any change."""

import io
import pickle
from typing import Any

import numpy as np
import pytest
from PIL import Image

from siglino_core.errors import ConfigError, DataError
from siglino_core.evaluation.data import composites as module
from siglino_core.evaluation.data.composites import Composites
from siglino_core.evaluation.data.cutouts import Cutout, Half, half_of
from siglino_core.evaluation.data.sample import EvalSample, Split
from siglino_core.images.decode import decode_numbers
from tests.cutouts import cutouts
from tests.pictures import encode, picture

MADE = cutouts(60)


def split(half: Half = Half.TEST, **settings: Any) -> Composites:
    return Composites(
        **{"cutouts": MADE, "half": half, "scenes": 10, "size": (64, 80), "scenes_per_unit": 4} | settings
    )


def samples(of: Split) -> list[EvalSample]:
    found = [sample for unit in of.units() for sample in of.read(unit)]
    assert all(isinstance(s, EvalSample) for s in found)
    return found  # type: ignore[return-value]


def test_train_and_test_scenes_have_no_cutout_in_common_whatever_their_seeds() -> None:
    train, test = split(Half.TRAIN, seed=5, scenes=60), split(seed=6, scenes=60)
    used = [{o.cutout_id for i in range(60) for o in half.scene(i).objects} for half in (train, test)]
    assert min(map(len, used)) > 5
    assert not used[0] & used[1]
    assert train.classes == test.classes == ("background", "bar", "box", "disc")


def test_train_and_test_scenes_have_other_backgrounds() -> None:
    plain = [Image.new("RGB", (200, 200), (level, 0, 0)) for level in range(0, 250, 25)]
    photographs = [encode(im, "png") for im in plain]  # one colour each, and a scene shows one of them
    colours = []
    for half in Half:
        images = [Image.open(io.BytesIO(s.data)) for s in samples(split(half, photographs=photographs))]
        colours.append([max(im.getcolors(64 * 80) or [])[1] for im in images])
    assert colours[0] != colours[1]


def test_units_hold_every_scene_once_and_say_that_it_is_synthetic() -> None:
    of = split()
    assert [u["rows"] for u in of.units()] == [4, 4, 2]
    found = samples(of)
    assert [s.sample_id for s in found] == [f"synthetic/test/{i:06}" for i in range(10)]
    assert len(of) == 10
    assert len({s.data for s in found}) == 10
    assert list(of.read(of.units()[2])) == found[8:]


def test_masks_hold_the_numbers_of_the_classes() -> None:
    of = split()
    seen = set()
    for i, sample in enumerate(samples(of)):
        mask = decode_numbers(sample.mask or b"", max_pixels=1 << 20, max_bytes=1 << 24)
        objects = of.scene(i).objects
        assert all(of.classes[o.number] == o.label for o in objects)
        assert set(np.unique(mask).tolist()) - {0, 255} == {o.number for o in objects}
        seen |= {o.number for o in objects}
    assert seen == {1, 2, 3}


def test_the_same_settings_give_the_same_bytes_in_another_process_too() -> None:
    of, again = split(), pickle.loads(pickle.dumps(split(cutouts=MADE[::-1])))
    assert of.identity == again.identity
    assert samples(of) == samples(again)


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"scenes": 11},
        {"size": (80, 64)},
        {"labels": ("bar", "box")},
        {"photographs": [picture(1)]},
        {"half": Half.TRAIN},
        {"cutouts": MADE[:-6]},
        {
            "cutouts": [
                Cutout(cutout_id=c.cutout_id, data=d.data, label=c.label)
                for c, d in zip(MADE, cutouts(120)[60:], strict=True)
            ]
        },
    ],
)
def test_the_identity_changes_with_what_changes_the_scenes(change: dict[str, Any]) -> None:
    other = split(**change)
    assert other.identity != split().identity
    assert samples(other)[0].data != samples(split())[0].data or change == {"scenes": 11}


def test_classes_are_the_commonest_that_have_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    few = [Cutout(cutout_id=f"few{i}", data=c.data, label="few") for i, c in enumerate(cutouts(128)[120:])]
    halves = [half_of(c.cutout_id, 0.5) for c in few]
    assert 0 < min(halves.count(half) for half in Half) < 5
    assert split(cutouts=[*MADE, *few]).classes == ("background", "bar", "box", "disc")
    counts = {n: min(split(h).cutouts[n] for h in Half) for n in ("bar", "box", "disc")}
    monkeypatch.setattr(module, "MOST_CLASSES", 2)
    best = sorted(sorted(counts, key=lambda name: (-counts[name], name))[:2])
    assert split().classes == ("background", *best)


def test_how_many_go_into_a_unit_changes_nothing() -> None:
    assert split(scenes_per_unit=3).identity == split().identity
    assert samples(split(scenes_per_unit=3)) == samples(split())


def test_what_is_not_used_is_counted() -> None:
    opaque = Cutout(cutout_id="photo", data=picture(1), label="disc")
    of = split(cutouts=[*MADE, opaque], labels=("bar", "disc"))
    assert of.left_out["opaque"] == 1
    assert of.left_out["another_class"] == 20
    assert sum(of.cutouts.values()) + of.left_out["another_half"] == 40
    assert of.cutouts.keys() == {"bar", "disc"}
    assert of.classes == ("background", "bar", "disc")


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"scenes": 0}, ConfigError, "scenes=0"),
        ({"size": (20, 200)}, ConfigError, "sides of 64"),
        ({"test_share": 1.0}, ConfigError, "share"),
        ({"labels": ("cat",)}, DataError, "cat: no usable cut-out"),
        ({"cutouts": []}, DataError, "of 0 usable cut-outs no label has 5"),
        (
            {"cutouts": [Cutout(cutout_id=c.cutout_id, data=c.data, label="background") for c in MADE]},
            ConfigError,
            "background is class 0",
        ),
    ],
)
def test_what_cannot_be_is_refused(change: dict[str, Any], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        split(**change)
