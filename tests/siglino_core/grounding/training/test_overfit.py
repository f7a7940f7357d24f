"""The model learns few scenes by heart, and reads what it is asked."""

from pathlib import Path

import numpy as np
import pytest

from siglino_core.grounding.data.referring import Referring
from siglino_core.grounding.metrics.boxes import located
from siglino_core.grounding.metrics.masks import overlaps
from siglino_core.grounding.model import GroundingModel
from siglino_core.models.processor import SigLinoImageProcessor
from tests.siglino_core.grounding.training.taught import PATCH, SIDE, pairs, setting, taught

PROCESSOR = SigLinoImageProcessor(patch_size=PATCH, min_pixels=SIDE**2, max_pixels=SIDE**2)


def answered(model: GroundingModel, images: list[Referring], swapped: bool = False) -> tuple[list[np.ndarray], list]:
    """Boxes and masks of every expression in turn; swapped: those of each image's other one."""
    boxes, masks = [], []
    for image in images:
        texts = [e.text for e in image.expressions]
        asked = texts[::-1] if swapped else texts
        for found in model.predict(image.data, asked, "mask", processor=PROCESSOR, forced=True):
            boxes.append(np.array([found[0].box_xyxy]))
            masks.append(found[0].mask)
    return boxes, masks


@pytest.mark.slow
def test_eight_scenes_by_heart_and_swapped_texts_swap_the_answers(tmp_path: Path) -> None:
    images = pairs(8)
    model = taught(tmp_path / "run", setting(images), steps=160)
    true = np.concatenate([e.boxes_K4 for image in images for e in image.expressions])
    partner = np.concatenate([e.boxes_K4 for image in images for e in image.expressions[::-1]])
    boxes, masks = answered(model, images)
    assert located(boxes, true).accuracy(0.5) == 1.0
    assert located(boxes, true).mean_iou > 0.8
    swapped, _ = answered(model, images, swapped=True)
    assert located(swapped, true).accuracy(0.5) == 0.0
    assert located(swapped, partner).accuracy(0.5) == 1.0
    wanted = [e.masks[0] for image in images for e in image.expressions if e.masks is not None]
    assert overlaps(masks, wanted).mean_iou > 0.45
    free = [len(f) for i in images for f in model.predict(i.data, [e.text for e in i.expressions], processor=PROCESSOR)]
    assert free == [1] * 16
