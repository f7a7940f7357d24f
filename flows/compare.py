"""`siglino compare A [B]`: the results of two runs on the same samples, and whether the second may pass for as good."""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.text import Text

from flows.places import Place, evaluation, in_common, only_one, open_place
from flows.screen import say
from siglino_core.errors import ConfigError
from siglino_core.evaluation.results import compare_text, gate_text
from siglino_core.evaluation.results.compare import Comparison
from siglino_core.evaluation.results.compare import compare as compared
from siglino_core.evaluation.results.gate import Gate, Rules, gate
from siglino_core.evaluation.results.invariants import Check
from siglino_core.foreign import word
from siglino_core.store import Files


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What is asked for.

    Attributes:
        first: a run, or the folder of one of its stages with results: the baseline, if there is a second.
        second: what is judged; empty: the first alone, by what must hold in any run.
        rules: of the gate; None: no gate.
        junit, report: files to write, the gate's and all of it; empty: none.
    """

    first: str
    second: str = ""
    rules: Rules | None = None
    junit: str = ""
    report: str = ""


def asked(arguments: argparse.Namespace) -> Asked:
    """From the command's words.

    Raises:
        ConfigError: they do not go together, or a number cannot be.
    """
    of_gate = {"--allow": arguments.allow, "--strict": arguments.strict, "--junit": arguments.junit}
    of_gate["--retention"] = arguments.retention is not None
    if stray := [option for option, given in of_gate.items() if given and not arguments.gate]:
        raise ConfigError(f"{', '.join(stray)}: only with --gate")
    first, second = [*arguments.places, ""][:2]
    if not second and not arguments.gate:
        raise ConfigError(f"compare {word(first)} with what? Give a second run, or --gate to judge one alone.")
    return Asked(
        first=first,
        second=second,
        rules=_rules(arguments) if arguments.gate else None,
        junit=arguments.junit or "",
        report=arguments.json or "",
    )


def _rules(arguments: argparse.Namespace) -> Rules:
    allowed, by_metric = Rules.allowed, {}
    for text in arguments.allow:
        metric, _, points = text.rpartition("=")
        share = _number(points, "--allow", 100) / 100
        if metric:
            by_metric[metric] = share
        else:
            allowed = share
    retention = None if arguments.retention is None else _number(arguments.retention, "--retention", 1)
    return Rules(allowed=allowed, by_metric=by_metric, strict=arguments.strict, retention=retention)


def _number(text: str, option: str, most: float) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= most:
        raise ConfigError(f"{option} {word(text)}: give a number from 0 to {most:g}")
    return value


def compare(wanted: Asked, console: Console) -> int:
    """Print what was asked for and write its files; the exit code.

    Raises:
        SiglinoError: as `flows.places` has them, or a file cannot be written.
    """
    first = open_place(wanted.first)
    second = open_place(wanted.second) if wanted.second else None
    stages = list(first.folders) if second is None else in_common(first, second)
    lonely = {} if second is None else only_one(first, second)
    places = [first] if second is None else [first, second]
    former = {p.folders[name].url: p.stale[name] for p in places for name in stages if name in p.stale}
    warnings = [*former.values(), *(_left_out(name, place, first) for name, place in lonely.items())]
    say(console, *(f"Warning: {warning}" for warning in warnings))
    judged = evaluation(second or first, stages)
    comparison = compared(evaluation(first, stages), judged) if second else None
    if comparison is not None:
        _show(comparison, console)
    found = None
    if wanted.rules is not None:
        gone = [name for name, place in lonely.items() if place is first]
        checks = [*_of_former(former), *_lacking(gone), *gate(judged.results, comparison, rules=wanted.rules).checks]
        found = Gate(checks=checks)
        _verdict(found, console)
    if wanted.junit and found is not None:
        _put(wanted.junit, gate_text.junit(found))
    if wanted.report:
        values = report(comparison, found, warnings)
        _put(wanted.report, json.dumps(values, indent=1, sort_keys=True).encode() + b"\n")
    return 0 if found is None else found.exit_code


def report(comparison: Comparison | None, judged: Gate | None, warnings: Sequence[str]) -> dict[str, Any]:
    """All as plain values."""
    return {
        "comparison": None if comparison is None else asdict(comparison),
        "gate": None if judged is None else {"passed": judged.passed, "checks": [asdict(c) for c in judged.checks]},
        "warnings": list(warnings),
    }


def _left_out(stage: str, place: Place, first: Place) -> str:
    which = "first" if place is first else "second"
    return f"{stage} is left out: only the {which}, {place.url}, has finished it."


def _of_former(former: Mapping[str, str]) -> Iterator[Check]:
    """Stale results, one check each that does not pass: they are not of what they are taken for."""
    for url, words in former.items():
        yield Check(name=f"up to date: {url}", passed=False, words=words)


def _lacking(stages: Sequence[str]) -> Iterator[Check]:
    """Stages of the baseline that what is judged has not, one check each that does not pass."""
    for stage in stages:
        yield Check(name=f"regression: {stage}", passed=False, words="the baseline has finished it, this run has not")


def _show(comparison: Comparison, console: Console) -> None:
    say(console, f"First:  {comparison.first}", f"Second: {comparison.second}")
    for table in compare_text.terminal(comparison):
        console.print()
        console.print(table)
    say(console, "", *compare_text.notes(comparison))


def _verdict(judged: Gate, console: Console) -> None:
    """The checks that fail, how many pass, and the verdict."""
    failed = [check for check in judged.checks if not check.passed]
    kinds: dict[str, list[Check]] = {}
    for check in judged.checks:
        kinds.setdefault(check.name.partition(":")[0], []).append(check)
    console.print(Text("\nGate", style="bold"))
    for kind, checks in kinds.items():
        skipped = sum(check.skipped for check in checks)
        passed = sum(check.passed for check in checks) - skipped
        say(console, f"  {kind}: {passed:,} of {len(checks):,} hold" + (f", {skipped:,} skipped" if skipped else ""))
    for check in failed:
        say(console, f"  failed: {check.name}: {check.words}", style="red")
    say(console, f"{'Passed' if judged.passed else 'Failed'}: {len(failed):,} of {len(judged.checks):,} checks fail.")


def _put(url: str, data: bytes) -> None:
    """Write a file, whole or not at all, and leave nothing beside it."""
    folder, _, name = url.rpartition("/")
    files = Files(folder or ("/" if url.startswith("/") else "."))
    files.put(name, data)
    files.tidy_dead()
