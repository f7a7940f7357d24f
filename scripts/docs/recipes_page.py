"""What recipes are worth on the pools, in docs/curation.md, from committed rows: `python -m scripts.docs.recipes_page`.

The section is committed, since it is read where no site is built; a test holds it against the rows.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.judge.methods import RANDOM, TITLES
from scripts.pools.judged import read_rows
from scripts.pools.registry import POOLS
from siglino_core.statistics.interval import Interval

PAGE = Path(__file__).resolve().parents[2] / "docs/curation.md"
BEGIN = "<!-- made by python -m scripts.docs.recipes_page -->\n"
JUDGED = "default"
NETWORKS = {"lite0": "EfficientNet-Lite0", "other": "MobileNetV2"}
Row = dict[str, Any]
COLUMNS = {  # of both tables: what is shown, and of which figure
    "probe": "probe",
    "rare probe": "probe_rare",
    "student": "student",
    "labels, %": "effective_labels",
    "rare half": "rare_half_share",
    "junk": "junk",
}


def results(rows: Sequence[Row]) -> str:
    """The means over fresh pools and over the others, a table a network, then the default on every pool."""
    networks = list(dict.fromkeys(row["network"] for row in rows))
    kinds = [kind for kind in (True, False) if of_kind(rows, fresh=kind)]
    tables = [means(of_kind(rows, fresh=kind), network) for kind in kinds for network in networks]
    return "\n".join([*tables, each_pool(rows, networks)])


def of_kind(rows: Sequence[Row], *, fresh: bool) -> list[Row]:
    """The rows of pools on which no recipe was chosen, or those of the others."""
    return [row for row in rows if is_fresh(row) is fresh]


def is_fresh(row: Row) -> bool:
    """Whether no recipe was chosen on the row's pool."""
    pool = POOLS.get(row["pool"])
    return pool is not None and pool.fresh


def means(rows: Sequence[Row], network: str) -> str:
    """Every method less random, means over the pools it was had on; the interval is over seeds."""
    found = {(row["pool"], row["method"]): row for row in rows if row["network"] == network}
    pools = list(dict.fromkeys(pool for pool, _ in found))
    kind = "fresh pools" if any(is_fresh(row) for row in rows) else "pools on which the default was chosen"
    lines = _head(f"Less random, means over {len(pools)} {kind}, {NETWORKS.get(network, network)}", COLUMNS, "sample")
    for method in dict.fromkeys(method for _, method in found):
        if method == RANDOM:
            continue
        had = [pool for pool in pools if (pool, method) in found]
        cells = []
        for key in COLUMNS.values():
            per_seed = np.mean([difference(found[p, method], found[p, RANDOM], key) for p in had], axis=0)
            cells.append(cell(key, Interval.of(per_seed)))
        title = TITLES.get(method, f"the {method} recipe")
        lines.append(f"| {title}{'' if had == pools else f' ({len(had)} pools)'} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def each_pool(rows: Sequence[Row], networks: Sequence[str]) -> str:
    """The default less random, pool by pool; what is worse beyond its interval in bold."""
    found = {(row["pool"], row["network"], row["method"]): row for row in rows}
    keys = [("probe", "probe"), ("student", "student"), ("labels, %", "effective_labels"), ("junk", "junk")]
    titles = [f"{title} ({NETWORKS.get(network, network)})" for title, _ in keys for network in networks]
    lines = _head("The default less random; fresh pools in italics", titles, "pool (images, labels)")
    for pool in dict.fromkeys(row["pool"] for row in rows):
        cells, told = [], ""
        for _, key in keys:
            for network in networks:
                mine, other = found.get((pool, network, JUDGED)), found.get((pool, network, RANDOM))
                if mine is None or other is None:
                    cells.append("")
                    continue
                told = f"{mine['images']:,}, {mine['labels']}"
                cells.append(cell(key, Interval.of(difference(mine, other, key))))
        mark = "*" if POOLS.get(pool) and POOLS[pool].fresh else ""
        lines.append(f"| {mark}{pool}{mark} ({told}) | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def difference(row: Row, other: Row, key: str) -> np.ndarray:
    """Seed by seed: points of shares, percent of effective labels."""
    mine, its = (np.array(r["figures"][key], np.float64) for r in (row, other))
    return 100 * (mine / its - 1) if key == "effective_labels" else 100 * (mine - its)


def cell(key: str, value: Interval) -> str:
    """A mean and the half of its interval; bold if all of that is on the bad side, which is less but of junk."""
    if value.low is None or value.high is None:
        return f"{value.mean:+.1f}"
    text = f"{value.mean:+.1f} ± {value.high - value.mean:.1f}"
    worse = value.low > 0 if key == "junk" else value.high < 0
    return f"**{text}**" if worse else text


def _head(title: str, columns: Iterable[str], first: str = "") -> list[str]:
    names = list(columns)
    return [f"**{title}**\n", f"| {first} | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]


def recipes_page(page: str, rows: Callable[[], Sequence[Row]] = read_rows) -> str:
    """The page with its results in place of those that stand there."""
    return page.partition(BEGIN)[0] + BEGIN + "\n" + results(rows())


if __name__ == "__main__":
    PAGE.write_text(recipes_page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
