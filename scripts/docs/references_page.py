"""The page of published figures, from the references of the evaluation: `python -m scripts.docs.references_page`.

It is committed, since it is read where no site is built; a test holds it against the files.
"""

from pathlib import Path

from scripts.docs.tables import code, table
from siglino_core.evaluation.reference import Reference, references

PAGE = Path(__file__).resolve().parents[2] / "docs/references.md"
INTRODUCTION = """# Published figures

What others measured, how, and a command that measures it again. None of these figures was reproduced here: the weights
and the data are for whoever has them.

    siglino reproduce                      # lists them
    siglino reproduce siglino_0_6b_imagenet_knn uri=/data/imagenet network=siglino:/weights/siglino run=runs/knn

The command composes an evaluation of the reference's own protocol: size and rule of the pixels, templates, what is done
to texts, k. It runs `siglino evaluate` and prints *reproduced*; or *not reproduced*, and by how much; or *not
comparable*, and what was measured otherwise. It exits with 0, 1 and 2. The verdict is written to
`evaluate/references.json`.

- `uri`, `train`, `annotations` and `masks` say where the data are, as in `evaluate.datasets`.
- `network`, `weights` and `texts` say where the weights are, as in `evaluate.models`. A network of the same weights in
  another form is one's own to name: `network=module:attribute`.
- Anything else of a model or data set may be given (`image_size=224`, `limit=1000`): then the result is not comparable,
  and the command says why.
- A figure of one's own is a TOML file of the same keys: `siglino reproduce mine.toml uri=...`. Its `recipe` may be the
  name of a data set that has no recipe.

A figure is reproduced if it lies within our result's 95% interval, widened by half a unit of its last digit. What the
result does not tell is not held against it.

## Figures
"""
HEAD = ("reference", "figure", "what", "on", "needs", "source")


def references_page() -> str:
    """The page as Markdown."""
    found = references()
    notes = [_notes(name, r) for name, r in found.items()]
    rows = [_row(name, r) for name, r in found.items()]
    return f"{INTRODUCTION}\n{table(HEAD, rows)}\n\n## What is known of each protocol\n\n" + "\n".join(notes)


def _row(name: str, r: Reference) -> list[str]:
    figure = f"{r.percent:.{r.decimals}f}" + (" (contested)" if r.contested else "")
    what, on = f"{r.title}; {r.metric.replace('_', ' ')}, {r.task.replace('_', ' ')}", f"{code(r.recipe)}, n={r.n:,}"
    needs = "<br>".join(code(spec) for spec in (r.network or "module:attribute", *r.texts))
    return [code(name), figure, what, on, needs, r.source]


def _notes(name: str, r: Reference) -> str:
    asked = [f"{k}={v}" for k, v in {"fit": r.fit, **r.preprocessing, **r.parameters}.items()]
    lines = [*([f"contested: {r.contested}"] if r.contested else []), *r.notes]
    return "\n".join([f"### {name}\n", f"`{', '.join(asked)}`\n", *(f"- {line}" for line in lines), ""])


if __name__ == "__main__":
    PAGE.write_text(references_page(), encoding="utf-8")
