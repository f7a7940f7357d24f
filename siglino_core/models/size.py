"""What a student weighs and what a token of it costs, from its config alone."""

from siglino_core.models.config import HEAD_HIDDEN, HeadConfig, SigLinoConfig


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


def head_products(config: SigLinoConfig, t: HeadConfig) -> int:
    """Parameters of a teacher's head that a token meets in matrix products; its pooling apart."""
    width, inner = config.width, config.heads * config.head_dim
    mlp, linear = width * t.dim + t.dim**2, width * t.dim
    transformer = 4 * width * inner + 2 * HEAD_HIDDEN * width**2 + linear
    head = {"mlp": mlp, "linear": linear, "transformer": transformer}[t.form]
    return head + len(t.layers) * (linear if t.form == "linear" else mlp)


def forward_flops(config: SigLinoConfig, tokens: int) -> float:
    """Floating-point operations of the forward pass for one image of so many tokens, heads included.

    Two for each parameter that a token meets in a matrix product, and 4 x tokens^2 x inner width a layer in the
    attention.
    """
    c = config
    products = backbone_parameters(c, active=True) - c.width * (c.prefix + 1) - c.layers * c.heads
    products -= 2 * c.width * c.norm_weights * c.layers
    products += sum(head_products(c, t) + (2 * t.dim**2 if t.pooled else 0) for t in c.teachers)
    attentions = c.layers + sum(not t.by_token for t in c.teachers)
    return 2.0 * products * tokens + 4.0 * tokens**2 * c.heads * c.head_dim * attentions


def training_flops(config: SigLinoConfig, tokens: int) -> float:
    """Those of the forward and the backward pass: three times the forward's, less gradients that nobody asks for.

    These are of the pixels, and of the pooling heads' weights, which are frozen copies of the teachers'.
    """
    unasked = config.width * config.patch_values + sum(2 * t.dim**2 for t in config.teachers if t.pooled)
    return 3 * forward_flops(config, tokens) - 2.0 * unasked * tokens
