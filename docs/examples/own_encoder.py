"""An encoder of your own, any timm model: `embed.encoder=own_encoder:load`."""

import hashlib
import os

import timm
import torch

from siglino_core.encoders import Card, Flops, Preprocess
from siglino_core.encoders.encoder import Encoder

SIZE, HALF = 64, (0.5, 0.5, 0.5)


def load(device: str, dtype: torch.dtype) -> Encoder:
    """What embeds: a card, and `encode`, from uint8 pixels [B, 64, 64, 3] to unit-length features, by `Encoder`."""
    net = timm.create_model(os.environ["OWN_ENCODER"], checkpoint_path=os.environ["OWN_WEIGHTS"], num_classes=0)
    with open(os.environ["OWN_WEIGHTS"], "rb") as file:  # of one identity, one set of features
        identity = hashlib.file_digest(file, "sha256").hexdigest()[:32]
    card = Card(
        name="own",
        dim=net.num_features,
        identity=identity,
        preprocess=Preprocess(size=SIZE, fit="squash"),  # or "crop"
        flops=Flops(linear=11.5e6),  # of 16 x 16 pixels, in a resnet10t; for `siglino plan` alone
    )
    return Encoder(net, card, mean=HALF, std=HALF, device=device, dtype=dtype)
