"""dino.txt: texts for DINOv3's features, of a teacher or of a student that learned them.

``dinotxt:FOLDER_OR_FILE`` names the public file ``dinov3_vitl16_dinotxt_vision_head_and_text_encoder-*.pth``, or the
same tensors as safetensors: the image side, which starts from DINOv3's tokens, and the text side. It is no network of
images by itself.

Source: Jose et al. 2024, arXiv:2412.16334; `siglino_core.teachers.dinotxt_model` has the two models.

Legend: B texts, T tokens, C width.
"""

from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from siglino_core.encoders.encoder import weights_hash
from siglino_core.encoders.spec import Spec
from siglino_core.encoders.weights import weights_in
from siglino_core.errors import ConfigError
from siglino_core.teachers.dinotxt_model import TextModel, VisionHead
from siglino_core.teachers.text import TextTower

IMAGES, TEXTS, SCALE = "visual_model.head.", "text_model.", "logit_scale"
PATTERNS = ("*dinotxt*.safetensors", "*dinotxt*.pth", "*.safetensors", "*.pth")


def describe(spec: Spec) -> NoReturn:
    """There is no card: raises ConfigError, which says where it is named instead."""
    raise ConfigError(
        f"{spec.asked}: dino.txt is the text side of DINOv3's features, and no network of images. In an evaluation "
        f"texts=dinov3={spec.kind}:{spec.source} names it"
    )


outline = describe


def load(spec: Spec, *_: Any) -> NoReturn:
    """Raises as :func:`describe`."""
    describe(spec)


def head_of(spec: Spec) -> tuple[VisionHead, str]:
    """The image side, on the CPU, in fp32, and a hash of its weights.

    Raises:
        ConfigError: it cannot be had, or is of something else.
    """
    head = _filled(VisionHead, _tensors(spec, IMAGES), spec)
    return head, weights_hash(head)


def load_text(spec: Spec, device: str = "cpu") -> TextTower:
    """The text side with its scale, in fp32. CLIP's BPE lower-cases; a text is cut at 77 tokens, its end kept.

    Raises:
        ConfigError: it cannot be had, is of something else, or open_clip, whose tokenizer it takes, is not installed.
    """
    model = _filled(TextModel, _tensors(spec, TEXTS), spec).to(device)
    scale = _tensors(spec, SCALE).get("")
    tokenizer = _tokenizer(spec, model.context)

    def embed(texts: list[str]) -> Tensor:
        return model(tokenizer(texts).to(device))

    return TextTower(dim=model.dim, embed=embed, scale=None if scale is None else float(scale.float().exp().squeeze()))


def _tokenizer(spec: Spec, context: int) -> Any:
    try:
        from open_clip.tokenizer import SimpleTokenizer
    except ImportError as e:
        raise ConfigError(f"{spec.asked} needs CLIP's tokenizer: pip install open_clip_torch") from e
    return SimpleTokenizer(context_length=context)


def _filled(cls: Any, state: dict[str, Tensor], spec: Spec) -> Any:
    """The model of these weights, frozen."""
    try:
        model: nn.Module = cls.shaped(state)
        model.load_state_dict(state, strict=True)
    except (KeyError, RuntimeError, ValueError) as e:
        raise _unusable(spec, f"its weights are not dino.txt's ({' '.join(str(e).split())[:300]})") from e
    return model.float().eval().requires_grad_(False)


def _tensors(spec: Spec, prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin so, without the beginning."""
    try:
        path = weights_in(spec.source, *PATTERNS)
        return _read(path, prefix)
    except Exception as e:  # safetensors', torch's unpickler's, and the file system's
        raise _unusable(spec, f"{type(e).__name__}: {' '.join(str(e).split())[:300]}") from e


def _read(path: Path, prefix: str) -> dict[str, Tensor]:
    if path.suffix == ".safetensors":
        from safetensors import safe_open

        with safe_open(path, "pt") as file:
            found = {key: file.get_tensor(key) for key in file.keys() if key.startswith(prefix)}  # noqa: SIM118
    else:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        found = {key: value for key, value in state.items() if key.startswith(prefix)}
    return {key.removeprefix(prefix): value for key, value in found.items()}


def _unusable(spec: Spec, why: str) -> ConfigError:
    return ConfigError(
        f"{spec.asked}: {why}. Give DINOv3's file of the dino.txt vision head and text encoder, or a folder with it."
    )
