"""What is made of all answers: results, tables, predictions for other tools, and the page."""

from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.answers.layout import (
    OTHER,
    PRIORS,
    AnswersWork,
    TestSet,
    answers_file,
    encoded,
    other_file,
    predictions_file,
)
from siglino_core import schema
from siglino_core.evaluation.results.columns import samples_table
from siglino_core.evaluation.results.rows import headlines
from siglino_core.evaluation.results.store import results_file, samples_file, write_results, write_samples
from siglino_core.grounding.judged import coco, shown
from siglino_core.grounding.judged.answer import Kind
from siglino_core.grounding.judged.numbers import AT
from siglino_core.grounding.judged.series import COLUMNS, Series, by_kind
from siglino_core.grounding.judged.sheet import sheet
from siglino_core.grounding.judged.text import markdown
from siglino_core.grounding.judged.verdict import Judged, judge
from siglino_core.grounding.metrics.counts import by_count
from siglino_core.report.grounding import grounding_page
from siglino_core.report.numbers import plural
from siglino_core.store import Shard

PAGE, TABLE, SHEET = "grounding.html", "answers.md", "grounding.jpg"
ON_SHEET = 8  # answers, drawn by key
OWN = (Kind.MODEL, Kind.SHUFFLED, Kind.CENTRE, Kind.PRIOR)
BATCH = 256  # rows with masks in memory


def tabulate(work: AnswersWork, shard: Shard) -> dict[str, Any]:
    """Write everything that the answers' numbers are in; returns the commit record."""
    sets: list[Judged] = []
    pages: list[dict[str, Any]] = []
    notes = _notes(work)
    with work.writer(shard["name"]) as out:
        for one in work.sets:
            table = _own(work, one)
            if not table.num_rows:
                notes.append(f"{one.name}: it has no expressions, so that nothing is measured on it.")
                continue
            kinds = {Kind(kind): series for kind, series in by_kind(table, [k.value for k in OWN])}
            found = _judged(work, one, kinds)
            sets.append(found)
            for task in dict.fromkeys(r.task for r in found.results):
                results = [r for r in found.results if r.task == task]
                out.put(results_file(task, one.name), write_results(results))
                out.put(samples_file(task, one.name), write_samples(samples_table(found.samples[task])))
            with out.path(predictions_file(one.name)).open("wb") as file:
                coco.write(_rows(work, one), file)
            pages.append(_page(work, one, found, kinds[Kind.MODEL]))
        out.put(TABLE, markdown(sets, notes).encode())
        passed = [*notes, *(note for one in sets for note in one.notes)]
        text = grounding_page(pages, title="Answers", about=_about(work), notes=passed)
        out.put(PAGE, text.encode())
        drawn = [t for page in pages for t in page["tiles"] if t["data"] and not t["worst"]][:ON_SHEET]
        if drawn:
            out.put(SHEET, sheet([(t["data"], t["text"], t["verdict"], t["good"]) for t in drawn]))
        results = [r for one in sets for r in one.results]
        facts = {
            "says": f"{len(results)} results",
            "headlines": headlines(results),
            "words": [v.words for one in sets for v in one.verdicts],
            "not_above": [v.words for one in sets for v in one.verdicts if not v.above],
            "passed": passed,
            "sets": [{"name": one.name, "images": one.images, "expressions": one.expressions} for one in work.sets],
        }
        return out.commit(rows=0, facts=facts)


def _judged(work: AnswersWork, one: TestSet, kinds: Mapping[Kind, Series]) -> Judged:
    others = {o.name: _other(work, one, o.name) for o in work.config.answers.others}
    answered = {name: Series(table) for name, table in others.items() if not _all_missing(table)}
    records = _records(work, OTHER)
    found = judge(
        one.name,
        kinds,
        answered,
        forced=work.config.answers.forced,
        parameters={
            "forced": work.config.answers.forced,
            "most_instances": work.config.ground.most_instances,
            "precision": work.precision,
            **({"limit": one.limit} if one.limit else {}),
        },
        hashes=work.hashes,
        boxes_alone=[name for name, facts in records.items() if not facts["masks"]],
        seed=work.config.seed,
    )
    unasked = [name for name in others if name not in answered]
    found.notes.extend(f"{one.name}: {name} answers none of its expressions." for name in unasked)
    for name, series in answered.items():
        if missing := series.counted("missing"):
            found.notes.append(
                f"{one.name}: {name} lacks an answer to {missing:,} of {series.n:,} expressions, which count as misses."
            )
        if malformed := series.counted("malformed"):
            found.notes.append(f"{one.name}: {plural(malformed, 'answer')} of {name} had parts that were no box.")
    if Kind.SHUFFLED not in kinds:
        found.notes.append(f"{one.name}: no shuffled text, as one image has more than half of the expressions.")
    return found


def _all_missing(table: pa.Table) -> bool:
    return not table.num_rows or pc.all(table["missing"]).as_py()  # pyright: ignore[reportAttributeAccessIssue]


def _records(work: AnswersWork, kind: str) -> dict[str, dict[str, Any]]:
    """Facts of the units of a kind; of other models, by their names."""
    units = work.stage.shards(kind)
    records = work.stage.records([unit["name"] for unit in units])
    return {unit.get("model", unit["name"]): records[unit["name"]]["facts"] for unit in units}


def _notes(work: AnswersWork) -> list[str]:
    """What was cut, drawn or left out over all sets, in sentences."""
    notes: list[str] = []
    answers = _records(work, "answer").values()
    if cut := sum(facts["incomplete"] for facts in answers):
        notes.append(
            f"{plural(cut, 'answer')} went on after ground.most_instances={work.config.ground.most_instances} and "
            "ended there."
        )
    if same := sum(facts["same_words"] for facts in answers):
        notes.append(f"{plural(same, 'shuffled text')} had the same words as the expression, and may be right.")
    if not (boxes := _records(work, PRIORS)[PRIORS]["boxes"]):
        notes.append("centre and largest-prior box: there are no training boxes to take them from.")
    else:
        notes.append(f"Centre and largest-prior box are from {boxes:,} training boxes.")
    for name, facts in _records(work, OTHER).items():
        if unused := facts["lines"] - facts["answered"]:
            notes.append(f"{name}: {plural(max(0, unused), 'answer')} about no expression of a test image.")
        if outside := facts["outside"]:
            boxes = plural(facts["boxes"], "box", "boxes")
            notes.append(f"{name}: {outside:,} of {boxes} reach beyond their image. Are they in its pixels?")
        if not facts["masks"]:
            notes.append(f"{name}: masks are not measured, as its answers have none.")
    return notes


def _table(work: AnswersWork, names: list[str], number: int) -> pa.Table:
    tables = [pa.schema([schema.ANSWERS.field(c) for c in COLUMNS]).empty_table()]
    for name in names:
        with work.stage.files.parquet(name) as file:
            table = file.read(list(COLUMNS)).select(list(COLUMNS))
        tables.append(table.filter(pc.field("set") == number).cast(tables[0].schema))
    return pa.concat_tables(tables)


def _own(work: AnswersWork, one: TestSet) -> pa.Table:
    return _table(work, [answers_file(name) for name in work.shards[one.number]], one.number)


def _other(work: AnswersWork, one: TestSet, model: str) -> pa.Table:
    return _table(work, [other_file(model)], one.number)


def _rows(work: AnswersWork, one: TestSet) -> Iterator[dict[str, Any]]:
    """The model's answers with their masks, some at a time."""
    for name in work.shards[one.number]:
        with work.stage.files.parquet(answers_file(name)) as file:
            for batch in file.iter_batches(BATCH):
                for row in batch.to_pylist():
                    if row["kind"] == Kind.MODEL:
                        yield row


def _page(work: AnswersWork, one: TestSet, found: Judged, series: Series) -> dict[str, Any]:
    """A test set as the page takes it."""
    tiles = dict(shown.chosen(series, work.config.answers.shown, seed=work.config.seed))
    good = shown.quality(series)
    rows = {i: row for i, row in enumerate(_rows(work, one)) if i in tiles} if tiles else {}
    pictures = _pictures(work, one, rows)
    counts = [
        ("images", len(set(series.images_N.tolist()))),
        ("expressions", series.n),
        ("with one referent", int((series.true_N == 1).sum())),
        ("with several", int((series.true_N > 1).sum())),
        ("absent", int((series.true_N == 0).sum())),
    ]
    buckets = by_count(series.matches, AT)
    return {
        "name": one.name,
        "counts": counts,
        "results": [r.to_dict() for r in found.results],
        "verdicts": [{"above": v.above, "words": v.words} for v in found.verdicts],
        "buckets": [
            {"name": name, **{k: getattr(c, k) for k in ("samples", "found", "missed", "invented")}}
            for name, c in buckets.items()
        ],
        "tiles": [
            {
                "text": rows[i]["text"],
                "verdict": (told := shown.verdict(rows[i], float(good[i])))[0],
                "good": told[1],
                "worst": worst,
                "data": pictures.get(i),
            }
            for i, worst in tiles.items()
        ],
    }


def _pictures(work: AnswersWork, one: TestSet, rows: Mapping[int, Mapping[str, Any]]) -> dict[int, bytes | None]:
    """The drawn images of these rows of a set; of each shard those that are wanted are read."""
    found: dict[int, bytes | None] = {}
    first = 0
    for name in work.shards[one.number]:
        count = _expressions(work, name)
        here = {i: row for i, row in rows.items() if first <= i < first + count}
        images = encoded(work.expressions, name, {row["row"] for row in here.values()}) if here else {}
        found |= {i: shown.overlay(images[row["row"]], row) for i, row in here.items()}
        first += count
    return found


def _expressions(work: AnswersWork, shard: str) -> int:
    return work.stage.records([f"answer-{shard}"])[f"answer-{shard}"]["rows"]


def _about(work: AnswersWork) -> str:
    asked = (
        "one box each, whatever the model thinks of its presence" if work.config.answers.forced else "absence counts"
    )
    return f"fine-tuned model · {asked} · {work.precision}"
