"""Fetches the packages that the demo's images come from, and lists every image in them that may be used."""

import html
import json
import re
import shutil
import struct
import subprocess
import tarfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from scripts.demo import labels

NPM_PACKAGES = {
    "fluent": "@lobehub/fluent-emoji-3d@1.1.0",
    "noto": "emoji-datasource-google@16.0.0",
    "emojibase": "emojibase-data@17.0.0",
}
DEBIAN_PACKAGES = ("openclipart-png", "openclipart-svg")
MAX_PIXELS = 40_000_000
MAX_ASPECT = 3.5
NOISE_KEYWORDS = frozenset(
    ["", "hash", "magick", "unsorted", "signs_and_symbols", "theme", "architetto francesco rollandin"]
)


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """An image of a package: where it lies, how the pool would call it, and what is known about it."""

    key: str
    path: Path
    label: str | None
    caption: str | None
    copy_of: str | None = None  # the key of the image that this one is a link to


def run(*command: str, cwd: Path) -> None:
    """Runs a program found on PATH, without a shell."""
    program = shutil.which(command[0])
    if program is None:
        raise SystemExit(f"{command[0]} is not installed: it fetches what the pool is built from")
    subprocess.run([program, *command[1:]], cwd=cwd, check=True, stdout=subprocess.DEVNULL)  # noqa: S603


def fetch(cache: Path, names: Sequence[str] = (*NPM_PACKAGES, *DEBIAN_PACKAGES)) -> dict[str, Path]:
    """Downloads and unpacks what the cache folder lacks: the root of each package, by its short name."""
    cache.mkdir(parents=True, exist_ok=True)
    roots = {name: cache / "unpacked" / name for name in names}
    for name, root in roots.items():
        if root.exists():
            continue
        downloads, partial = cache / f"{name}.download", cache / f"{name}.partial"
        for folder in (downloads, partial):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
        if name in NPM_PACKAGES:
            run("npm", "pack", "--silent", NPM_PACKAGES[name], cwd=downloads)
        else:
            run("apt-get", "download", "-q", name, cwd=downloads)
            (archive,) = downloads.glob("*.deb")
            with (downloads / "files.tar").open("wb") as out:
                command = [str(shutil.which("dpkg-deb")), "--fsys-tarfile", str(archive)]
                subprocess.run(command, check=True, stdout=out)  # noqa: S603
            archive.unlink()
        (archive,) = downloads.iterdir()
        with tarfile.open(archive) as tar:
            tar.extractall(partial, filter="tar" if name in DEBIAN_PACKAGES else "data")  # noqa: S202
        root.parent.mkdir(exist_ok=True)
        partial.rename(root)
        shutil.rmtree(downloads)
    return roots


def list_candidates(roots: dict[str, Path]) -> list[Candidate]:
    """All images that may be used, ordered by key; links follow in the same order among them."""
    candidates = openclipart(roots["openclipart-png"], roots["openclipart-svg"])
    candidates += emoji(roots["emojibase"], roots["fluent"] / "package/assets", "fluent", ".webp")
    candidates += emoji(roots["emojibase"], roots["noto"] / "package/img/google/64", "noto", ".png")
    return sorted(candidates, key=lambda c: c.key)


def openclipart(png_root: Path, svg_root: Path) -> list[Candidate]:
    png, svg = png_root / "usr/share/openclipart/png", svg_root / "usr/share/openclipart/svg"
    paths = sorted(png.rglob("*.png"))
    drawings = {p: (svg / p.relative_to(png)).with_suffix(".svg") for p in paths if not p.is_symlink()}
    texts = {p: _metadata(s) for p, s in drawings.items() if s.is_file()}
    series = Counter(title for title, _, _ in texts.values())
    candidates: dict[Path, Candidate] = {}
    for path, (title, keywords, public_domain) in texts.items():
        inner = PurePosixPath(path.relative_to(png).as_posix())
        used, label = labels.of_folder(str(inner.parent))
        words = " ".join([inner.stem, title, *keywords])
        if not (used and public_domain and labels.is_fit(words) and _has_usable_size(path)):
            continue
        if not title or series[title] > 4 or re.match(r"(clipart by|part of) ", title, re.IGNORECASE):
            title = re.sub(r"[_\-\s]+", " ", re.sub(r"[\d_]+$", "", inner.stem)).strip()
        about = [k for k in keywords if k.lower() not in NOISE_KEYWORDS and k.lower() != title.lower()]
        caption = ": ".join(filter(None, [title, ", ".join(dict.fromkeys(about[:6]))])) or None
        candidates[path] = Candidate(key=f"openclipart/{inner}", path=path, label=label, caption=caption)
    for path in paths:
        if path.is_symlink() and (target := candidates.get(_target(path, png))) is not None:
            inner = PurePosixPath(path.relative_to(png).as_posix())
            used, _ = labels.of_folder(str(inner.parent))
            if used and labels.is_fit(inner.stem):
                link = Candidate(
                    key=f"openclipart/{inner}", path=target.path, label=target.label, caption=target.caption,
                    copy_of=target.key,
                )  # fmt: skip
                candidates[path] = link
    return list(candidates.values())


def _target(link: Path, png: Path) -> Path:
    """The file under `png` that a link leads to, by whatever name the cache itself is reached."""
    resolved = link.resolve()
    base = png.resolve()
    return png / resolved.relative_to(base) if resolved.is_relative_to(base) else resolved


def _metadata(svg: Path) -> tuple[str, list[str], bool]:
    """Title, keywords, and whether the drawing's own metadata dedicate it to the public domain."""
    text = svg.read_text(errors="replace")
    title = re.search(r"<dc:title>(.*?)</dc:title>", text, re.DOTALL)
    keywords = re.findall(r"<rdf:li>(.*?)</rdf:li>", text, re.DOTALL)
    licences = set(re.findall(r'license\s+rdf:resource="([^"]*)"', text))
    public_domain = bool(licences) and all(re.search("public ?domain", licence, re.I) for licence in licences)
    return _clean(title[1] if title else ""), [_clean(k) for k in keywords], public_domain


def _clean(text: str) -> str:
    return " ".join(html.unescape(text).split())


def _has_usable_size(png: Path) -> bool:
    with png.open("rb") as file:
        header = file.read(24)
    if len(header) < 24 or header[12:16] != b"IHDR":
        return False
    width, height = struct.unpack(">II", header[16:24])
    short, long = sorted((width, height))
    return short >= 20 and short * long <= MAX_PIXELS and long <= MAX_ASPECT * short


def emoji(emojibase: Path, folder: Path, style: str, suffix: str) -> list[Candidate]:
    data = json.loads((emojibase / "package/en/data.json").read_text())
    names = json.loads((emojibase / "package/meta/groups.json").read_text())
    candidates = []
    for emoji in data:
        if "subgroup" not in emoji:
            continue
        group, subgroup = names["groups"][str(emoji["group"])], names["subgroups"][str(emoji["subgroup"])]
        used, label = labels.of_subgroup(group, subgroup)
        name, code = emoji["label"], emoji["hexcode"].lower()
        # A smiley is a "face" and a sad cat a "face" too: the word rules nobody out here, the groups do.
        if not used or not labels.is_fit(re.sub(r"\b(face|head|eye|hand|mouth|baby|flag)\b", "", name)):
            continue
        files = [folder / f"{c}{suffix}" for c in (code, code.replace("-fe0f", ""), f"{code}-fe0f")]
        if (path := next((f for f in files if f.is_file()), None)) is None:
            continue
        tags = [t for t in emoji.get("tags", []) if t != name][:6]
        key = f"{style}/{subgroup}/{re.sub(r'[^a-z0-9]+', '-', name.lower()).strip('-') or code}"
        caption = f"{name}: {', '.join(tags)}" if tags else name
        candidates.append(Candidate(key=key + suffix, path=path, label=label, caption=caption))
    keys = Counter(c.key for c in candidates)
    return [c for c in candidates if keys[c.key] == 1]
