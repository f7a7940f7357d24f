"""The one door to networks that are evaluated: what a config names, as `viewed.Viewed`, or what it will be."""

from siglino_core.config import ModelConfig
from siglino_core.device import choose
from siglino_core.encoders.spec import UNTRAINED
from siglino_core.evaluation.network.plan import Described, planned
from siglino_core.evaluation.network.texts import Aligned
from siglino_core.evaluation.network.viewed import Viewed
from siglino_core.networks import load_encoder, load_teacher, same_teacher

__all__ = ["UNTRAINED", "Described", "describe_network", "load_network"]


def describe_network(config: ModelConfig, *, min_pixels: int = 0, max_pixels: int = 0) -> Described:
    """Identity, views, dense views, texts and pixels; no network is built where files tell them.

    Args:
        min_pixels, max_pixels: bounds on an image's area where the config has none.

    Raises:
        ConfigError, DataError: as :func:`load_network`.
    """
    return planned(config, min_pixels=min_pixels, max_pixels=max_pixels)


def load_network(
    config: ModelConfig,
    *,
    min_pixels: int = 0,
    max_pixels: int = 0,
    device: str = "auto",
    precision: str = "auto",
) -> Viewed:
    """The network, frozen and ready to compute.

    Args:
        min_pixels, max_pixels: bounds on an image's area where the config has none.
        device, precision: as `siglino_core.device.choose` has them; features are fp32 whatever the network computes in.

    Raises:
        ConfigError: there is no such network, it cannot be shown images so, or no such view or text side.
        DataError: its weights are damaged, or changed while they were loaded.
    """
    import siglino_core.evaluation.network.encoder as by_pixels
    import siglino_core.evaluation.network.student as by_heads
    import siglino_core.evaluation.network.teacher as by_packs

    plan = planned(config, min_pixels=min_pixels, max_pixels=max_pixels)
    chosen = choose(device, precision)
    if plan.spec.embeds:
        return by_pixels.EncoderNetwork(load_encoder(plan.spec, device, precision), plan)
    teacher = same_teacher(load_teacher(plan.spec, chosen.device, chosen.dtype), plan.card)
    heads = {name: _aligned(name, plan, chosen.device) for name in plan.beside}
    if plan.shape is not None:
        return by_heads.StudentNetwork(teacher.model, plan, heads)  # type: ignore[attr-defined]
    return by_packs.TeacherNetwork(teacher, plan, chosen.device, heads)


def _aligned(name: str, plan: Described, device: str) -> Aligned:
    from siglino_core.teachers.dinotxt import head_of

    head, _ = head_of(plan.beside[name].spec)
    return Aligned(of=plan.beside[name].of, head=head.to(device))
