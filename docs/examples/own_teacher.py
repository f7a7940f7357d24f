"""A teacher of your own, any timm vision transformer: `targets.teachers=[own_teacher:load]`."""

import hashlib
import os

import timm
import torch

from siglino_core.encoders import Card
from siglino_core.teachers.by_shape import batches
from siglino_core.teachers.teacher import Targets


class OwnTeacher:
    def __init__(self, name: str, weights: str, device: str, dtype: torch.dtype) -> None:
        self.net = timm.create_model(name, checkpoint_path=weights, num_classes=0, dynamic_img_size=True)
        self.net.eval().requires_grad_(False).to(device, dtype)
        with open(weights, "rb") as file:  # of one identity, one set of targets
            identity = hashlib.file_digest(file, "sha256").hexdigest()[:32]
        self.card = Card(name="own", dim=self.net.num_features, identity=identity)

    @torch.no_grad()
    def __call__(self, patches_NV, shapes):
        tokens = {}
        for places, pixels_B3HW in batches(patches_NV, shapes, self.card.patch_size):  # in +-1, images of one shape
            features = self.net.forward_features(pixels_B3HW.to(next(self.net.parameters())))
            tokens |= zip(places, features, strict=True)  # each image's [1 + patches, dim]
        in_order = [tokens[i] for i in range(len(shapes))]
        return Targets(torch.stack([t[0] for t in in_order]), torch.cat([t[1:] for t in in_order]))


def load(device: str, dtype: torch.dtype) -> OwnTeacher:
    return OwnTeacher(os.environ["OWN_TEACHER"], os.environ["OWN_WEIGHTS"], device, dtype)
