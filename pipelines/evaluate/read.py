"""Reads a unit of a split and makes of each image the pixels that a network wants: the first step of an extraction."""

import io
from collections.abc import Mapping
from typing import Any

import numpy as np

from pipelines.support.decoding import Decoded
from siglino_core.config import SourceConfig
from siglino_core.evaluation.data.sample import EvalSample, Split, Unreadable
from siglino_core.evaluation.network.viewed import Pixels
from siglino_core.hashing import fingerprint
from siglino_core.images.decode import BadImage, decode
from siglino_core.pools.rows import image_id
from siglino_core.store import Shard

HELD_BYTES = 256 << 20  # of pixels that one process keeps for the next network
BY_NETWORK = ("mean", "std", "then_squeezed_to")  # of what is told of pixels: what the network itself makes of them
LIMITS = {"max_pixels": SourceConfig().max_pixels, "max_bytes": SourceConfig().max_bytes}


class Held:
    """Decoded units that the next network may want as they are: the first ones that fit."""

    def __init__(self, most: int = HELD_BYTES) -> None:
        self._left = most
        self._units: dict[str, Decoded] = {}

    def get(self, key: str) -> Decoded | None:
        return self._units.get(key)

    def put(self, key: str, decoded: Decoded) -> None:
        size = len(decoded["pixels"])
        if size <= self._left:
            self._left -= size
            self._units[key] = decoded


class Reader:
    """Sent with every task: splits leave their lists behind, and a task's unit comes in its shard.

    Args:
        sources: splits, and how their images become pixels, by the folder of their features.
        held: where one process reads for several networks.
    """

    def __init__(self, sources: Mapping[str, tuple[Split, Pixels]], held: Held | None = None) -> None:
        self._sources, self._held = dict(sources), held

    def decoded(self, shard: Shard) -> Decoded:
        """The unit's pixels, uint8 [H, W, 3] each, one after the other; and a row of what is known of each sample."""
        if self._held is None:
            return self._decoded(shard)
        split, pixels = self._sources[shard["features"]]
        rule = {name: value for name, value in pixels.describe().items() if name not in BY_NETWORK}
        key = fingerprint([split.identity, shard["name"], shard["unit"], rule])
        decoded = self._held.get(key)
        if decoded is None:
            decoded = self._decoded(shard)
            self._held.put(key, decoded)
        return {"meta": {**decoded["meta"], "features": shard["features"]}, "pixels": decoded["pixels"]}

    def _decoded(self, shard: Shard) -> Decoded:
        split, rule = self._sources[shard["features"]]
        pixels = io.BytesIO()
        rows: list[dict[str, Any]] = []
        for sample in split.read(shard["unit"]):
            row = {"sample_id": sample.sample_id, "label": sample.label, "captions": list(sample.captions)}
            try:
                seen = _seen(sample, rule)
            except (BadImage, ValueError) as e:
                rows.append({**row, "error": f"{getattr(e, 'reason', 'unusable')}: {e}"})
                continue
            assert isinstance(sample, EvalSample)
            pixels.write(seen.data)
            mask = None if sample.mask is None else sample.mask.hex()
            rows.append({**row, "image_id": image_id(sample.data), "shape": list(seen.shape[:2]), "mask": mask})
        meta = {"shard": shard["name"], "features": shard["features"], "rows": rows}
        return {"meta": meta, "pixels": pixels.getbuffer()}


def _seen(sample: EvalSample | Unreadable, rule: Pixels) -> np.ndarray:
    if isinstance(sample, Unreadable):
        raise BadImage(sample.reason, sample.error)
    return np.ascontiguousarray(rule(decode(sample.data, **LIMITS)))
