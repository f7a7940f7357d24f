"""Experts that a student chooses: counted exactly, by kind of token, whatever the passes."""

import numpy as np
import pytest
import torch

from siglino_core.evaluation.network.routing import Routing
from siglino_core.models.routing import mixtures
from tests.siglino_core.models.tiny import DENSE, TINY, patches, student

SHAPES = [(2, 3), (1, 2)]


def test_every_choice_of_every_layer_is_counted_by_kind() -> None:
    model = student()
    routing = Routing(model)
    given = torch.cat(patches(TINY, SHAPES))
    with torch.no_grad(), routing.watched([6, 2]):
        model(given, model.layout(SHAPES))
    counts = routing.counts_LKE
    assert counts.shape == (2, 3, 4)
    assert counts.sum(2).tolist() == [[2 * 2, 2 * 4 * 2, 8 * 2]] * 2, "2 CLS, 8 registers, 8 patches, 2 experts each"
    # the model's own counts of a training pass say the same
    model.train()(given, model.layout(SHAPES))
    np.testing.assert_array_equal(counts.sum(1), [m.load.numpy() for m in mixtures(model)])


def test_passes_add_up_padding_is_left_out_and_nothing_stays_hooked() -> None:
    model = student()
    together, apart = Routing(model), Routing(model)
    packs = patches(TINY, SHAPES)
    with torch.no_grad():
        with together.watched([6, 2]):
            model(torch.cat(packs), model.layout(SHAPES, 40))
        for pack, shape in zip(packs, SHAPES, strict=True):
            with apart.watched([len(pack)]):
                model(pack, model.layout([shape]))
        model(packs[0], model.layout(SHAPES[:1]))
    np.testing.assert_array_equal(together.counts_LKE, apart.counts_LKE)
    assert not any(m.experts._forward_pre_hooks for m in mixtures(model))
    with pytest.raises(RuntimeError, match="stopped"), together.watched([1]):
        raise RuntimeError("stopped")
    assert not any(m.experts._forward_pre_hooks for m in mixtures(model))


def test_a_dense_student_has_none() -> None:
    model = student(DENSE)
    routing = Routing(model)
    with torch.no_grad(), routing.watched([6]):
        model(patches(DENSE, [(2, 3)])[0], model.layout([(2, 3)]))
    assert len(routing.counts_LKE) == 0
