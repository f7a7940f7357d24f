"""What prices of several stages share."""

from siglino_core.config import RuntimeConfig
from siglino_core.device import choose

LARGE = 1e10  # FLOPs of an image from which nobody would take CPUs


def on_gpu(image_flops: float, runtime: RuntimeConfig, precision: str) -> bool:
    """Whether a stage is priced on GPUs: where there is one here, and for networks too large for CPUs.

    Raises:
        ConfigError: the device or the precision that was asked for isn't there.
    """
    return image_flops > LARGE or choose(runtime.device, precision).device == "cuda"
