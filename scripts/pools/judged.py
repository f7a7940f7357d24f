"""The default recipe judged on every pool by `siglino bench curation`, and the rows that docs/curation.md is made of.

A row is a pool, a network and a method; its figures are lists with a number a seed, of the judge's metrics.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from flows.cli import main as siglino
from scripts.pools.arrays import ENCODERS

SEEDS = 10
SHARE = 8  # a sample is an eighth of what is left of a pool when a quarter is held out
DIGITS = 5
ROWS = Path(__file__).resolve().parents[2] / "docs/recipes.jsonl"
FIGURES = (
    "effective_labels", "rare_half_share", "labels_covered", "near_duplicates", "junk",
    "probe", "probe_rare", "student",
)  # fmt: skip


def judge(folder: Path, seeds: int = SEEDS) -> list[Path]:
    """The judgements of a pool's folder, by both networks; what is there is not made again.

    Raises:
        SystemExit: the command failed; it has said why.
    """
    target = round(0.75 * len(np.load(folder / "labels.npy")) / SHARE)
    made = []
    for network in ENCODERS:
        made.append(folder / f"judged_{network}.json")
        if made[-1].exists():
            continue
        arrays = {"embeddings": network, "labels": "labels", "pixels": "pixels"}
        words = [f"{key}={folder}/{name}.npy" for key, name in arrays.items()]
        words += [f"target={target}", f"seeds={seeds}", "--json", str(made[-1])]
        if code := siglino(["bench", "curation", *words]):
            raise SystemExit(code)
    return made


def rows_of(pool: str, network: str, judgement: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A row a method of what the command wrote."""
    told = {"images": judgement["pool"]["images"], "labels": judgement["pool"]["labels"]}
    return [
        {
            "pool": pool,
            "network": network,
            **told,
            "target": judgement["protocol"]["target"],
            "method": method,
            "figures": {key: [round(seed[key], DIGITS) for seed in found["seeds"]] for key in FIGURES},
        }
        for method, found in judgement["methods"].items()
    ]


def write_rows(rows: Iterable[Mapping[str, Any]], path: Path = ROWS) -> None:
    """Rows as JSON lines, in place of those of the same pool and network that stand there."""
    new = list(rows)
    judged = {(row["pool"], row["network"]) for row in new}
    kept = [row for row in read_rows(path) if (row["pool"], row["network"]) not in judged]
    path.write_text("".join(json.dumps(row) + "\n" for row in [*kept, *new]), encoding="utf-8")


def read_rows(path: Path = ROWS) -> list[dict[str, Any]]:
    """The rows that are there; none where there is no file."""
    lines: Sequence[str] = path.read_text(encoding="utf-8").splitlines() if path.exists() else ()
    return [json.loads(line) for line in lines]


def judge_and_record(name: str, out: Path) -> None:
    """Judge one pool and put its rows among the others."""
    for network, path in zip(ENCODERS, judge(out / name), strict=True):
        write_rows(rows_of(name, network, json.loads(path.read_text(encoding="utf-8"))))
