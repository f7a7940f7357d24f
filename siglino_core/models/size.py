"""What a student weighs and what a token of it costs, from its config alone."""

from siglino_core.models.config import SigLinoConfig


def backbone_parameters(config: SigLinoConfig, *, active: bool = False) -> int:
    """Parameters without the teachers' heads; ``active``: those that one token meets."""
    c = config
    total = c.width * (c.prefix + c.patch_values + 1)  # tokens, patch embedding, last norm
    for layer in range(c.layers):
        total += 4 * c.width * c.heads * c.head_dim + c.heads
        total += 2 * c.width * c.norm_weights
        if c.is_mixture(layer):
            total += c.experts * c.width + 3 * c.width * c.expert_hidden * (c.top_k if active else c.experts)
        else:
            total += 3 * c.width * c.hidden
    return total


def forward_flops(config: SigLinoConfig, tokens: int) -> float:
    """Floating-point operations of the forward pass for one image of so many tokens, heads included.

    Two for each parameter that a token meets in a matrix product, and 4 x tokens^2 x inner width a layer in the
    attention.
    """
    c = config
    products = backbone_parameters(c, active=True) - c.width * (c.prefix + 1) - c.layers * c.heads
    products -= 2 * c.width * c.norm_weights * c.layers
    products += sum(c.width * t.dim + t.dim**2 + (2 * t.dim**2 if t.pooled else 0) for t in c.teachers)
    return 2.0 * products * tokens + 4.0 * tokens**2 * c.heads * c.head_dim * c.layers


def training_flops(config: SigLinoConfig, tokens: int) -> float:
    """Those of the forward and the backward pass: three times the forward's, less gradients that nobody asks for.

    These are of the pixels, and of the pooling heads' weights, which are frozen copies of the teachers'.
    """
    unasked = config.width * config.patch_values + sum(2 * t.dim**2 for t in config.teachers if t.pooled)
    return 3 * forward_flops(config, tokens) - 2.0 * unasked * tokens
