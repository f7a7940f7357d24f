"""Builds the demo's pool, flows/demo/pool.parquet: 3,000 small images with all the faults of a raw pool.

    python -m scripts.demo.build_pool --cache ~/.cache/siglino-demo
    python -m scripts.demo.build_pool --cache ~/.cache/siglino-demo --full --out DIR

The first takes two minutes on one core and writes at most 12 MB; the second writes every usable image of
the same packages as Parquet shards, for benchmarks. The same seed, packages and Pillow give the same bytes.
It needs `npm`, `apt-get` and `dpkg-deb` on PATH (the demo itself needs none of them: the pool is committed).
"""

import argparse
import io
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from scripts.demo import planted, sources
from scripts.demo.sources import Candidate

POOL = Path(__file__).with_name("pool.parquet")
MAX_POOL_BYTES = 12_000_000
SCHEMA = pa.schema([("key", pa.string()), ("image", pa.binary()), ("caption", pa.string()), ("label", pa.string())])
ROW_GROUP = 256
ROWS = 3000
ZIPF_EXPONENT = 1.1
HEAD_LABELS = 14
HEAD_NEAR_SHARE, BODY_NEAR_SHARE = 0.26, 0.06
UNLABELLED, JUNK_EACH, BROKEN_EACH, EXACT_DUPLICATES = 120, 10, 3, 90
# Spirograph stars hardly differ from one another: a few of the 1,378 are enough.
LABEL_LIMITS = {"spirograph star": 60}
MAX_IMAGE_BYTES = 10_500


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row of the pool."""

    key: str
    image: bytes
    caption: str | None
    label: str | None


def generator(seed: int, *names: str) -> np.random.Generator:
    """A random generator of its own for each name, whatever the order of work."""
    return np.random.default_rng([seed, *(zlib.crc32(name.encode()) for name in names)])


def open_usable(path: Path) -> Image.Image | None:
    """The decoded image (RGBA where something shows through), or None if nothing can be seen on white."""
    with Image.open(path) as file:
        image = file.convert("RGBA")
    if image.getchannel("A").getextrema() == (255, 255):
        image = image.convert("RGB")
    small = image.resize((32, 32), Image.Resampling.BOX)
    return image if np.asarray(planted.flatten(small), dtype=np.float32).std() > 6 else None


def encode_for_pool(image: Image.Image, seed: int, key: str) -> tuple[str, bytes]:
    """Suffix and bytes: a size between 96 and 224 px and one of three encodings, drawn by key."""
    rng = generator(seed, "encode", key)
    natural = max(image.size)
    side = int(rng.integers(96, 129 if natural < 112 else 225))
    kind = str(rng.choice(["jpeg", "png", "webp"], p=[0.28, 0.34, 0.38]))
    quality = int(rng.integers(74, 94))
    palette = rng.random() < 0.5
    while True:
        scale = side / natural
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        resized = image.resize(size, Image.Resampling.BICUBIC if scale > 1 else Image.Resampling.LANCZOS)
        if kind == "png" and palette:
            resized = resized.quantize(64, method=Image.Quantize.FASTOCTREE)
        data = planted.encode(resized, kind, quality)
        if len(data) <= MAX_IMAGE_BYTES:
            return {"jpeg": ".jpg", "png": ".png", "webp": ".webp"}[kind], data
        if kind == "png":
            kind = "webp"
        else:
            side = max(96, int(side * 0.85))
            quality -= 8


def plan_labels(available: dict[str, int], rows: int) -> dict[str, tuple[int, int]]:
    """Distinct images and near-duplicates of each label, such that the sizes follow Zipf's law."""
    order = sorted(available, key=lambda name: (-min(available[name], LABEL_LIMITS.get(name, 10**9)), name))

    def at_scale(scale: float) -> dict[str, tuple[int, int]]:
        planned = {}
        for rank, name in enumerate(order, start=1):
            size = max(2, round(scale * rank**-ZIPF_EXPONENT))
            share = HEAD_NEAR_SHARE if rank <= HEAD_LABELS else BODY_NEAR_SHARE if size > 9 else 0.0
            near = round(size * share)
            planned[name] = (min(available[name], LABEL_LIMITS.get(name, 10**9), size - near), near)
        return planned

    low, high = 0.0, float(rows)
    while high - low > 0.01:
        middle = (low + high) / 2
        low, high = (middle, high) if sum(map(sum, at_scale(middle).values())) <= rows else (low, middle)
    return at_scale(low)


def pick(candidates: list[Candidate], count: int, seed: int) -> list[Row]:
    """The first `count` usable images in an order drawn by the seed, encoded."""
    rows: list[Row] = []
    for candidate in sorted(candidates, key=lambda c: generator(seed, "order", c.key).random()):
        if len(rows) == count:
            break
        if (image := open_usable(candidate.path)) is not None:
            suffix, data = encode_for_pool(image, seed, candidate.key)
            key = str(Path(candidate.key).with_suffix(suffix))
            rows.append(Row(key=key, image=data, caption=candidate.caption, label=candidate.label))
    return rows


def near_duplicates(originals: list[Row], count: int, seed: int) -> list[Row]:
    """Variants of the first third of a label's images, so that some images have several."""
    rows = []
    bases = originals[: max(1, len(originals) // 3)]
    for number in range(count):
        base = bases[number % len(bases)]
        rng = generator(seed, "near", base.key, str(number))
        change = str(rng.choice(planted.NEAR_KINDS))
        with Image.open(io.BytesIO(base.image)) as file:
            image = file.convert("RGBA" if "A" in file.getbands() or "transparency" in file.info else "RGB")
        encoding = str(rng.choice(["jpeg", "webp"]))
        data = planted.encode(planted.near_duplicate(image, change, rng), encoding, int(rng.integers(55, 92)))
        stem = base.key.rsplit(".", 1)[0]
        key = f"{stem}~{change}-{number}.{'jpg' if encoding == 'jpeg' else 'webp'}"
        rows.append(replace(base, key=key, image=data))
    return rows


def exact_duplicates(rows: list[Row], links: list[Candidate], seed: int) -> list[Row]:
    """The same bytes under other keys: openclipart's own links into the pool."""
    by_stem = {row.key.rsplit(".", 1)[0]: row for row in rows}
    taken = set(by_stem)
    copies = []
    for link in sorted(links, key=lambda c: generator(seed, "link", c.key).random()):
        original = by_stem.get(str(link.copy_of).rsplit(".", 1)[0])
        stem = link.key.rsplit(".", 1)[0]
        if original is not None and stem not in taken and len(copies) < EXACT_DUPLICATES:
            taken.add(stem)
            copies.append(replace(original, key=f"{stem}.{original.key.rsplit('.', 1)[1]}"))
    return copies


def planted_rows(originals: list[Row], seed: int) -> list[Row]:
    """Junk (it decodes, and shows nothing) and broken files (they do not decode)."""
    rows = []
    captions = {"noise": "synthetic noise", "flat": "a flat colour", "text": "a crop of text"}
    for kind, caption in captions.items():
        for number in range(JUNK_EACH):
            image = planted.junk(kind, generator(seed, "junk", kind, str(number)))
            encoding = ("jpeg", "png", "webp")[number % 3] if kind == "flat" else "webp"
            suffix = "jpg" if encoding == "jpeg" else encoding
            data = planted.encode(image, encoding, 60)
            key = f"junk/{kind}-{number:02d}.{suffix}"
            rows.append(Row(key=key, image=data, caption=caption, label=None))
    images = [Image.open(io.BytesIO(row.image)).convert("RGBA") for row in originals[:BROKEN_EACH]]
    for kind in planted.BROKEN_KINDS:
        for number in range(BROKEN_EACH):
            suffix, data = planted.broken(kind, number, images, generator(seed, "broken", kind, str(number)))
            assert not planted.decodes(data), (kind, number)
            rows.append(Row(key=f"broken/{kind}/{number}{suffix}", image=data, caption=None, label=None))
    return rows


def build(candidates: list[Candidate], seed: int) -> list[Row]:
    """The pool's rows, in an order drawn by the seed."""
    images = [c for c in candidates if c.copy_of is None]
    by_label: dict[str, list[Candidate]] = {}
    for candidate in images:
        if candidate.label is not None:
            by_label.setdefault(candidate.label, []).append(candidate)
    by_label = {name: members for name, members in by_label.items() if len(members) >= 2}
    extra = UNLABELLED + 3 * JUNK_EACH + len(planted.BROKEN_KINDS) * BROKEN_EACH + EXACT_DUPLICATES
    plan = plan_labels({name: len(members) for name, members in by_label.items()}, ROWS - extra)
    rows: list[Row] = []
    for name, (distinct, near) in sorted(plan.items()):
        originals = pick(by_label[name], distinct, seed)
        rows += originals + near_duplicates(originals, near, seed)
    rows += pick([c for c in images if c.label is None], UNLABELLED, seed)
    rows += exact_duplicates(rows, [c for c in candidates if c.copy_of is not None], seed)
    rows += planted_rows([r for r in rows if r.label == "mammal"], seed)
    rows.sort(key=lambda row: row.key)
    return [rows[i] for i in generator(seed, "rows").permutation(len(rows))]


def full(candidates: list[Candidate]) -> Iterator[Row]:
    """Every usable image as it is, or scaled down to 256 px; links become exact duplicates."""
    encoded: dict[Path, bytes | None] = {}
    for candidate in candidates:
        if candidate.path not in encoded:
            encoded[candidate.path] = None
            if (image := open_usable(candidate.path)) is not None:
                data = candidate.path.read_bytes()
                if max(image.size) > 256:
                    image.thumbnail((256, 256), Image.Resampling.LANCZOS)
                    data = planted.encode(image, "png")
                encoded[candidate.path] = data
        if (data := encoded[candidate.path]) is not None:
            yield Row(key=candidate.key, image=data, caption=candidate.caption, label=candidate.label)


def write(rows: list[Row], path: Path) -> None:
    """Writes one Parquet file under a temporary name, then renames it."""
    columns = {name: [getattr(row, name) for row in rows] for name in SCHEMA.names}
    partial = path.with_name(path.name + ".partial")
    table = pa.table(columns, schema=SCHEMA)
    pq.write_table(table, partial, compression="zstd", compression_level=19, row_group_size=ROW_GROUP)
    partial.rename(path)


def summarise(rows: list[Row]) -> str:
    """What is in a pool, in a few lines."""
    sizes = [count for _, count in Counter(row.label for row in rows if row.label).most_common()]
    head = max(1, len(sizes) // 10)
    copies = len(rows) - len({row.image for row in rows})
    suffixes = Counter(row.key.rsplit(".", 1)[1] for row in rows)
    return "\n".join(
        [
            f"rows {len(rows)}, image bytes {sum(len(row.image) for row in rows):,}, suffixes {dict(suffixes)}",
            f"labels {len(sizes)}, largest {sizes[:8]}, smallest {sizes[-8:]}, labels with 2 to 5 images "
            f"{sum(2 <= size <= 5 for size in sizes)}",
            f"labelled {sum(sizes)}, in the {head} largest labels {sum(sizes[:head]) / sum(sizes):.1%}",
            f"near-duplicates planted {sum('~' in row.key for row in rows)}, byte copies {copies}, "
            f"junk {sum(row.key.startswith('junk/') for row in rows)}, "
            f"broken {sum(row.key.startswith('broken/') for row in rows)}, "
            f"captions {sum(row.caption is not None for row in rows)}",
        ]
    )


def main() -> None:
    """Reads the command line, builds, writes and prints a summary."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--cache", type=Path, required=True, help="folder for the downloaded packages (1 GB)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--full", action="store_true", help="write all usable images instead, into --out")
    parser.add_argument("--out", type=Path, help="folder of the shards of --full")
    arguments = parser.parse_args()
    if arguments.full != (arguments.out is not None):
        parser.error("--full and --out DIR go together")
    candidates = sources.list_candidates(sources.fetch(arguments.cache))
    if arguments.full:
        arguments.out.mkdir(parents=True, exist_ok=True)
        rows = list(full(candidates))
        order = generator(arguments.seed, "full").permutation(len(rows))
        for number, shard in enumerate(np.array_split(order, max(1, len(rows) // 1000))):
            write([rows[i] for i in shard], arguments.out / f"part-{number:05d}.parquet")
    else:
        rows = build(candidates, arguments.seed)
        write(rows, POOL)
        size = POOL.stat().st_size
        print(f"{POOL}: {size:,} bytes")
        if size > MAX_POOL_BYTES:
            raise SystemExit(f"the pool is larger than {MAX_POOL_BYTES:,} bytes")
    print(summarise(rows))


if __name__ == "__main__":
    main()
