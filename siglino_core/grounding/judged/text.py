"""All answers' numbers as Markdown: a table a test set and task, and under it what is above its baselines."""

from collections.abc import Sequence

from siglino_core.evaluation.results.result import Result
from siglino_core.evaluation.results.rows import points, span
from siglino_core.grounding.judged.verdict import Judged
from siglino_core.report.cards import plain, table
from siglino_core.report.evaluation_words import answers_row_name, task_name

LINE = 1_000  # characters of a sentence


def markdown(sets: Sequence[Judged], notes: Sequence[str] = ()) -> str:
    """The tables, percent with 95% intervals, and the sentences. Text of others stays text.

    Args:
        notes: more sentences, of all sets.
    """
    parts = ["# Answers", "Percent, with the 95% interval over images. Rows in *italics* know nothing of the text."]
    for one in sets:
        parts.append(f"## {plain(one.name)}")
        for task in dict.fromkeys(r.task for r in one.results):
            own = [r for r in one.results if r.task == task]
            parts += [f"### {task_name(task)}", _table(own)]
        parts.append("\n".join(f"- {plain(line, LINE)}" for line in [*(v.words for v in one.verdicts), *one.notes]))
    if notes:
        parts += ["## Notes", "\n".join(f"- {plain(note, LINE)}" for note in notes)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _table(results: Sequence[Result]) -> str:
    names = list(dict.fromkeys(name for r in results for name in r.metrics))
    head = ["model", *(_head(name, results) for name in names), "no answer"]
    return table(head, [[_name(r), *(_cell(r, name) for name in names), f"{r.n_failed:,}"] for r in results])


def _head(name: str, results: Sequence[Result]) -> str:
    counts = sorted({r.metrics[name].n for r in results if name in r.metrics})
    return plain(name) + (f" (n = {counts[0]:,})" if len(counts) == 1 else "")


def _name(r: Result) -> str:
    name = plain(answers_row_name({"network": r.network, "view": r.view, "sanity": r.sanity}))
    return f"*{name}*" if r.sanity else name


def _cell(r: Result, name: str) -> str:
    metric = r.metrics.get(name)
    if metric is None:
        return "–"
    signed = name.startswith("above_")
    between = span(metric.low, metric.high, signed=signed)
    value = points(metric.value, signed=signed)
    return f"{value} ({between})" if between else value
