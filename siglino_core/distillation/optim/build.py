"""The optimisers of a model."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

from siglino_core.config import Method, OptimConfig
from siglino_core.distillation.optim.groups import Group, parameter_groups
from siglino_core.distillation.optim.muon import Muon


def build(
    model: nn.Module, config: OptimConfig, lr_share: Callable[[str], float] = lambda _: 1.0
) -> list[torch.optim.Optimizer]:
    """The optimisers of a model's trainable parameters: Muon (unless AdamW has them all), then AdamW.

    Every group of theirs has a ``name`` (of `Group`). A list, as `torch.distributed.checkpoint.state_dict` takes it;
    one without parameters is left out. To be called when the parameters are what they will stay: on their device,
    and after sharding.

    Args:
        lr_share: of a parameter's name: what its learning rate is, as a share of ``config.lr``.

    Raises:
        ValueError: nothing is trainable.
    """
    share_of = {id(p): lr_share(name) for name, p in model.named_parameters()}

    def by_share(group: Group, parameters: list[nn.Parameter]) -> Iterator[dict[str, Any]]:
        for share in sorted({share_of[id(p)] for p in parameters}, reverse=True):
            chosen = [p for p in parameters if share_of[id(p)] == share]
            yield {"name": group.value, "params": chosen, "lr": config.lr * share}

    groups = {group: parameters for group, parameters in parameter_groups(model).items() if parameters}
    if not groups:
        raise ValueError("no parameter is trainable: every one has requires_grad=False")
    built: list[torch.optim.Optimizer] = []
    if config.optimizer == Method.MUON and Group.HIDDEN in groups:
        hidden = groups.pop(Group.HIDDEN)
        built.append(
            Muon(
                list(by_share(Group.HIDDEN, hidden)),
                lr=config.lr,
                weight_decay=config.weight_decay,
                momentum=config.momentum,
                ns_dtype=torch.float32 if hidden[0].device.type == "cpu" else torch.bfloat16,
            )
        )
    if groups:
        beta1, beta2 = config.betas
        named = [
            {**named, "weight_decay": 0.0 if group is Group.VECTORS else config.weight_decay}
            for group, parameters in groups.items()
            for named in by_share(group, parameters)
        ]
        built.append(torch.optim.AdamW(named, lr=config.lr, betas=(beta1, beta2), eps=config.eps))
    return built
