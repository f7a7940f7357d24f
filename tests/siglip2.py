"""A small SigLIP2 of both towers with a tokenizer of its own kind, as the hub's folders have them."""

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import Siglip2Config, Siglip2Model

from tests.siglino_core.models.tiny import filled

SPECIAL = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]
BYTES = [f"<0x{i:02X}>" for i in range(256)]
SENTENCES = ["a photo of a dog", "a drawing of a cat", "the map of a town"]
SETTINGS = {  # what the published checkpoints say of theirs
    "tokenizer_class": "GemmaTokenizer",
    "add_bos_token": False,
    "add_eos_token": True,
    "padding_side": "right",
    "model_input_names": ["input_ids"],
    **{f"{name.strip('<>')}_token": name for name in SPECIAL},
}


def write(folder: Path, width: int = 32, **tokenizer: Any) -> Siglip2Model:
    """The model, whose files are in the folder then.

    Args:
        tokenizer: settings of ``tokenizer_config.json`` that differ.
    """
    made = _tokenizer()
    small = {"hidden_size": width, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = {**small, "vocab_size": made.get_vocab_size(), "bos_token_id": 2, "eos_token_id": 1, "pad_token_id": 0}
    model = Siglip2Model(Siglip2Config(text_config=text, vision_config={**small, "num_patches": 16})).eval()
    filled(model)
    with torch.no_grad():
        model.logit_scale.fill_(1.5)
        model.logit_bias.fill_(-2.0)
    model.save_pretrained(folder)
    made.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({**SETTINGS, **tokenizer}))
    return model


def _tokenizer() -> Tokenizer:
    made = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    made.normalizer = normalizers.Replace(" ", "▁")
    made.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=SPECIAL + BYTES, show_progress=False)
    made.train_from_iterator(SENTENCES, trainer)
    made.post_processor = processors.TemplateProcessing(single="$A <eos>", special_tokens=[("<eos>", 1)])
    return made
