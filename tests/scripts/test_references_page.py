"""The committed page of published figures is what the files say, and every reference stands on it."""

from scripts.docs.references_page import PAGE, references_page
from siglino_core.evaluation.reference import references


def test_the_committed_page_is_made_from_the_files() -> None:
    assert PAGE.read_text(encoding="utf-8") == references_page(), "run python -m scripts.docs.references_page"


def test_every_reference_has_its_row_with_figure_and_source() -> None:
    page = references_page()
    rows = {row.split(" | ")[0].strip("|` "): row for row in page.splitlines() if row.startswith("| `")}
    found = references()
    assert rows.keys() == found.keys()
    for name, r in found.items():
        cells = rows[name].strip("| ").split(" | ")
        assert len(cells) == 6, "a cell holds a bar"
        assert cells[1].startswith(f"{r.percent:.{r.decimals}f}")
        assert cells[1].endswith("(contested)") == bool(r.contested)
        assert cells[5] == r.source
        assert all(f"- {note}\n" in page for note in r.notes)
