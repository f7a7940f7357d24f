"""Which experts a student's tokens are sent to, counted while it computes.

Legend: T tokens, k experts a token, L mixture layers, K kinds of tokens, E experts.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from torch import Tensor, nn

from siglino_core.evaluation.expert_load import KINDS, expert_counts, token_kinds
from siglino_core.models.encoder import SigLino
from siglino_core.models.routing import mixtures


class Routing:
    """Counts of choices, which add up from pass to pass.

    Attributes:
        counts_LKE: int64; no layers where the model has no experts.
    """

    def __init__(self, model: SigLino) -> None:
        self._layers = mixtures(model)
        self._registers = model.spec.registers
        self.counts_LKE = np.zeros((len(self._layers), len(KINDS), model.spec.experts), np.int64)

    @contextmanager
    def watched(self, patches: Sequence[int]) -> Iterator[None]:
        """Count what the model's one pass chooses.

        Args:
            patches: of each image of the pass, in their order.
        """
        kinds_T = token_kinds(self._registers, patches)
        chosen: dict[int, Tensor] = {}

        def noted(layer: int) -> Any:
            def hook(_: nn.Module, inputs: tuple[Tensor, Tensor, Tensor]) -> None:
                chosen[layer] = inputs[2]

            return hook

        hooks = [m.experts.register_forward_pre_hook(noted(i)) for i, m in enumerate(self._layers)]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()
        for layer, chosen_Tk in chosen.items():
            own_Tk = chosen_Tk[: len(kinds_T)].cpu().numpy()  # what comes after is padding
            self.counts_LKE[layer] += expert_counts(own_Tk, kinds_T, self.counts_LKE.shape[2])
