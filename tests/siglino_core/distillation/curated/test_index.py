"""The index of training images: the images' own bytes, the same arrays with and without a cache, built once."""

import dataclasses
import multiprocessing
import os
import pickle
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from siglino_core.distillation.curated import index
from siglino_core.distillation.curated.index import ImageIndex
from siglino_core.errors import ConfigError, DataError, StoreError
from siglino_core.store import Ranges, Run, Stage
from siglino_core.store.sealed import sealed
from tests.damage import flip
from tests.siglino_core.distillation.training.samples import LEVELS, rows, sample

IMAGES = rows(60)
SHARDS = [IMAGES[:23], IMAGES[23:24], [], IMAGES[24:]]


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.fixture(params=["local", "memory"])
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Stage:
    url = str(tmp_path / "run") if request.param == "local" else f"memory://index-{os.getpid()}-{tmp_path.name}"
    return sample(Run(url), SHARDS)


@pytest.fixture
def local(tmp_path: Path) -> Stage:
    return sample(Run(str(tmp_path / "run")), SHARDS)


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[], int]:
    """How often a cache was built, by this process or by one that it forked."""
    log = tmp_path / "builds"
    log.touch()
    real = index._build

    def build(*args: Any) -> None:
        with log.open("a") as f:
            f.write(".")
        time.sleep(0.05)
        real(*args)

    monkeypatch.setattr(index, "_build", build)
    return lambda: log.stat().st_size


def contents(found: ImageIndex) -> dict[str, Any]:
    """All that it holds, in comparable form, with dtypes."""
    held = {f.name: getattr(found, f.name) for f in dataclasses.fields(found) if f.name != "folder"}
    arrays = {k: v for k, v in held.items() if isinstance(v, np.ndarray)}
    arrays |= {f"level {i}": level for i, level in enumerate(held["levels_LN"])}
    return {k: (str(v.dtype), v.tolist()) for k, v in arrays.items()} | {"shards": held["shards"]}


@pytest.mark.parametrize("cached", [False, True])
def test_a_row_an_image(stage: Stage, tmp_path: Path, cached: bool) -> None:
    found = ImageIndex.load(stage, tmp_path / "cache" if cached else None)
    assert len(found) == len(IMAGES)
    assert [found.image_id(i) for i in range(len(found))] == [i["image_id"] for i in IMAGES]
    assert found.heights_N.tolist() == [i["height"] for i in IMAGES]
    assert found.widths_N.tolist() == [i["width"] for i in IMAGES]
    assert [level.tolist() for level in found.levels_LN] == [
        [i[f"level_{n}"] for i in IMAGES] for n in range(1, LEVELS + 1)
    ]
    assert found.shards == [f"images/part-{i:05d}.parquet" for i in range(4)]
    assert found.shard_N.tolist() == [n for n, shard in enumerate(SHARDS) for _ in shard]
    assert found.length_N.tolist() == [len(i["bytes"]) for i in IMAGES]


def test_images_in_the_order_asked_for(stage: Stage, tmp_path: Path) -> None:
    asked = np.random.default_rng(0).integers(0, len(IMAGES), 100)
    for found in (ImageIndex.load(stage), ImageIndex.load(stage, tmp_path / "cache")):
        read = found.read_images(Ranges(stage.files), asked)
        assert read == [IMAGES[r]["bytes"] for r in asked]


def test_with_and_without_a_cache_it_is_the_same(stage: Stage, tmp_path: Path) -> None:
    held = ImageIndex.load(stage)
    mapped = ImageIndex.load(stage, tmp_path / "cache")
    assert contents(held) == contents(mapped)
    dtypes = ["int32", "int64", "int32", "int32", "int32", "uint8"]
    assert [contents(held)[k][0] for k in list(contents(held))[:6]] == dtypes
    assert held.folder is None
    assert isinstance(mapped.offset_N, np.memmap)
    assert not isinstance(held.offset_N, np.memmap)


def test_how_files_are_fetched_changes_nothing(local: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = contents(ImageIndex.load(local))
    for files, size in ((1, 1 << 30), (3, 1 << 30), (64, 1)):
        monkeypatch.setattr(index, "FETCH_FILES", files)
        monkeypatch.setattr(index, "FETCH_BYTES", size)
        assert contents(ImageIndex.load(local)) == wanted


@pytest.mark.parametrize(
    ("sizes", "files", "limit", "wanted"),
    [
        ([], 2, 10, []),
        ([5, 5, 5], 2, 10, [[0, 1], [2]]),
        ([5, 6, 5, 1], 9, 10, [[0], [1], [2, 3]]),
        ([50, 50], 9, 10, [[0], [1]]),
    ],
)
def test_few_bytes_are_fetched_at_once(
    sizes: list[int], files: int, limit: int, wanted: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "FETCH_FILES", files)
    monkeypatch.setattr(index, "FETCH_BYTES", limit)
    assert list(index._batches(sizes)) == wanted


def test_the_cache_is_built_once(local: Stage, tmp_path: Path, builds: Callable[[], int]) -> None:
    first = ImageIndex.load(local, tmp_path / "cache")
    assert first.folder == tmp_path / "cache" / local.require().digest
    local.files.delete([n for n in local.files.sizes() if n.startswith("index/")])  # it reads them no more
    assert contents(ImageIndex.load(local, tmp_path / "cache")) == contents(first)
    assert builds() == 1
    assert {p.name for p in (tmp_path / "cache").iterdir()} == {first.folder.name, f".{first.folder.name}.lock"}


def _cut(name: str) -> Callable[[Path], None]:
    return lambda folder: os.truncate(folder / name, (folder / name).stat().st_size - 3)


DAMAGE: dict[str, Callable[[Path], Any]] = {
    "an array cut short": _cut("offset.npy"),
    "ids cut short": _cut("image_id.npy"),
    "a flipped bit": lambda folder: flip(folder / "height.npy", 8 * 140),
    "a flipped bit in its description": lambda folder: flip(folder / "about.json", 8 * 20),
    "an array that asks for much": lambda folder: (folder / "width.npy").write_bytes(
        (folder / "width.npy").read_bytes().replace(b"(60,)", b"(9**99,)")
    ),
    "an array gone": lambda folder: (folder / "level_2.npy").unlink(),
    "an array emptied": lambda folder: (folder / "width.npy").write_bytes(b""),
    "an array of another kind": lambda folder: np.save(folder / "shard.npy", np.zeros(60, np.int64)),
    "fewer rows": lambda folder: np.save(folder / "height.npy", np.zeros(59, np.int32)),
    "no array": lambda folder: (folder / "length.npy").write_bytes(b"x" * 400),
    "its description cut short": _cut("about.json"),
    "its description gone": lambda folder: (folder / "about.json").unlink(),
    "its description another": lambda folder: (folder / "about.json").write_text("[1]"),
    "all gone but the folder": lambda folder: (shutil.rmtree(folder), folder.mkdir()),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_cache_is_built_again(local: Stage, tmp_path: Path, builds: Callable[[], int], damage: str) -> None:
    cache = tmp_path / "cache"
    folder = cache / local.require().digest
    wanted = contents(ImageIndex.load(local, cache))
    DAMAGE[damage](folder)
    assert contents(ImageIndex.load(local, cache)) == wanted
    assert builds() == 2
    assert {p.name for p in cache.iterdir()} == {folder.name, f".{folder.name}.lock"}


def test_what_a_killed_process_left_is_swept(local: Stage, tmp_path: Path) -> None:
    left = tmp_path / "cache" / f".{local.require().digest}-0123"
    left.mkdir(parents=True)
    (left / "shard.npy").write_bytes(b"half")
    wanted = contents(ImageIndex.load(local))
    assert contents(ImageIndex.load(local, tmp_path / "cache")) == wanted
    assert not left.exists()


def test_a_build_that_fails_leaves_nothing(local: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(np.lib.format, "write_array_header_1_0", full)
        with pytest.raises(StoreError, match=r"cache: no space left"):
            ImageIndex.load(local, tmp_path / "cache")
    assert [p.suffix for p in (tmp_path / "cache").iterdir()] == [".lock"]
    assert len(ImageIndex.load(local, tmp_path / "cache")) == len(IMAGES)


def _load(stage: Stage, cache: Path, barrier: Any, queue: Any) -> None:
    barrier.wait(30)
    queue.put(contents(ImageIndex.load(stage, cache)))


def test_processes_at_once_build_it_once(local: Stage, tmp_path: Path, builds: Callable[[], int]) -> None:
    wanted = contents(ImageIndex.load(local))
    context = multiprocessing.get_context("fork")
    barrier, queue = context.Barrier(4), context.Queue()
    started = [context.Process(target=_load, args=(local, tmp_path / "cache", barrier, queue)) for _ in range(4)]
    for process in started:
        process.start()
    try:
        assert [queue.get(timeout=30) for _ in started] == [wanted] * 4
    finally:
        for process in started:
            process.kill()
            process.join()
    assert builds() == 1


def test_a_cache_travels_as_its_folder(local: Stage, tmp_path: Path) -> None:
    held, mapped = ImageIndex.load(local), ImageIndex.load(local, tmp_path / "cache")
    sent = pickle.dumps(mapped)
    assert len(sent) < 500 < len(pickle.dumps(held))
    assert isinstance(pickle.loads(sent).offset_N, np.memmap)
    assert contents(pickle.loads(sent)) == contents(pickle.loads(pickle.dumps(held))) == contents(held)
    shutil.rmtree(tmp_path / "cache")
    with pytest.raises(StoreError, match=r"is gone or cut short\. Run again to rebuild it"):
        pickle.loads(sent)


def test_a_sample_that_is_not_finished(local: Stage, tmp_path: Path) -> None:
    local.files.delete(["manifest.json"])
    with pytest.raises(StoreError, match="sample is not finished"):
        ImageIndex.load(local)


def test_a_sample_without_an_index(tmp_path: Path) -> None:
    stage = sample(Run(str(tmp_path / "run")), SHARDS, indexed=False, version=1)
    with pytest.raises(ConfigError, match=r"has no index of images/part-00000\.parquet: .* --redo sample"):
        ImageIndex.load(stage)


@pytest.mark.parametrize("cached", [False, True])
def test_an_index_file_that_was_damaged(local: Stage, tmp_path: Path, cached: bool) -> None:
    name = "index/part-00003.parquet"
    data = bytearray(local.files.read(name))
    data[40] ^= 1
    local.files.put(name, bytes(data))
    with pytest.raises(StoreError, match=rf"{name} is damaged: .* Delete it, then run the sample stage again"):
        ImageIndex.load(local, tmp_path / "cache" if cached else None)


@pytest.mark.parametrize("kept", [59, 61])
def test_an_index_that_does_not_fit_the_manifest(local: Stage, kept: int) -> None:
    manifest = local.files.read_record("manifest.json")
    assert manifest is not None
    manifest["facts"]["kept"] = kept
    local.files.put("manifest.json", sealed(manifest))
    with pytest.raises(DataError, match=rf"index does not hold the manifest's {kept} images"):
        ImageIndex.load(local)


def test_shards_come_in_the_order_of_their_numbers(local: Stage) -> None:
    manifest = local.require()
    numbers = [100_000, 99_999, 2, 1_000_000]
    files = {
        f"{kind}/part-{i:05d}.{end}": [1, ""]
        for i in numbers
        for kind, end in (("images", "tar"), ("index", "parquet"))
    }
    found = index.training_shards(local, dataclasses.replace(manifest, files=files))
    assert found == [f"images/part-{i:05d}.tar" for i in sorted(numbers)]
