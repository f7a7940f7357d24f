"""The second stage's mixture: the parts and pack settings of the experiment openlvd-high, of made-up sizes."""

from dataclasses import replace

import numpy as np

from flows.config import compose_config
from siglino_core.config import TrainConfig
from siglino_core.distillation.packing import Cost, Mixture, Part, Plan, native_between
from siglino_core.models.config import PRESETS
from siglino_core.models.resolution import Resolution
from tests.siglino_core.distillation.packing.sizes import web_sizes

RANKS = 32
COST = Cost.of(PRESETS["siglino-moe-0.3b"])


def experiment() -> TrainConfig:
    """The experiment's training."""
    return compose_config(["experiment=openlvd-high"]).train


def high(images: int, sizes: str = "web") -> Mixture:
    """An epoch of so many images, from two pools of half as many.

    Args:
        images: of an epoch.
        sizes: of the high-resolution pool: ``web``: as `web_sizes`; ``large``: every image is above 768^2, as those of
            SA-1B are: the shorter side of 1,500, the longer one up to twice that.
    """
    own = web_sizes(images // 2, 1) if sizes == "web" else large_sizes(images // 2)
    other = web_sizes(images // 2, 2)
    parts = []
    for p in experiment().parts:
        heights_N, widths_N = other if p.run else own
        rows_N = native_between(heights_N, widths_N, p.native_from, p.native_to or 1 << 15)
        rule = Resolution(min_pixels=p.min_pixels, max_pixels=p.max_pixels)
        parts.append(Part.of(p.name, heights_N[rows_N], widths_N[rows_N], rule, rows_N=rows_N, ratio=p.ratio))
    return Mixture(parts=parts, images=images)


def large_sizes(images: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Heights and widths in pixels, int64 [images] each: the shorter side is 1,500."""
    rng = np.random.default_rng(seed)
    longer_N = np.rint(1500 * np.minimum(2, np.exp(np.abs(0.35 * rng.standard_normal(images))))).astype(np.int64)
    upright_N = rng.random(images) < 0.5
    return np.where(upright_N, longer_N, 1500), np.where(upright_N, 1500, longer_N)


def plan_of(mixture: Mixture, **pack: object) -> Plan:
    """By the experiment's pack settings, and those given."""
    return Plan(mixture, replace(experiment().pack, **pack), COST)  # type: ignore[arg-type]
