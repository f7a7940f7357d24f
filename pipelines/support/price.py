"""What everything costs: all constants that a plan's prices are made of, and the two rules that they go through.

FLOPs come from the networks' cards and the student's config; what a device makes of them is here. A CPU core is one of
the machine that the demo is measured on, in fp32.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from siglino_core.config import RuntimeConfig, Verify
from siglino_core.device import choose
from siglino_core.encoders import Card, Flops

A100, CPU_CORE = "A100", "CPU core"  # what prices are told in
A100_PEAK = 312e12  # FLOP/s, bf16
LARGE_IMAGE = 4e9  # FLOPs of an image from which nobody would take CPUs
LARGE_CLUSTERING = 1e16  # FLOPs of a clustering from which nobody would
NODE = 8  # GPUs

# Bytes
WEB_IMAGE = 60_000  # of a web image at LAION's usual 256..512 px, when the pool can't be listed
SOURCE_ROW = 250  # a stored row without its image
EMBEDDED_ROW = 36  # an embedding's row without the embedding
ASSIGNED_ROW, A_LEVEL = 44, 4  # an image's row of assignments, and what each level adds
CENTROID_ROW = 16  # without the centroid
CENTROID_MEMORY = 12  # of a centroid's number in the driver: itself in fp32, and its sum in fp64
SAMPLED_ROW = 20  # of decisions
EXCHANGED_ROW = 80  # of sampling's scratch, without the embedding
REPORT = 8_000_000
REFERRED_BYTES = 163_000  # of an image of COCO's train2014: 13.5 GB over 82,783
EXPRESSIONS_ROW = 2_500  # of an image's expressions with masks, its index and its place in the footer
SCENE_BYTES, SCENE_PIXEL_BYTES = 8_000, 0.17  # of a synthetic scene of medium difficulty
MODEL_CODE = 300_000  # the code files, configs and the card beside an export's weights

# Seconds on one core
SOURCE_IMAGE = {  # JPEG of 640 x 480 pixels and 81 kB from Parquet; a PNG of that size takes five times as long
    Verify.DECODE: 0.0015,
    Verify.HEADER: 0.0005,
}
SAMPLED_IMAGE, KEPT_IMAGE = 20e-6, 100e-6  # through the exchange; into a training shard
REPORTED_IMAGE, MAP_POINT = 0.5e-3, 5e-3
REFERRED_IMAGE = 0.018  # COCO's: a JPEG of 640 x 480 is decoded, and seven outlines become masks
REFERRED_ROW = 0.007  # the same from Parquet, with its masks
SCENE, SCENE_PIXEL = 0.006, 1.1e-7  # a synthetic scene of medium difficulty: drawn, and written as PNG
EXPORTED_BYTE = 1 / 200e6  # read, hash and write, at a disk's pace


@dataclass(frozen=True, kw_only=True)
class Yield:
    """FLOP/s that a stage gets out of a device."""

    a100: float
    cpu_core: float


EMBED = Yield(a100=0.4 * A100_PEAK, cpu_core=2.3e10)  # forward passes; 30 images/s of EfficientNet-Lite0, measured
TARGETS = Yield(a100=0.4 * A100_PEAK, cpu_core=3e10)
TRAIN = Yield(a100=0.17 * A100_PEAK, cpu_core=2.6e10)  # published: 20k tokens/s at 2.6 GFLOP a token; the demo's
CLUSTER = Yield(a100=17.5e12, cpu_core=4e10)  # fp32 products: 90% of its fp32 peak
PAIRS = CLUSTER.cpu_core  # of near-duplicates inside a cell


def on_gpu(image_flops: float, runtime: RuntimeConfig, precision: str) -> bool:
    """Whether a stage is priced on GPUs: where there is one here, and for networks too large for CPUs.

    Raises:
        ConfigError: the device or the precision that was asked for isn't there.
    """
    return image_flops > LARGE_IMAGE or choose(runtime.device, precision).device == "cuda"


def device_hours(flops: float, rate: Yield, *, gpu: bool) -> tuple[str, float]:
    """The device that a stage is priced on, and its hours for so many FLOPs."""
    return (A100, flops / rate.a100 / 3600) if gpu else (CPU_CORE, flops / rate.cpu_core / 3600)


def unsaid(cards: Sequence[Card]) -> str:
    """A note on networks of the user's own whose cards tell no FLOPs: they are priced as nothing."""
    names = [card.name for card in cards if card.flops == Flops()]
    return f"; without {' and '.join(names)}, whose card says no `flops`" if names else ""
