"""How like patches are to CLS and to one another in a student, and in models that were fine-tuned from it.

    python -m scripts.evaluation.grounding_profile STUDENT MODEL... [--images 200] [--side 64]

Gram anchoring is to keep the student's profile. Images are drawn scenes of the test split.
"""

import argparse
from collections.abc import Iterator

import torch
from torch import Tensor

from siglino_core.evaluation.patch_profile import patch_profile
from siglino_core.grounding.data.synthetic.scenes import Scenes
from siglino_core.grounding.folder import load_grounding
from siglino_core.grounding.model import OF_TEXT, headless
from siglino_core.models import SigLino
from siglino_core.models.processor import SigLinoImageProcessor
from siglino_core.weights.load import load_student


def student_of(folder: str) -> SigLino:
    """The image side of a fine-tuned model, as the student that it is."""
    model = load_grounding(folder).model
    student = SigLino(headless(model.config.student))
    state = {k: v for k, v in model.student.state_dict().items() if not OF_TEXT.search(k)}
    student.load_state_dict(state)
    return student.eval()


@torch.no_grad()
def features(student: SigLino, images: int, side: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Patches and CLS of each scene, after the last norm."""
    processor = SigLinoImageProcessor(student.spec.patch_size, min_pixels=side**2, max_pixels=side**2)
    for scene in Scenes(0, (side, side), count=images, split="test"):
        patches_NV, grid = processor.patches(scene.data)
        layout = student.layout([grid])
        tokens_TD = student.encode(patches_NV, layout)
        yield tokens_TD[layout.patch_N], tokens_TD[0]


def main() -> None:
    """Print a line a network."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("student")
    parser.add_argument("models", nargs="*")
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--side", type=int, default=64)
    words = parser.parse_args()
    networks = {words.student: load_student(words.student)} | {m: student_of(m) for m in words.models}
    for name, network in networks.items():
        told = patch_profile(features(network, words.images, words.side))
        print(
            f"{name}: patch to CLS {told.to_summary:.3f}, patch to patch {told.to_one_another:.3f}, variance within "
            f"images {told.within_images:.3f}, {told.images} images"
        )


if __name__ == "__main__":
    main()
