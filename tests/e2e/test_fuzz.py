"""Damaged images, tars, Parquet files and records, through the source stage: a row, a reject, or one sentence."""

import gzip
import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines import source
from siglino_core.config import Format, SourceConfig
from siglino_core.errors import SiglinoError
from siglino_core.store import Run
from siglino_core.store.lease import release_mine
from tests.pictures import picture
from tests.pools import config, parquet_file, tar_bytes, write_files

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 20  # that no input may take
KINDS = ("jpeg", "png", "webp", "gif", "bmp", "tiff", "avif", "jp2", "heic", "jxl")
NUMBERS = (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x00\x00\x00\x80", b"999999999")


def mutated(data: bytes, rng: random.Random) -> bytes:
    """A few of: bits turned, a number made extreme, bytes cut out, repeated, or put in; the end cut off."""
    data = bytearray(data)
    for _ in range(rng.choice([1, 1, 1, 2, 5, 20])):
        at, n = rng.randrange(len(data) + 1), rng.choice([1, 2, 4, 16, 300])
        match rng.randrange(6):
            case 0 if data:
                data[at % len(data)] ^= 1 << rng.randrange(8)
            case 1:
                number = rng.choice(NUMBERS)
                data[at : at + len(number)] = number
            case 2:
                del data[at : at + n]
            case 3:
                data[at:at] = data[at : at + n]
            case 4:
                data[at:at] = rng.randbytes(n)
            case _ if rng.random() < 0.3:
                del data[at:]
            case _:
                pass
    return bytes(data)


def images(folder: Path, rng: random.Random) -> Path:
    kind = rng.choice(KINDS)
    return write_files(folder, {"a.png": mutated(picture(rng.randrange(5), kind), rng), "b.png": picture(1)})


def tars(folder: Path, rng: random.Random) -> Path:
    beside = json.dumps({"caption": "c", "label": 3}).encode()
    members = [(f"{i}.{end}", data) for i in range(3) for end, data in (("jpg", picture(i)), ("json", beside))]
    data = tar_bytes(members)
    if rng.random() < 0.3:
        return write_files(folder, {"a.tar.gz": mutated(gzip.compress(data), rng), "b.tar": tar_bytes(members)})
    return write_files(folder, {"a.tar": mutated(data, rng), "b.tar": tar_bytes(members)})


def parquet(folder: Path, rng: random.Random) -> Path:
    columns = {"image": [picture(i) for i in range(4)], "caption": ["a", None, "c", "d"], "label": [1, 2, 3, 4]}
    path = parquet_file(folder / "a.parquet", columns, row_group_size=2)
    path.write_bytes(mutated(path.read_bytes(), rng))
    return folder


def sidecars(folder: Path, rng: random.Random) -> Path:
    beside = json.dumps({"caption": "c" * 20, "label": ["x", {"y": 1}]}).encode()
    lines = b'{"file_name": "a.png", "text": "t"}\n{"file_name": "b.png", "label": 2}\n'
    table = b'file_name,text\na.png,"x, y"\nb.png,z\n'
    files = {
        "a.json": mutated(beside, rng),
        "a.txt": mutated(b"caption", rng),
        "a.png": picture(1),
        "b.png": picture(2),
    }
    return write_files(folder, files | {"metadata.jsonl": mutated(lines, rng), "metadata.csv": mutated(table, rng)})


def records(folder: Path, rng: random.Random) -> Path:
    """A pool whose run has a damaged record."""
    pool = write_files(folder / "pool", {"a.png": picture(1), "b.png": picture(2)})
    run = Run(str(folder / "run"))
    source.run(config(pool, max_reject_share=1.0), run)
    release_mine()
    victim = rng.choice(sorted(p for p in (folder / "run").rglob("*") if p.suffix == ".json"))
    victim.write_bytes(mutated(victim.read_bytes(), rng))
    if rng.random() < 0.5:  # the stage is not done: its plan and commits are read again
        (folder / "run/source/manifest.json").unlink(missing_ok=True)
    return pool


def attempt(make: Callable[[Path, random.Random], Path], folder: Path, rng: random.Random) -> str:
    """What became of one input: rows and rejects, or an error of ours; anything else is raised."""
    pool = make(folder, rng)
    began, text = time.monotonic(), ""
    try:
        manifest = source.run(config(pool, max_reject_share=1.0), Run(str(folder / "run"))).manifest
        outcome = f"{manifest.rows} rows, {sum(manifest.rejects.values())} rejects"
    except SiglinoError as e:
        outcome, text = type(e).__name__, str(e)
    finally:
        release_mine()
    assert time.monotonic() - began < SECONDS, f"{make.__name__}: it hangs"
    assert len(text) < 4000, f"no sentence: {text}"
    return outcome


MAKERS = (images, tars, parquet, sidecars, records)


def many(folder: Path, count: int, seed: int) -> dict[str, int]:
    """``count`` damaged inputs of every kind in turn; how many ended in which way."""
    ends: dict[str, int] = {}
    for i in range(count):
        make = MAKERS[i % len(MAKERS)]
        try:
            outcome = attempt(make, folder / f"{i}", random.Random(f"{seed}-{i}"))
        except Exception as e:
            raise AssertionError(f"input {i} ({make.__name__}, seed {seed}): {type(e).__name__}: {e}") from e
        end = f"{make.__name__}: {outcome.partition(' ')[0] if 'Error' in outcome else 'read'}"
        ends[end] = ends.get(end, 0) + 1
        shutil.rmtree(folder / f"{i}")
    return ends


@pytest.mark.parametrize("count", [100, pytest.param(2000, marks=[pytest.mark.storm, pytest.mark.timeout(1800)])])
def test_nothing_escapes_hangs_or_fills_the_memory(tmp_path: Path, count: int) -> None:
    """In a process of its own, whose peak is held against what the stage tells Ray."""
    code = (
        "import json; from pathlib import Path; from tests.e2e.test_fuzz import many; status = '/proc/self/status';"
        "now = lambda: int(open(status).read().partition('VmHWM:')[2].split()[0]) << 10;"
        f"many(Path({str(tmp_path)!r}), 10, 1); before = now(); ends = many(Path({str(tmp_path)!r}), {count}, 5);"
        "print('ENDS', json.dumps([ends, now() - before]))"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr[-3000:]
    ends, grown = json.loads(done.stdout.partition("ENDS ")[2])
    print(ends, grown)
    assert grown < source.memory_told(SourceConfig(), Format.PARQUET, [])
    assert {kind.partition(":")[0] for kind in ends} == {m.__name__ for m in MAKERS}
    assert ends["images: read"] > count // 8
