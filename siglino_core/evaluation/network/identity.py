"""What tells a network under evaluation from others: its weights and what else shapes its features."""

from collections.abc import Sequence

from siglino_core.hashing import fingerprint

RECIPE = 1  # goes up when the same weights and pixels give other features


def network_identity(kind: str, weights: str, *, embeds: bool, beside: Sequence[Sequence[str]] = ()) -> str:
    """The identity, as results and features have it; the pixels apart.

    Args:
        kind, embeds: as `encoders.spec.Spec` has them.
        weights: the identity of the weights.
        beside: of each head beside the network its name, the view it is of, and its identity.
    """
    return fingerprint([RECIPE, kind, weights, embeds, *map(list, beside)])
