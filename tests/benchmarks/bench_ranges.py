"""Random single images from training shards: by byte range, against the row group around each image.

    python -m tests.benchmarks.bench_ranges [--images 2048] [--kilobytes 60] [--reads 512] [--pairs 5]

Shards are as the sample stage writes them, 256 images a row group, on a local disk whose pages are in memory: an object
store or a cold disk also pays for the bytes that a row group brings along. The row-group reader keeps its files open.
Both read the same rows in turns; both must return the same bytes. Then what the index costs: to locate the images of a
shard, and to load it.
"""

import hashlib
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from siglino_core import schema
from siglino_core.distillation.curated.index import ImageIndex
from siglino_core.store import Files, Ranges, Run
from siglino_core.store.locate import locate
from tests.benchmarks.record import Record, parser
from tests.siglino_core.distillation.training.samples import LEVELS, rows, sample

ROW_GROUP = 256


def shards(run: Run, images: int, kilobytes: int) -> tuple[Files, list[str], np.ndarray, np.ndarray]:
    """Shards of 1,024 random images, lognormal about ``kilobytes``; offsets and lengths, int64 [shards, 1024]."""
    rng, wanted = np.random.default_rng(0), schema.images(LEVELS)
    template, names, found = rows(1)[0], [], []
    for number in range(images // 1024):
        sizes = np.exp(rng.normal(np.log(kilobytes * 1024), 0.5, 1024)).astype(int)
        names.append(f"images/part-{number:05d}.parquet")
        with run.stage("sample").writer(f"part-{number:05d}", "") as out:
            with out.parquet(names[-1], wanted) as file:
                for start in range(0, 1024, ROW_GROUP):
                    group = [{**template, "bytes": rng.bytes(n)} for n in sizes[start : start + ROW_GROUP]]
                    file.write_table(pa.Table.from_pylist(group, wanted))
            began = time.perf_counter()
            found.append(locate(out.written(names[-1]), "bytes"))
            if not number:
                print(f"locating: {1024 / (time.perf_counter() - began):,.0f} images/s")
            out.commit(rows=1024)
    return run.stage("sample").files, names, *map(np.stack, zip(*found, strict=True))


def timed(read: Callable[[], list[bytes]], reads: int) -> tuple[float, str]:
    """Images a second, and what was read."""
    began = time.perf_counter()
    data = read()
    return reads / (time.perf_counter() - began), hashlib.sha256(b"".join(data)).hexdigest()


def reading(record: Record, folder: Path, images: int, kilobytes: int, reads: int, pairs: int) -> None:
    files, names, offsets, lengths = shards(Run(str(folder / "run")), images, kilobytes)
    ranges = Ranges(files)
    open_files: list[pq.ParquetFile] = [files.parquet(n) for n in names]
    rng, ratios, rates = np.random.default_rng(1), [], {"ranges": [], "row groups": []}
    for pair in range(pairs):
        asked = np.stack([rng.integers(0, len(names), reads), rng.integers(0, 1024, reads)], axis=1).tolist()

        def by_range(asked: list[list[int]] = asked) -> list[bytes]:
            return ranges.read([(names[s], int(offsets[s, r]), int(lengths[s, r])) for s, r in asked])

        def by_group(asked: list[list[int]] = asked) -> list[bytes]:
            groups = ((open_files[s].read_row_group(r // ROW_GROUP, ["bytes"]), r % ROW_GROUP) for s, r in asked)
            return [table["bytes"][row].as_py() for table, row in groups]

        ways = {"ranges": by_range, "row groups": by_group}
        found = {name: timed(ways[name], reads) for name in (ways if pair % 2 else reversed(ways))}
        assert len({digest for _, digest in found.values()}) == 1, "the two ways read different bytes"
        for name, (rate, _) in found.items():
            rates[name].append(rate)
        ratios.append(found["ranges"][0] / found["row groups"][0])
    for name, seen in rates.items():
        print(f"{name}: median {statistics.median(seen):,.0f} images/s ({min(seen):,.0f} to {max(seen):,.0f})")
    record.ratio("images a second by byte ranges", "row groups", ratios, "higher")


def loading(folder: Path, images: int = 100_000) -> None:
    made = rows(1024)
    stage = sample(Run(str(folder / "index")), [made] * (images // 1024))
    stored = sum(size for name, size in stage.files.sizes("index").items())
    for name, cache in (("in memory", None), ("into a cache", folder / "cache"), ("from the cache", folder / "cache")):
        began = time.perf_counter()
        index = ImageIndex.load(stage, cache)
        print(f"loading {name}: {len(index) / (time.perf_counter() - began):,.0f} images/s")
    print(f"index: {stored / len(index):.1f} bytes an image in the store")


def main(words: Sequence[str] | None = None) -> None:
    a = parser(__doc__, images=2048, kilobytes=60, reads=512, pairs=5).parse_args(words)  # images: a multiple of 1024
    if a.tiny:
        a.images, a.kilobytes, a.reads, a.pairs = 1024, 1, 64, 2
    with tempfile.TemporaryDirectory() as folder:
        reading(Record.of(__file__, a), Path(folder), a.images, a.kilobytes, a.reads, a.pairs)
        loading(Path(folder), 2048 if a.tiny else 100_000)


if __name__ == "__main__":
    main()
