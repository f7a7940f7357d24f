"""The student's shape: one frozen dataclass, and the configurations that have names.

Source: the SigLino release (arXiv 2512.20157) for the five published ones.
"""

from dataclasses import dataclass, replace

POOLING_HEADS = 16  # of SigLIP2's attention pooling
HEAD_HIDDEN = 4  # times the width: the hidden layer of a transformer head
FORMS = ("mlp", "linear", "transformer")  # of heads; `siglino_core.models.heads` has them


@dataclass(frozen=True, kw_only=True)
class HeadConfig:
    """A teacher whose features the student predicts.

    Attributes:
        name: one word; prefixes the head's keys in a checkpoint.
        dim: width of its features.
        pooled: its summary comes from its own attention pooling over all predicted tokens, else from the CLS token.
        form: how features are predicted, one of ``FORMS``; the published one is ``mlp``.
        layers: numbers of blocks, from 0 and before the last, whose tokens add to what is predicted from the last ones.
    """

    name: str
    dim: int
    pooled: bool = False
    form: str = "mlp"
    layers: tuple[int, ...] = ()

    @property
    def by_token(self) -> bool:
        """Whether a token's prediction depends on that token alone."""
        return self.form != "transformer"


SIGLIP2 = HeadConfig(name="siglip2", dim=1152, pooled=True)
DINOV3 = HeadConfig(name="dinov3", dim=1024)


@dataclass(frozen=True, kw_only=True)
class SigLinoConfig:
    """A student's shape.

    Attributes:
        width: of the residual stream.
        layers: how many blocks.
        heads, head_dim: of the attention; their product may differ from ``width``.
        hidden: of the dense SwiGLU layers (0 where every layer is a mixture).
        experts: of a mixture layer; 0 makes all layers dense.
        top_k: experts per token.
        expert_hidden: hidden width of one expert.
        dense_layers: so many first layers are dense although the others are mixtures.
        norm_weights: the blocks' RMSNorms have learned weights.
        norm_eps: of every RMSNorm with weights; the others use fp32's epsilon.
        registers: tokens beside CLS and the patches.
        patch_size: side of a patch, in pixels.
        channels: of a pixel.
        rope_min, rope_max: magnitudes of the golden frequencies.
        teachers: whose features are predicted, one head each.

    Raises:
        ValueError: a value outside its range; the message names it.
    """

    width: int
    layers: int
    heads: int
    head_dim: int
    hidden: int = 0
    experts: int = 0
    top_k: int = 0
    expert_hidden: int = 0
    dense_layers: int = 0
    norm_weights: bool = True
    norm_eps: float = 1e-5
    registers: int = 4
    patch_size: int = 16
    channels: int = 3
    rope_min: float = 1.0
    rope_max: float = 20.0
    teachers: tuple[HeadConfig, ...] = (SIGLIP2, DINOV3)

    def __post_init__(self) -> None:
        for name in ("width", "layers", "heads", "head_dim", "patch_size", "channels"):
            _require(getattr(self, name) >= 1, f"{name}={getattr(self, name)}: at least 1")
        _require(self.registers >= 0, f"registers={self.registers}: at least 0")
        _require(
            self.head_dim % 8 == 0, f"head_dim={self.head_dim}: a multiple of 8 (half of it rotates, in pairs, in 2-D)"
        )
        _require(0 <= self.dense_layers <= self.layers, f"dense_layers={self.dense_layers}: 0 to {self.layers}")
        _require(0 < self.rope_min <= self.rope_max, f"rope_min={self.rope_min}: above 0, at most {self.rope_max}")
        if any(self.is_mixture(i) for i in range(self.layers)):
            _require(self.expert_hidden >= 1, f"expert_hidden={self.expert_hidden}: at least 1")
            _require(1 <= self.top_k <= self.experts, f"top_k={self.top_k}: 1 to {self.experts} experts")
        if not all(self.is_mixture(i) for i in range(self.layers)):
            _require(self.hidden >= 1, f"hidden={self.hidden}: at least 1, since there are dense layers")
        for t in self.teachers:
            _require(t.dim >= 1, f"teachers: {t.name} of width {t.dim}")
            _require(
                not t.pooled or t.dim % POOLING_HEADS == 0,
                f"teachers: {t.name} of width {t.dim}: a pooled one's is a multiple of {POOLING_HEADS}, the heads",
            )
            _require(t.form in FORMS, f"teachers: {t.name}: form={t.form!r}: one of {', '.join(FORMS)}")
            _require(
                len(set(t.layers)) == len(t.layers) and all(0 <= i < self.layers - 1 for i in t.layers),
                f"teachers: {t.name}: layers={list(t.layers)}: each once, from 0 to {self.layers - 2}; heads read the "
                "last block in any case",
            )
        names = [t.name for t in self.teachers]
        _require(len(set(names)) == len(names), f"teachers={names}: each once")
        _require(all(n.isidentifier() and n != "siglino" for n in names), f"teachers={names}: words, none 'siglino'")

    @property
    def in_between(self) -> bool:
        """Whether a head reads blocks before the last."""
        return any(t.layers for t in self.teachers)

    def is_mixture(self, layer: int) -> bool:
        """Whether this layer's feed-forward is a mixture of experts."""
        return self.experts > 0 and layer >= self.dense_layers

    @property
    def prefix(self) -> int:
        """Tokens of an image before its patches: CLS and the registers."""
        return 1 + self.registers

    @property
    def patch_values(self) -> int:
        """Numbers in one patch."""
        return self.patch_size**2 * self.channels


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise ValueError(message)


_MOE = SigLinoConfig(width=768, layers=18, heads=8, head_dim=128, experts=28, top_k=6, expert_hidden=384)

PRESETS: dict[str, SigLinoConfig] = {
    "siglino-moe-0.3b": _MOE,
    "siglino-moe-0.15b": replace(_MOE, top_k=2),
    "siglino-0.6b": SigLinoConfig(width=1280, layers=18, heads=16, head_dim=80, hidden=5120),
    "siglino-70m": SigLinoConfig(width=512, layers=12, heads=8, head_dim=64, hidden=2048, norm_weights=False),
    "siglino-30m": SigLinoConfig(width=384, layers=12, heads=6, head_dim=64, hidden=1536, norm_weights=False),
    # Not published; for CPUs: demonstrations, tests and probes.
    "siglino-micro": SigLinoConfig(width=384, layers=6, heads=6, head_dim=64, experts=28, top_k=6, expert_hidden=96),
    "siglino-nano": SigLinoConfig(width=192, layers=4, heads=3, head_dim=64, experts=4, top_k=2, expert_hidden=96),
}
