"""Tokens in the order of the experts that they were given to.

Legend: T tokens, E experts, k experts per token, N = T * k rows sorted by expert.
"""

import torch
from torch import Tensor


def by_expert(chosen_Tk: Tensor, experts: int) -> tuple[Tensor, Tensor]:
    """The (token, choice) pairs in the experts' order [N], numbered token by token; where each one's end, int32 [E].

    Stable, so that a row's place depends on nothing but the router's choice.
    """
    sorted_N, order_N = chosen_Tk.flatten().sort(stable=True)
    expert_E = torch.arange(experts, device=chosen_Tk.device)
    return order_N, torch.searchsorted(sorted_N, expert_E, right=True).int()
