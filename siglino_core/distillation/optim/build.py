"""The optimisers of a model."""

from typing import Any

import torch
from torch import nn

from siglino_core.config import Method, OptimConfig
from siglino_core.distillation.optim.groups import Group, parameter_groups
from siglino_core.distillation.optim.muon import Muon


def build(model: nn.Module, config: OptimConfig) -> list[torch.optim.Optimizer]:
    """The optimisers of a model's trainable parameters: Muon (unless AdamW has them all), then AdamW.

    Every group of theirs has a ``name`` (of `Group`). A list, as `torch.distributed.checkpoint.state_dict` takes it;
    one without parameters is left out. To be called when the parameters are what they will stay: on their device,
    and after sharding.

    Raises:
        ValueError: nothing is trainable.
    """
    groups = {group: parameters for group, parameters in parameter_groups(model).items() if parameters}
    if not groups:
        raise ValueError("no parameter is trainable: every one has requires_grad=False")
    built: list[torch.optim.Optimizer] = []
    if config.optimizer == Method.MUON and Group.HIDDEN in groups:
        hidden = groups.pop(Group.HIDDEN)
        built.append(
            Muon(
                [{"name": Group.HIDDEN.value, "params": hidden}],
                lr=config.lr,
                weight_decay=config.weight_decay,
                momentum=config.momentum,
                ns_dtype=torch.float32 if hidden[0].device.type == "cpu" else torch.bfloat16,
            )
        )
    if groups:
        beta1, beta2 = config.betas
        named: list[dict[str, Any]] = [
            {
                "name": group.value,
                "params": parameters,
                "weight_decay": 0.0 if group is Group.VECTORS else config.weight_decay,
            }
            for group, parameters in groups.items()
        ]
        built.append(torch.optim.AdamW(named, lr=config.lr, betas=(beta1, beta2), eps=config.eps))
    return built
