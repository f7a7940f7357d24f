"""The synthetic set: from the seed and the number alone, boxes that are their masks' bounds, and what it refuses."""

import hashlib
import pickle
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from siglino_core.errors import ConfigError, DataError
from siglino_core.evaluation.data.cutouts import Cutout, Half, half_of
from siglino_core.evaluation.data.scenes import bounds
from siglino_core.grounding.data.encoded import require_size
from siglino_core.grounding.data.referring import Referring, raster_order
from siglino_core.grounding.data.synthetic import scenes as module
from siglino_core.grounding.data.synthetic.level import EASY, HARD, LEVELS, MEDIUM
from siglino_core.grounding.data.synthetic.scenes import Scenes
from siglino_core.grounding.data.table import from_table, to_table
from tests.cutouts import cutouts
from tests.pictures import picture

CUTOUTS = cutouts(24)


def told(row: Referring) -> tuple:
    return row.image_id, row.data, [(e.text, e.boxes_K4.tolist()) for e in row.expressions]


@pytest.mark.parametrize("level", LEVELS)
def test_boxes_are_the_bounds_of_their_masks_in_raster_order(level: str) -> None:
    scenes = Scenes(3, (96, 128), level=LEVELS[level], count=12, cutouts=CUTOUTS)
    assert len(scenes) == 12
    for row in scenes:
        require_size(row.image_id, row.data, 128, 96)
        assert row.expressions
        for expression in row.expressions:
            assert expression.masks is not None
            assert [bounds(m) for m in expression.masks] == [tuple(b) for b in expression.boxes_K4.astype(int).tolist()]
            assert raster_order(expression.boxes_K4).tolist() == list(range(len(expression.boxes_K4)))


def test_any_order_and_any_process_give_the_same_bytes() -> None:
    scenes = Scenes(1, (64, 64), level=MEDIUM, count=40)
    first = [told(scenes[i]) for i in range(6)]
    assert [told(scenes[i]) for i in reversed(range(6))] == first[::-1]
    assert told(Scenes(1, (64, 64), level=MEDIUM, count=7)[5]) == first[5]
    code = (
        "import hashlib; from siglino_core.grounding.data.synthetic.scenes import Scenes;"
        "from siglino_core.grounding.data.synthetic.level import MEDIUM;"
        "row = Scenes(1, (64, 64), level=MEDIUM)[4];"
        "print([e.text for e in row.expressions], hashlib.sha256(row.data).hexdigest())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    expected = f"{[text for text, _ in first[4][2]]} {hashlib.sha256(first[4][1]).hexdigest()}\n"
    assert done.stdout == expected


def test_other_seeds_splits_levels_and_numbers_are_other_scenes() -> None:
    one = Scenes(1, (64, 64))
    others = [
        Scenes(2, (64, 64))[0],
        Scenes(1, (64, 64), split="val")[0],
        Scenes(1, (64, 64), level=MEDIUM)[0],
        one[1],
    ]
    assert all(other.data != one[0].data and other.image_id != one[0].image_id for other in others)
    assert (one[0].split, others[1].split) == ("synthetic/train", "synthetic/val")


def test_train_and_test_have_no_cut_out_in_common() -> None:
    only = replace(MEDIUM, shapes=(), cutouts=1.0)
    train, val = (Scenes(0, level=only, split=split, cutouts=CUTOUTS) for split in ("train", "val"))
    assert {c.cutout_id for c in train._cutouts} == {
        c.cutout_id for c in CUTOUTS if half_of(c.cutout_id, 0.5) is Half.TRAIN
    }
    assert not {c.cutout_id for c in train._cutouts} & {c.cutout_id for c in val._cutouts}
    words = {word for i in range(8) for e in train[i].expressions for word in e.text.split()}
    assert words & {"disc", "box", "bar"}
    assert not words & {"circle", "red", "blue", "shape", "square"}


def test_photographs_are_behind() -> None:
    photograph = picture(5, size=(200, 200))
    plain, behind = (Scenes(0, level=MEDIUM, photographs=p) for p in ([], [photograph]))
    assert plain.identity != behind.identity
    assert plain[0].data != behind[0].data


def test_a_referring_set_goes_through_parquet() -> None:
    rows = [Scenes(0, (64, 64), level=HARD)[i] for i in range(3)]
    for row, back in zip(rows, from_table(to_table(rows)), strict=True):
        assert told(row) == told(back)
        for a, b in zip(row.expressions, back.expressions, strict=True):
            assert all(np.array_equal(m, n) for m, n in zip(a.masks or (), b.masks or (), strict=True))


def test_what_cannot_be_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ATTEMPTS", 1)
    with pytest.raises(ConfigError, match="sides have 48 to"):
        Scenes(0, (40, 64))
    with pytest.raises(IndexError):
        Scenes(0, count=3)[3]
    with pytest.raises(IndexError):
        Scenes(0, count=3)[-1]
    with pytest.raises(DataError, match="or no shape is drawn"):
        Scenes(0, level=replace(EASY, shapes=()))
    crowded = replace(EASY, objects=(20, 20), repeats=True)
    with pytest.raises(DataError, match="20 objects found no place on 64 x 64"):
        Scenes(0, (64, 64), level=crowded)[0]


@pytest.mark.parametrize(
    ("label", "says"), [("Circle", "a word for drawn"), ("stars", "a word"), ("x" * 251, "250 characters")]
)
def test_labels_that_cannot_be_asked_for(label: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        Scenes(0, cutouts=[Cutout(cutout_id=c.cutout_id, data=c.data, label=label) for c in CUTOUTS])


def test_labels_are_written_as_words() -> None:
    spaced = [Cutout(cutout_id=c.cutout_id, data=c.data, label=f" big \n {c.label} ") for c in CUTOUTS]
    scenes = Scenes(0, level=replace(MEDIUM, shapes=()), cutouts=spaced)
    assert {c.label for c in scenes._cutouts} == {"big disc", "big box", "big bar"}


def test_a_copy_in_another_process_is_the_same_set() -> None:
    scenes = Scenes(0, (64, 64), level=MEDIUM, cutouts=CUTOUTS)
    assert told(pickle.loads(pickle.dumps(scenes))[3]) == told(scenes[3])
