"""The linear probe learns what there is, as torch would, and never looks at what it is measured on."""

import dataclasses
import json
import math
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch

from siglino_core.errors import ConfigError, DataError
from siglino_core.evaluation.segmentation import training
from siglino_core.evaluation.segmentation.dense import DenseSample, shuffled
from siglino_core.evaluation.segmentation.linear import QUICK, STRICT, Probe, fit
from siglino_core.evaluation.segmentation.training import Run
from tests.siglino_core.evaluation.segmentation.splits import Listed, blocks

SHORT = dataclasses.replace(QUICK, learning_rates=(1e-2, 1e-7), steps=40, batch_size=4, pixels=200)


def weights(probe: Probe) -> list[torch.Tensor]:
    return [p.detach() for p in probe.head.of(0)]


def same(one: Probe, other: Probe) -> bool:
    return all(torch.equal(a, b) for a, b in zip(weights(one), weights(other), strict=True))


@pytest.fixture(scope="module")
def fitted() -> Probe:
    return fit(blocks(0, 20, ragged=True), num_classes=4, protocol=SHORT)


def test_it_learns_on_grids_and_labels_of_any_size(fitted: Probe) -> None:
    counts = fitted.measure(blocks(1, 6, ragged=True, prefix="test"))
    assert len(counts) == 6
    assert counts.mean_iou() > 0.7
    assert fitted.learning_rate == 1e-2
    assert fitted.sweep[1e-2] > fitted.sweep[1e-7]


def test_what_was_done_is_told_in_plain_values(fitted: Probe) -> None:
    told = fitted.describe()
    assert json.loads(json.dumps(told))["sweep"] == {"1e-07": fitted.sweep[1e-7], "0.01": fitted.sweep[1e-2]}
    assert (told["name"], told["learning_rate"], told["steps"], told["hold_out_images"]) == ("quick", 1e-2, 40, 2)
    assert told["at_an_end"]
    assert not dataclasses.replace(fitted, sweep={1e-3: 0.1, 1e-2: 0.2, 1e-1: 0.1}).at_an_end


def test_noise_is_not_learned(fitted: Probe) -> None:
    noise = Listed(
        [
            (i, np.random.default_rng(n).standard_normal(x.shape).astype(np.float16), y)
            for n, (i, x, y) in enumerate(blocks(1, 6).images)
        ]
    )
    assert fitted.measure(noise).mean_iou() < 0.3


def test_the_same_seed_gives_the_same_probe(fitted: Probe) -> None:
    again = fit(blocks(0, 20, ragged=True), num_classes=4, protocol=SHORT)
    assert same(fitted, again)
    assert fitted.sweep == again.sweep
    assert not same(fitted, fit(blocks(0, 20, ragged=True), num_classes=4, protocol=SHORT, seed=1))


def test_the_hold_out_is_a_tenth_of_train_and_has_no_part_in_the_sweep() -> None:
    split = blocks(0, 20)
    before = fit(split, num_classes=4, protocol=SHORT)
    assert len(before.hold_out) == 2
    assert set(before.hold_out) < {i for i, _, _ in split.images}
    # labels of the hold-out that are all the last class: the heads of the sweep stay, their scores fall
    spoilt = Listed([(i, x, np.full_like(y, 3) if i in before.hold_out else y) for i, x, y in split.images])
    after = fit(spoilt, num_classes=4, protocol=SHORT)
    assert after.hold_out == before.hold_out
    assert after.sweep[1e-2] < 0.4 < before.sweep[1e-2]


def test_the_sweep_draws_no_image_of_the_hold_out_and_the_final_run_draws_all(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[set[str]] = []

    def recorded(split: Listed, wanted: Callable[[str], bool], seed: int) -> Iterator[DenseSample]:
        drawn.append(set())
        for sample in shuffled(split, wanted, seed):
            drawn[-1].add(sample.sample_id)
            yield sample

    monkeypatch.setattr(training, "shuffled", recorded)
    split = blocks(0, 12)
    probe = fit(split, num_classes=4, protocol=SHORT)
    every = {i for i, _, _ in split.images}
    assert drawn == [every - set(probe.hold_out), every]


def test_the_final_run_is_on_all_of_train_and_as_if_its_rate_were_the_only_one(fitted: Probe) -> None:
    alone = dataclasses.replace(SHORT, learning_rates=(1e-2,))
    assert same(fitted, fit(blocks(0, 20, ragged=True), num_classes=4, protocol=alone))
    split = blocks(0, 20, ragged=True)
    spoilt = Listed([(i, x, np.full_like(y, 3) if i in fitted.hold_out else y) for i, x, y in split.images])
    assert not same(fitted, fit(spoilt, num_classes=4, protocol=alone))


def test_equal_rates_are_settled_by_the_lower(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Run, "scores", lambda *_: [0.5, 0.7, 0.7])
    protocol = dataclasses.replace(SHORT, learning_rates=(3e-3, 1e-3, 2e-3), steps=1)
    assert fit(blocks(0, 4), num_classes=4, protocol=protocol).learning_rate == 2e-3


def test_a_rate_that_diverged_is_not_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Run, "scores", lambda *_: [0.1, math.nan])
    assert fit(blocks(0, 4), num_classes=4, protocol=dataclasses.replace(SHORT, steps=1)).learning_rate == 1e-7
    monkeypatch.setattr(Run, "scores", lambda *_: [math.nan, math.nan])
    with pytest.raises(DataError, match="diverged at every learning rate"):
        fit(blocks(0, 4), num_classes=4, protocol=SHORT)


def test_images_and_pixels_without_a_label_do_no_harm() -> None:
    split = blocks(0, 8)
    for n, (_, _, y) in enumerate(split.images):
        y[n % 3 :] = 255  # nearly none, so that most steps draw none
    empty = [(f"empty{i}", x, np.full_like(y, 255)) for i, (_, x, y) in enumerate(blocks(5, 8).images)]
    protocol = dataclasses.replace(SHORT, batch_size=1, pixels=16)
    probe = fit(Listed([*empty, *split.images]), num_classes=4, protocol=protocol)
    assert all(p.isfinite().all() for p in weights(probe))
    assert not any(i.startswith("empty") for i in probe.hold_out)


def test_the_strict_protocol_runs() -> None:
    protocol = dataclasses.replace(STRICT, steps=30, batch_size=4)
    probe = fit(blocks(0, 8), num_classes=4, protocol=protocol)
    assert probe.steps == 30
    assert probe.measure(blocks(1, 4)).mean_iou() > 0.6


def test_steps_follow_from_the_rounds() -> None:
    split = blocks(0, 5)
    probe = fit(split, num_classes=4, protocol=dataclasses.replace(SHORT, steps=0, epochs=3))
    assert probe.steps == math.ceil(3 * 5 / 4)


@pytest.mark.parametrize(
    ("images", "says"),
    [
        (blocks(0, 1).images, "1 of 1 images"),
        ([], "0 of 0 images"),
        (blocks(0, 3, classes=5).images, "class 4, and there are 4"),
        (blocks(0, 2).images * 2, "another one's id"),
        ([(i, x, np.full_like(y, 255)) for i, x, y in blocks(0, 3).images], "0 of 3 images"),
    ],
)
def test_a_train_split_that_cannot_be_used_is_refused(images: list, says: str) -> None:
    with pytest.raises(DataError, match=says):
        fit(Listed(images), num_classes=4, protocol=dataclasses.replace(SHORT, steps=2))


@pytest.mark.parametrize("change", [{"learning_rates": ()}, {"learning_rates": (0.0,)}, {"hold_out": 1.0}])
def test_a_protocol_that_cannot_be_followed_is_refused(change: dict) -> None:
    with pytest.raises(ConfigError, match="protocol"):
        fit(blocks(0, 4), num_classes=4, protocol=dataclasses.replace(SHORT, **change))
