"""What a student costs, against torch's own count of its operations."""

from dataclasses import replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from siglino_core.models import SigLinoConfig
from siglino_core.models.config import FORMS
from siglino_core.models.size import forward_flops, training_flops
from tests.siglino_core.models.tiny import DENSE, TINY, student

OWN = [replace(DENSE, teachers=tuple(replace(t, form=f, layers=(0,)) for t in DENSE.teachers)) for f in FORMS]


@pytest.mark.parametrize("config", [TINY, DENSE, *OWN])
@torch.no_grad()
def test_operations_of_the_forward_pass(config: SigLinoConfig) -> None:
    model = student(config)
    model.backend = "mask"  # its products are counted as such
    layout = model.layout([(12, 10)])
    with FlopCounterMode(display=False) as counter:
        model(torch.randn(120, config.patch_values), layout)
    assert counter.get_total_flops() == pytest.approx(forward_flops(config, 125), rel=0.1)


@pytest.mark.parametrize("config", [TINY, DENSE])
def test_operations_of_both_passes(config: SigLinoConfig) -> None:
    model = student(config)
    model.backend = "mask"
    layout = model.layout([(12, 10)])
    with FlopCounterMode(display=False) as counter:
        out = model(torch.randn(120, config.patch_values), layout)
        torch.stack([x.sum() for kind in (out.patches, out.summaries) for x in kind.values()]).sum().backward()
    assert counter.get_total_flops() == pytest.approx(training_flops(config, 125), rel=0.1)
