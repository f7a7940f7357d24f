"""What the benchmarks share: their words, and where a measured ratio is written down.

    --tiny        sizes that check the logic in seconds; the ratios say nothing and are not written down
    --no-record   write nothing down

`docs/benchmarks.jsonl` takes a line a ratio: date, commit, machine, script, name, baseline, median, min, max, pairs,
and whether a higher or a lower one is better. Ratios are this project's figure over the baseline's.
"""

import argparse
import datetime
import json
import os
import platform
import statistics
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PATH = ROOT / "docs" / "benchmarks.jsonl"


def parser(doc: str | None, **numbers: int) -> argparse.ArgumentParser:
    """A benchmark's words: ``numbers`` are its whole-number settings with their defaults."""
    made = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in numbers.items():
        made.add_argument(f"--{name}", type=int, default=default)
    made.add_argument("--tiny", action="store_true", help="check the logic; the times say nothing")
    made.add_argument("--no-record", action="store_true", help=f"add nothing to {PATH.relative_to(ROOT)}")
    return made


@dataclass(frozen=True, kw_only=True)
class Record:
    """Prints the ratios of a script, and writes them down if it may."""

    script: str
    writes: bool

    @classmethod
    def of(cls, script: str, arguments: argparse.Namespace) -> "Record":
        """For ``script``, a benchmark's ``__file__``."""
        return cls(script=Path(script).stem, writes=not (arguments.tiny or arguments.no_record))

    def ratio(self, name: str, baseline: str, ratios: Sequence[float], better: str, note: str = "") -> None:
        """One measured ratio: ``name`` over ``baseline``, a value a pair. ``better``: lower or higher."""
        median, low, high = statistics.median(ratios), min(ratios), max(ratios)
        print(
            f"{name} / {baseline}: median {median:.3g} ({low:.3g} to {high:.3g}, {len(ratios)} pairs; {better} is "
            f"better){note and f'; {note}'}",
            flush=True,
        )
        if not self.writes:
            return
        line = {
            "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
            "commit": _commit(),
            "machine": {"cpu": _cpu(), "cores": os.cpu_count(), "gpu": _gpu()},
            "script": self.script,
            "name": name,
            "baseline": baseline,
            **{key: float(f"{value:.4g}") for key, value in (("median", median), ("min", low), ("max", high))},
            "pairs": len(ratios),
            "better": better,
        }
        with PATH.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def _commit() -> str:
    words = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--exclude=*"]
    try:
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    facts = dict(line.split(":", 1) for line in lines if ":" in line)
    facts = {key.strip(): value.strip() for key, value in facts.items()}
    model = facts.get("model name", platform.machine())
    return f"{model}, family {facts['cpu family']} model {facts['model']}" if "cpu family" in facts else model


def _gpu() -> str | None:
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else None
