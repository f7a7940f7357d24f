"""Which parameter is updated how, by its name and shape."""

from enum import StrEnum

from torch import nn


class Group(StrEnum):
    """The three kinds of parameters."""

    HIDDEN = "hidden"  # matrices between hidden features: Muon's, decayed
    MATRICES = "matrices"  # matrices at the edge (the patch embedding, the routers): AdamW's, decayed
    VECTORS = "vectors"  # norms, biases, sinks, tokens: AdamW's, not decayed


def group_of(name: str, ndim: int) -> Group:
    """The group of a parameter of the student.

    Args:
        name: as in the published state dict; a prefix, or a wrapper's name within, changes nothing.
        ndim: its number of dimensions.

    A router's gate is AdamW's because its rows are E separate scores rather than a map between features, and the patch
    embedding because its input is pixels (Jordan et al. 2024: first and last layers).
    """
    parts = name.split(".")
    matrix = ndim == 2 or (ndim == 3 and "experts" in parts)  # the tokens have three dimensions too
    if not matrix:
        return Group.VECTORS
    inside = "layers" in parts or any(part.endswith(("_adapter", "_ladder")) for part in parts)
    return Group.HIDDEN if inside and "router" not in parts else Group.MATRICES


def parameter_groups(model: nn.Module) -> dict[Group, list[nn.Parameter]]:
    """Every trainable parameter, in exactly one group, in the model's order; frozen ones in none."""
    groups: dict[Group, list[nn.Parameter]] = {group: [] for group in Group}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups[group_of(name, parameter.ndim)].append(parameter)
    return groups
