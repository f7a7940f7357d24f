"""The section of results on the ablations' page, from committed rows: `python -m scripts.docs.ablations_page`.

It is committed, since it is read where no site is built; a test holds it against the rows.
"""

from pathlib import Path

from flows.ablation import load_grid
from siglino_core.evaluation.results.ablation import lines, read_rows
from siglino_core.evaluation.results.ablation_text import markdown

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE, ROWS = DOCS / "ablations.md", DOCS / "ablations"
BEGIN = "<!-- made by python -m scripts.docs.ablations_page -->\n"
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
    return "\n".join(parts) or NONE


def ablations_page(page: str, folder: Path = ROWS) -> str:
    """The page with its results in place of those that stand there."""
    return page.partition(BEGIN)[0] + BEGIN + "\n" + results(folder)


if __name__ == "__main__":
    PAGE.write_text(ablations_page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
