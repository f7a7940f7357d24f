"""The section of results on the ablations' page, from committed rows: `python -m scripts.docs.ablations_page`.

It is committed, since it is read where no site is built; a test holds it against the rows.
"""

from pathlib import Path

from flows.ablation import load_grid
from siglino_core.evaluation.results.ablation import lines, read_rows
from siglino_core.evaluation.results.ablation_text import markdown
from siglino_core.report.cards import table as table_of
from siglino_core.statistics.interval import Interval
from siglino_core.statistics.seeds import OverSeeds

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE, ROWS = DOCS / "ablations.md", DOCS / "ablations"
BEGIN = "<!-- made by python -m scripts.docs.ablations_page -->\n"
POOLS = "pools"  # the folder of grids over pools of images
NONE = "No grid has been run to its end yet.\n"


def results(folder: Path = ROWS) -> str:
    """A table a grid whose rows, ``NAME.jsonl``, are there; made by the code that `siglino ablate` makes it by.

    Raises:
        ConfigError: rows of no grid that ships.
        DataError: a file holds no rows.
    """
    parts = []
    for path in sorted(folder.glob("*.jsonl")):
        grid, rows = load_grid(path.stem), read_rows(path.read_bytes(), path.name)
        seeds = len({row.seed for row in rows})
        table = lines(rows, grid.measures, list(grid.arms), grid.baseline)
        parts.append(markdown(table, grid.measures, title=f"{grid.name}: {len(grid.arms)} arms, {seeds} seeds"))
    made = [pools(folder / POOLS)] if (folder / POOLS).is_dir() else []
    return "\n".join([*made, *parts]) or NONE


def pools(folder: Path) -> str:
    """One table of the grids over pools of images: what the default sample's student has more than a random one's.

    Of each grid, ``NAME.yaml``, the rows lie beside it, ``NAME.jsonl``.
    """
    grids = [load_grid(str(path)) for path in sorted(folder.glob("*.yaml"))]
    measures = grids[0].measures
    rows = list[list[str]]()
    means = {measure.name: list[float]() for measure in measures}
    for grid in grids:
        path = folder / f"{grid.name}.jsonl"
        table = lines(read_rows(path.read_bytes(), path.name), grid.measures, list(grid.arms), grid.baseline)
        found = {line.metric: line.over for line in table if line.arm != grid.baseline and line.over is not None}
        rows.append([grid.name, *(_difference(found.get(measure.name)) for measure in measures)])
        for name, over in found.items():
            means[name].append(over.mean)
    rows.append(["mean of the pools", *(_difference(Interval.of(means[measure.name])) for measure in measures)])
    head = ["pool", *(measure.title or measure.name for measure in measures)]
    title = f"## Pools: {len(grids)}, the default sample's student less a random sample's"
    told = (
        "Points; 95% intervals are Student's over seeds, in the last row over pools; bold leaves out 0. Each pool's "
        "grid is `docs/ablations/pools/NAME.yaml`, its rows lie beside it."
    )
    return f"{title}\n\n{table_of(head, rows, left=1)}\n\n{told}\n"


def _difference(over: Interval | OverSeeds | None) -> str:
    if over is None or over.low is None or over.high is None:
        return "–"
    text = f"{over.mean:+.1f} ({over.low:+.1f} to {over.high:+.1f})".replace("-", "−")
    return text if over.low <= 0 <= over.high else f"**{text}**"


def ablations_page(page: str, folder: Path = ROWS) -> str:
    """The page with its results in place of those that stand there."""
    return page.partition(BEGIN)[0] + BEGIN + "\n" + results(folder)


if __name__ == "__main__":
    PAGE.write_text(ablations_page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
