"""Builds labelled pools of real images, and embeds them by the product with two real networks.

    python -m scripts.pools build NAME|all OUT --cache ~/.cache/siglino-pools
    python -m scripts.pools arrays NAME|all OUT --cache ~/.cache/siglino-pools
    python -m scripts.pools sheet NAME|all OUT
    python -m scripts.pools judge NAME|all OUT

NAME may be several, with commas between them.

`build` writes OUT/NAME/images/LABEL/... and OUT/NAME/NOTICE; `arrays` writes OUT/NAME/run_* and OUT/NAME/*.npy (see
`scripts/pools/arrays.py`) and adds a line `NAME images labels` to OUT/READY; `sheet` draws OUT/NAME/sheet.png;
`judge` runs `siglino bench curation` on the arrays into OUT/NAME/judged_*.json, and puts its figures into
docs/recipes.jsonl.
It needs `npm`, `apt-get`, `dpkg-deb` and `rsvg-convert` (Debian's librsvg2-bin) on PATH. Pools, packages, licences and
what the labels are: scripts/pools/README.md.
"""

import argparse
import shutil
from pathlib import Path

from scripts.pools import arrays, packages
from scripts.pools.items import write
from scripts.pools.judged import judge_and_record
from scripts.pools.registry import POOLS
from scripts.pools.sheet import draw


def build(name: str, out: Path, cache: Path) -> None:
    """The image folder and the NOTICE of one pool, made anew."""
    pool = POOLS[name]
    roots = {package.name: packages.fetch(cache, package) for package in pool.packages}
    shutil.rmtree(out / name / "images", ignore_errors=True)
    counts = write(pool.items(roots), out / name / "images")
    (out / name / "NOTICE").write_text(notice(name, roots), encoding="utf-8")
    sizes = sorted(counts.values())
    print(f"{name}: {sum(sizes)} images, {len(sizes)} labels of {sizes[0]} to {sizes[-1]}", flush=True)


def notice(name: str, roots: dict[str, Path]) -> str:
    """The packages of a pool, their versions and licences, and what they say of these themselves."""
    parts = [f"{name}: images of other people's packages, by their licences; not for redistribution as one work.\n"]
    for package in POOLS[name].packages:
        title = f"{package.registry} package {package.name} {package.version}: {package.licence}"
        parts.append(f"{title}\n{'=' * len(title)}\n{packages.licence_text(roots[package.name], package)}\n")
    return "\n".join(parts)


def export(name: str, out: Path, cache: Path) -> None:
    """The arrays of one pool."""
    other = arrays.write_other(cache, cache / "mobilenetv2")
    images, labels = arrays.export(out / name / "images", other, out / name)
    say_ready(out, name, images, labels)


def say_ready(out: Path, name: str, images: int, labels: int) -> None:
    """The pool's line in OUT/READY, which replaces an earlier one."""
    ready = out / "READY"
    lines = ready.read_text(encoding="utf-8").splitlines() if ready.exists() else []
    lines = [line for line in lines if line.split()[0] != name] + [f"{name} {images} {labels}"]
    ready.write_text("\n".join(lines) + "\n", encoding="utf-8")


def main() -> None:
    """Reads the command line and does it pool by pool."""
    parser = argparse.ArgumentParser(
        prog="scripts.pools", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=["build", "arrays", "sheet", "judge"])
    parser.add_argument("names", help=f"all, or some of {', '.join(POOLS)}")
    parser.add_argument("out", type=Path)
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache/siglino-pools")
    arguments = parser.parse_args()
    out = arguments.out.resolve()
    names = list(POOLS) if arguments.names == "all" else arguments.names.split(",")
    if unknown := [name for name in names if name not in POOLS]:
        parser.error(f"{', '.join(unknown)}: not one of {', '.join(POOLS)}")
    for name in names:
        if arguments.command == "build":
            build(name, out, arguments.cache.resolve())
        elif arguments.command == "arrays":
            export(name, out, arguments.cache.resolve())
        elif arguments.command == "judge":
            judge_and_record(name, out)
        else:
            draw(out / name / "images", out / name / "sheet.png")


if __name__ == "__main__":
    main()
