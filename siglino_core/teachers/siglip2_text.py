"""SigLIP2's text tower through transformers: texts where its pooled images lie.

Texts are cleaned, tokenised by the checkpoint's own tokenizer, padded on the right with token 0 to 64 tokens and
truncated at 64, the end's token kept, as in training. The tower attends to the padding, so it gets no mask, and pools
the last of the 64 places.

Cleaning is ``canonical`` unless it is asked otherwise: lower case, no ASCII punctuation, single spaces, as the authors'
own zero-shot evaluation prepares class texts (big_vision's prompt_engineering) and open_clip does for every text of
theirs. Without it zero-shot accuracy on ImageNet was reported some 12 points lower (NVlabs/RADIO, pull request 142).
``lower`` alone is what the authors' retrieval does to captions.

Legend: B texts, C width.
"""

import string
from typing import Literal

import torch
from torch import Tensor

from siglino_core.encoders.hub import FILES, Checkpoint
from siglino_core.encoders.spec import Spec
from siglino_core.teachers.text import TextTower

TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
TOKENS = 64
Cleaning = Literal["canonical", "lower"]
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def canonical(text: str) -> str:
    """Lower case, without ASCII punctuation; underscores and runs of spaces become one space."""
    return " ".join(text.replace("_", " ").translate(_NO_PUNCTUATION).lower().split())


CLEANED = {"canonical": canonical, "lower": str.lower}


def has_text(spec: Spec) -> bool:
    """Whether a checkpoint has its text tower, by its configuration alone.

    Raises:
        ConfigError: it cannot be had, or is another model's.
    """
    checkpoint = Checkpoint(spec.source, spec.asked, "siglip2", "siglip2_vision_model", files=("config.json",))
    return checkpoint.config["model_type"] == "siglip2"


def load_text(spec: Spec, device: str = "cpu", cleaning: Cleaning = "canonical") -> TextTower:
    """The tower, its scale and its bias, of a hub id or local folder that has both towers.

    Args:
        cleaning: what is done to a text before it is tokenised.

    Raises:
        ConfigError: it is the vision tower alone, has no tokenizer, or cannot be read.
    """
    from transformers import AutoTokenizer, Siglip2Model

    checkpoint = Checkpoint(spec.source, spec.asked, "siglip2", "siglip2_vision_model", files=(*FILES, *TOKENIZER))
    if checkpoint.config["model_type"] != "siglip2":
        raise checkpoint.unusable("this is the vision tower alone, without its text tower.")
    if not (checkpoint.folder / TOKENIZER[0]).is_file():  # transformers would make an empty one
        raise checkpoint.unusable(f"{TOKENIZER[0]} is missing.")
    try:
        tokenizer = AutoTokenizer.from_pretrained(checkpoint.folder, padding_side="right", local_files_only=True)
    except Exception as e:  # tokenizers and transformers each raise their own
        raise checkpoint.unusable(f"its tokenizer: {type(e).__name__}: {' '.join(str(e).split())[:300]}") from e
    model = checkpoint.load(Siglip2Model, torch.float32)
    clean = CLEANED[cleaning]
    tower = model.text_model.eval().requires_grad_(False).to(device)

    def embed(texts: list[str]) -> Tensor:
        cleaned = [clean(text) for text in texts]
        tokens = tokenizer(cleaned, padding="max_length", truncation=True, max_length=TOKENS, return_tensors="pt")
        return tower(input_ids=tokens["input_ids"].to(device)).pooler_output

    scale, bias = float(model.logit_scale.detach().exp()), float(model.logit_bias.detach())
    return TextTower(dim=tower.head.out_features, embed=embed, scale=scale, bias=bias, cleaning=cleaning)
