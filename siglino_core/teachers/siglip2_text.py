"""SigLIP2's text tower through transformers: texts where its pooled images lie.

Texts are lower-cased, tokenised by the checkpoint's own tokenizer, padded on the right to 64 tokens and truncated at
64, as in training. The tower attends to the padding, so it gets no mask, and pools the last of the 64 places.

Legend: B texts, C width.
"""

import torch
from torch import Tensor

from siglino_core.encoders.hub import FILES, Checkpoint
from siglino_core.encoders.spec import Spec
from siglino_core.teachers.text import TextTower

TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
TOKENS = 64


def load_text(spec: Spec, device: str = "cpu") -> TextTower:
    """The tower, its scale and its bias, of a hub id or local folder that has both towers.

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
    tower = model.text_model.eval().requires_grad_(False).to(device)

    def embed(texts: list[str]) -> Tensor:
        lower = [text.lower() for text in texts]
        tokens = tokenizer(lower, padding="max_length", truncation=True, max_length=TOKENS, return_tensors="pt")
        return tower(input_ids=tokens["input_ids"].to(device)).pooler_output

    scale, bias = float(model.logit_scale.detach().exp()), float(model.logit_bias.detach())
    return TextTower(dim=tower.head.out_features, embed=embed, scale=scale, bias=bias)
