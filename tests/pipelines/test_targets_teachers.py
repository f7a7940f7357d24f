"""targets: a teacher of one's own, and every way in which one can be wrong, is one clear message."""

import re
from typing import Any

import pytest

from pipelines import targets
from pipelines.targets import units
from siglino_core.config import Stored
from siglino_core.errors import ConfigError, DataError
from siglino_core.store import Run
from tests.pipelines.curated import config, opened
from tests.pipelines.own_teachers import (
    Own,
    coarse,
    constant,
    flat,
    headless,
    huge,
    lopsided,
    not_finite,
    own,
    spec_of,
    wrong,
)

pytestmark = pytest.mark.usefixtures("no_waiting_for_the_disk")


@pytest.mark.parametrize(
    ("teacher", "says"),
    [
        (constant, r"^teacher own, summaries: all 30 rows are the same, .* Check the teacher's weights"),
        (not_finite, r"^teacher own: its patches for image [0-9a-f]{32} hold NaN or infinity\. .*precision=fp32"),
        (huge, r"^teacher own: the summary of image [0-9a-f]{32} reaches \d\.\d+e\+05, beyond float16's 65504"),
        (wrong, r"^teacher own: summaries of shape \[\d+, 5\] where its card says \[\d+, 8\]"),
    ],
)
def test_a_teacher_gone_wrong_is_one_error_that_names_it(run: Run, teacher: Any, says: str) -> None:
    with pytest.raises(DataError, match=says) as caught:
        targets.run(config([spec_of(teacher)], keep=Stored.BF16), run)
    assert str(caught.value).count("\n") == 0
    assert run.stage("targets").manifest() is None


def test_a_teacher_of_ones_own(run: Run) -> None:
    cfg = config([spec_of(own)], keep=Stored.BF16)
    assert targets.run(cfg, run).manifest.facts["warnings"] == []
    assert opened(run, cfg).read([0])["own"].summaries.shape == (1, 8)


def test_a_teacher_that_speaks_of_images_alone(run: Run) -> None:
    cfg = config([spec_of(flat)], keep=Stored.INT8)
    facts = targets.run(cfg, run).manifest.facts["teachers"]["flat"]
    assert (facts["codec"], set(facts["phi"])) == (None, {"summary"})
    found = opened(run, cfg).read([5, 2])["flat"]
    assert (found.patches, found.registers, found.summaries.shape) == (None, None, (2, 8))


def test_what_looks_wrong_is_said(run: Run) -> None:
    [warning] = targets.run(config([spec_of(lopsided)]), run).manifest.facts["warnings"]
    assert re.match(r"teacher own, summaries: channel 0 holds \d+% of the variance of all 8\.", warning)


@pytest.mark.parametrize(
    ("names", "says"),
    [
        ([own, own], "two are named alike"),
        ([own, coarse], "patches of several sizes .own 16, coarse 32 pixels"),
        ([headless], "it has no `head`"),
    ],
)
def test_teachers_that_do_not_go_together(run: Run, names: list[Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        targets.run(config([spec_of(n) for n in names]), run)


def test_other_weights_on_a_worker(run: Run, specs: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(units, "_teacher", lambda *_: Own(name="siglip2"))
    with pytest.raises(DataError, match=r"^teacher siglip2: the weights on .* are not those that the run began with"):
        targets.run(config(specs), run)
