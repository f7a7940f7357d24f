"""A pool as people have them: encodings side by side, captions and labels of some images alone."""

from pathlib import Path

from tests.e2e.tiny import CLASSES, Tiny, drawing
from tests.pictures import encode
from tests.pools import write_files

KINDS = {"jpg": "jpeg", "png": "png", "webp": "webp", "gif": "gif"}
PER_SHARD = 8
BROKEN = PER_SHARD  # files: all of the first source shard
IMAGES = 96
TARGET = 32
HOSTILE = "<b>`|[x](http://evil.example)\n---"  # a label


def write_mixed(folder: Path) -> Path:
    """Files in the order of their names: broken ones, images without texts, then some with a caption or a label."""
    files = {f"0-broken-{i}.jpg": b"no image" for i in range(BROKEN)}
    for i in range(IMAGES):
        suffix = list(KINDS)[i % len(KINDS)]
        files[f"1-{i:03d}.{suffix}"] = encode(drawing(CLASSES[i % len(CLASSES)], i), KINDS[suffix])
        if i > IMAGES // 2 and i % 3:
            files[f"1-{i:03d}.txt"] = f"drawing {i}".encode()
        if i > IMAGES // 2 and i % 2:
            files[f"1-{i:03d}.cls"] = (HOSTILE if i % 4 == 3 else "drawing").encode()
    return write_files(folder, files)


def curate_mixed(tiny: Tiny, pool: Path, run: Path, *more: str) -> Path:
    """A run over the pool, by the command line."""
    tiny.run(
        run,
        f"source.uri={pool}",
        f"source.rows_per_shard={PER_SHARD}",
        "source.label_folder=none",
        f"sample.target_size={TARGET}",
        "sample.near_duplicate=1",
        *more,
    )
    return run
