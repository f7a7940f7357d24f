"""Makes a labelled set of 1,646 pictures whose level is known: Fluent emoji by group and by subgroup.

    python -m scripts.evaluation.fluent --cache ~/.cache/siglino-demo --out DIR

It writes ``DIR/groups.csv`` (9 classes) and ``DIR/subgroups.csv`` (97), whose images lie in the cache, and prints the
commands that evaluate on them. It needs `npm` on PATH and takes seconds: 22 MB are downloaded once. A picture belongs
to a concept if its file bears the concept's whole code; those of other codes and of skin tones are left out.
"""

import argparse
import csv
import json
from dataclasses import dataclass
from pathlib import Path

from scripts.demo import sources

PACKAGES = ("fluent", "emojibase")
# By efficientnet_lite0, of each image the nearest other one: found by another program before this one was written.
KNOWN = {"groups": 0.789, "subgroups": 0.638}
ALLOWED = 0.02
K = [1, 20]  # the first is the headline
MODELS = "[{network: efficientnet_lite0}]"


@dataclass(frozen=True, kw_only=True)
class Concept:
    """A picture and what it is of."""

    path: Path
    name: str
    group: str
    subgroup: str


def concepts(roots: dict[str, Path]) -> list[Concept]:
    """All of them in the order of Unicode's list.

    Args:
        roots: of the packages, as `scripts.demo.sources.fetch` gives them.
    """
    folder, emojibase = roots["fluent"] / "package/assets", roots["emojibase"] / "package"
    names = json.loads((emojibase / "meta/groups.json").read_text())
    found = []
    for emoji in json.loads((emojibase / "en/data.json").read_text()):
        path = folder / f"{emoji['hexcode'].lower()}.webp"
        if "subgroup" in emoji and path.is_file():
            group, subgroup = names["groups"][str(emoji["group"])], names["subgroups"][str(emoji["subgroup"])]
            found.append(Concept(path=path, name=emoji["label"], group=group, subgroup=subgroup))
    return found


def write(found: list[Concept], out: Path) -> dict[str, Path]:
    """A CSV of image and label for groups and one for subgroups, by name."""
    out.mkdir(parents=True, exist_ok=True)
    files = {}
    for name, labels in (("groups", [c.group for c in found]), ("subgroups", [c.subgroup for c in found])):
        files[name] = out / f"{name}.csv"
        with files[name].open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["image", "label", "caption"])
            writer.writerows((str(c.path.resolve()), label, c.name) for c, label in zip(found, labels, strict=True))
    return files


def words(files: dict[str, Path], run: Path, models: str = MODELS, tasks: str = "knn") -> list[str]:
    """The words of ``siglino evaluate`` on these files."""
    data = ",".join(f'{{name: {name}, annotations: "{path}", tasks: [{tasks}]}}' for name, path in files.items())
    return [
        f"run={run}",
        f"evaluate.models={models}",
        f"evaluate.datasets=[{data}]",
        f"evaluate.k={K}".replace(" ", ""),
    ]


def main() -> None:
    """Reads the command line, fetches, writes and prints the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, required=True, help="folder for the downloaded packages")
    parser.add_argument("--out", type=Path, required=True, help="folder of the two CSV files")
    arguments = parser.parse_args()
    found = concepts(sources.fetch(arguments.cache, PACKAGES))
    files = write(found, arguments.out)
    print(f"{len(found)} images, {len({c.group for c in found})} groups, {len({c.subgroup for c in found})} subgroups")
    shown = [f"'{word}'" if " " in word or "[" in word else word for word in words(files, arguments.out / "run")]
    print("siglino evaluate", *shown)
    print("known, top-1:", ", ".join(f"{name} {share:.1%}" for name, share in KNOWN.items()))


if __name__ == "__main__":
    main()
