"""`siglino compare A [B]`: two evaluations on the same samples, and whether the second may pass for as good."""

import argparse
import json
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.text import Text

from flows.screen import say
from siglino_core.errors import ConfigError, DamagedError
from siglino_core.evaluation.results import compare_text, gate_text
from siglino_core.evaluation.results.compare import Comparison
from siglino_core.evaluation.results.compare import compare as compared
from siglino_core.evaluation.results.folder import Evaluation
from siglino_core.evaluation.results.gate import Gate, Rules, gate
from siglino_core.evaluation.results.invariants import Check
from siglino_core.evaluation.results.store import RESULTS, SAMPLE_FILES
from siglino_core.foreign import word
from siglino_core.store import Files, Run
from siglino_core.store.intact import damaged
from siglino_core.store.records import MANIFEST, is_own

STAGES = ("evaluate", "answers")  # that have results: of a run the first one that is finished is taken


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What is asked for.

    Attributes:
        first: a run, or the folder of an evaluation: the baseline, if there is a second.
        second: what is judged; empty: the first alone, by what must hold in any evaluation.
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


def open_evaluation(url: str) -> Evaluation:
    """A run's evaluation, else its answers, or a folder of either; its files are hashed against its manifest first.

    Raises:
        StoreError: the run's evaluation is not finished, or there is none.
        DamagedError: a file is gone, or holds other bytes than were written.
        DataError: a file is none of results.
    """
    files = Files(url.rstrip("/"))
    record = files.read_record(MANIFEST)
    if record is None:
        stages = [Run(files.url).stage(name) for name in STAGES]
        stage = next((one for one in stages if one.manifest() is not None), stages[0])
        stage.require()
        files = stage.files
        record = files.read_record(MANIFEST) or {}
    name = next((stage for stage in STAGES if is_own(MANIFEST, record, stage)), "")
    if not name:
        raise ConfigError(f"{files.url} is no evaluation. Give a run, or the folder {' or '.join(STAGES)} of one.")
    read = {file: e for file, e in record["files"].items() if file.startswith((f"{RESULTS}/", f"{SAMPLE_FILES}/"))}
    if bad := sorted(damaged(files, read)):
        more = f" and {len(bad) - 3} more" if len(bad) > 3 else ""
        mend = f"`siglino verify RUN {name} --mend` makes them again"
        raise DamagedError(
            f"{files.url}: {', '.join(bad[:3])}{more}: not the bytes that were written, or gone. {mend}."
        )
    return Evaluation.open(files)


def compare(wanted: Asked, console: Console) -> int:
    """Print what was asked for and write its files; the exit code.

    Raises:
        SiglinoError: as :func:`open_evaluation`, or a file cannot be written.
    """
    first = open_evaluation(wanted.first)
    second = open_evaluation(wanted.second) if wanted.second else None
    comparison = compared(first, second) if second else None
    if comparison is not None:
        _show(comparison, console)
    judged = None if wanted.rules is None else gate((second or first).results, comparison, rules=wanted.rules)
    if judged is not None:
        _verdict(judged, console)
    if wanted.junit and judged is not None:
        _put(wanted.junit, gate_text.junit(judged))
    if wanted.report:
        _put(wanted.report, json.dumps(report(comparison, judged), indent=1, sort_keys=True).encode() + b"\n")
    return 0 if judged is None else judged.exit_code


def report(comparison: Comparison | None, judged: Gate | None) -> dict[str, Any]:
    """Both as plain values."""
    return {
        "comparison": None if comparison is None else asdict(comparison),
        "gate": None if judged is None else {"passed": judged.passed, "checks": [asdict(c) for c in judged.checks]},
    }


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
