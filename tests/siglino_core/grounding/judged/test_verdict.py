"""A model against its baselines, in numbers and in words, and as files for other tools."""

import io
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from faster_coco_eval.core import mask as theirs

from siglino_core.evaluation.results.columns import samples_table
from siglino_core.evaluation.results.gate import gate
from siglino_core.grounding.judged import coco
from siglino_core.grounding.judged.answer import Kind
from siglino_core.grounding.judged.series import Series
from siglino_core.grounding.judged.text import markdown
from siglino_core.grounding.judged.verdict import Judged, judge
from tests.siglino_core.grounding.judged.rows import expression, mask, row, saying, series

BOX, AWAY = [0.0, 0.0, 10.0, 10.0], [10.0, 10.0, 20.0, 20.0]


def answers(right: Sequence[bool], kind: Kind = Kind.MODEL, **settings: Any) -> Series:
    """An image each: some found, some not."""
    boxes = [BOX if ok else AWAY for ok in right]
    return series([row(expression([BOX]), saying([b], **settings), f"i{i}", kind=kind) for i, b in enumerate(boxes)])


def judged(kinds: dict[Kind, Series], others: dict[str, Series] | None = None, **settings: Any) -> Judged:
    values: dict[str, Any] = {"forced": False, "parameters": {"most": 1}, "hashes": {"network": "x"}} | settings
    return judge("hand", kinds, others or {}, **values)


@pytest.mark.parametrize(("found", "above"), [(36, True), (20, False), (4, False)])
def test_above_means_that_the_whole_interval_is(found: int, above: bool) -> None:
    own = answers([i < found for i in range(40)])
    prior = answers([20 <= i < 38 for i in range(40)], Kind.PRIOR)
    centre = answers([False] * 40, Kind.CENTRE)
    (verdict,) = judged({Kind.MODEL: own, Kind.PRIOR: prior, Kind.CENTRE: centre}).verdicts
    assert (verdict.baseline, verdict.above) == ("largest-prior box", above)
    assert verdict.difference.value == pytest.approx(found / 40 - 18 / 40)
    assert verdict.difference.low is not None
    assert (verdict.difference.low > 0) == above
    assert ("not shown to be above largest-prior box (45.0)" in verdict.words) == (not above)


def test_rows_are_results_of_an_evaluation() -> None:
    kinds = {
        Kind.MODEL: answers([True] * 9 + [False]),
        Kind.SHUFFLED: answers([False] * 10, Kind.SHUFFLED),
        Kind.PRIOR: answers([True, *[False] * 9], Kind.PRIOR),
    }
    found = judged(kinds, {"rival": answers([False] * 10, Kind.OTHER)}, forced=True)
    rows = {(r.network, r.view, r.sanity): r.headline[1].value for r in found.results}
    assert rows == {
        ("grounding", "forced", ""): 0.9,
        ("rival", "forced", ""): 0,
        ("baseline", "largest-prior box", "constant_features"): 0.1,
        ("grounding", "forced", "shuffled_text"): 0,
    }
    table = samples_table(found.samples["grounding_box"])
    assert set(table["network"].to_pylist()) == {"grounding", "rival"}
    assert table["group"].to_pylist() == table["image_id"].to_pylist()
    (check,) = gate(found.results).checks
    assert (check.passed, check.name) == (True, "baselines: grounding_box on hand test, grounding forced")
    assert any("presence is not measured" in note for note in found.notes)
    assert any("no masks" in note for note in found.notes)


def test_a_language_blind_model_fails_the_gates_rule() -> None:
    blind = {Kind.MODEL: answers([True] * 10), Kind.SHUFFLED: answers([True] * 10, Kind.SHUFFLED)}
    blind[Kind.PRIOR] = answers([True, *[False] * 9], Kind.PRIOR)
    found = judged(blind)
    (check,) = gate(found.results).checks
    assert not check.passed
    assert "against shuffled text" in check.words
    assert found.verdicts[0].baseline == "shuffled text"


def test_a_model_that_sees_and_reads_passes_though_its_shuffled_text_beats_a_box_that_never_changes() -> None:
    kinds = {
        Kind.MODEL: answers([i % 10 > 0 for i in range(100)]),
        Kind.SHUFFLED: answers([i % 10 < 3 for i in range(100)], Kind.SHUFFLED),
        Kind.PRIOR: answers([i % 10 < 1 for i in range(100)], Kind.PRIOR),
    }
    assert gate(judged(kinds).results).passed


def test_a_model_that_finds_nothing_fails_the_gate() -> None:
    nothing = {kind: answers([False] * 40, kind) for kind in (Kind.MODEL, Kind.SHUFFLED, Kind.PRIOR)}
    assert not gate(judged(nothing).results).passed


def test_other_models_without_masks_have_no_row_there() -> None:
    true = expression([BOX], [mask(0, 0, 10, 10)])
    kinds = {Kind.MODEL: series([row(true, saying([BOX], masks=(mask(0, 0, 10, 10),)), f"i{i}") for i in range(4)])}
    rivals = {n: series([row(true, saying([], masks=(), missing=True), f"i{i}") for i in range(4)]) for n in "ab"}
    found = judged(kinds, rivals, boxes_alone=["a"])
    own = {r.network: r.n_failed for r in found.results if r.task == "grounding_mask" and not r.sanity}
    assert own == {"grounding": 0, "b": 4}


def test_masks_stand_beside_those_of_a_model_that_never_has_one() -> None:
    there, absent = expression([BOX], [mask(0, 0, 10, 10)]), expression([], [])
    rows = [row(there if i < 3 else absent, saying([], masks=()), f"i{i}") for i in range(10)]
    found = judged({Kind.MODEL: series(rows)})
    never = {r.network: r.metrics for r in found.results if r.task == "grounding_mask"}
    assert {name: m["miou"].value for name, m in never.items()} == {"grounding": 0.7, "baseline": 0.7}
    assert never["grounding"]["miou, present"].value == 0
    verdict = next(v for v in found.verdicts if v.task == "grounding_mask")
    assert (verdict.baseline, verdict.above) == ("always absent", False)


def test_the_table_is_markdown_that_nobody_can_break() -> None:
    found = judged({Kind.MODEL: answers([True, False, True]), Kind.CENTRE: answers([False] * 3, Kind.CENTRE)})
    evil = Judged(name="a | <b> `x`", results=found.results, verdicts=found.verdicts, notes=["*note* | <i>"])
    text = markdown([evil], ["more | words"])
    assert "## a \\| &lt;b> \\`x\\`" in text
    assert "\\*note\\* \\| &lt;i>" in text
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in table}) == 1
    assert table[2].startswith("| grounding free | 66.7 (")
    assert table[3].startswith("| *centre box* | 0.0 (0.0 to 56.1)")
    assert table[2].endswith("(0.0 to 100.0) | 0 |") or "+66.7" in table[2]


def test_predictions_are_cocos() -> None:
    shape = mask(3, 4, 9, 12)
    rows = [
        row(expression([BOX], [shape]), saying([[3, 4, 9, 12], AWAY], scores=(0.7, 0.2), masks=(shape, shape))),
        row(expression([BOX]), saying([]), number=1),
        row(expression([BOX]), saying([BOX]), number=2),
    ]
    stored = series(rows).table.to_pylist()
    out = io.BytesIO()
    assert coco.write(stored, out) == 3
    first, _, last = json.loads(out.getvalue())
    assert (first["bbox"], first["score"], first["expression"]) == ([3, 4, 6, 8], 0.7, "it")
    assert (theirs.decode(first["segmentation"]).astype(bool) == shape).all()
    assert (last["score"], "segmentation" in last) == (1.0, False)
    empty = io.BytesIO()
    assert coco.write([], empty) == 0
    assert json.loads(empty.getvalue()) == []
    assert np.isfinite(first["bbox"]).all()
