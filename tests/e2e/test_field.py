"""Pools as people have them, through the command line: every image read right, or named."""

import contextlib
import io
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from flows.cli import main
from siglino_core.images.decode import decode
from siglino_core.store import Run
from siglino_core.store.vectors import from_column
from tests.e2e import field as pools

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, kw_only=True)
class Source:
    """What became of a pool: exit code, what was said, and the rows and rejects of the source stage."""

    code: int
    out: str
    err: str
    rows: list[dict[str, Any]]
    rejects: list[dict[str, Any]]

    def column(self, name: str) -> list[Any]:
        return [row[name] for row in self.rows]


def siglino(*words: str) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(words)
    return code, out.getvalue(), err.getvalue()


def source(run: Path, uri: Path | str, *words: str) -> Source:
    settings = (f"run={run}", f"source.uri={uri}", "runtime.runner=local")
    code, out, err = siglino("curate", "--only", "source", *settings, *words)
    found = [[r for f in sorted(run.glob(g)) for r in pq.read_table(f).to_pylist()] for g in PARTS]
    return Source(code=code, out=out, err=err, rows=found[0], rejects=found[1])


PARTS = ("source/part-*.parquet", "source/rejects/part-*.parquet")


@dataclass(frozen=True, kw_only=True)
class Case:
    """A pool and what is expected of it: images, and of each column what all rows hold; rejects by reason."""

    make: Callable[[Path], Path]
    images: int
    words: tuple[str, ...] = ()
    columns: dict[str, Any] = field(default_factory=dict)
    rejects: dict[str, int] = field(default_factory=dict)
    passed: dict[str, int] = field(default_factory=dict)


CASES = (
    Case(
        make=pools.img2dataset_files,
        images=18,
        columns={"label": {None: 18}},
        passed={"parquet_file": 3, "text_without_image": 3},
    ),
    Case(make=pools.img2dataset_parquet, images=24, rejects={"not_downloaded": 16}),
    Case(make=pools.split_then_class, images=24, columns={"label": {"crane": 8, "kiwi": 8, "robin": 8}}),
    Case(
        make=pools.split_then_class,
        images=24,
        words=("source.label_folder=first",),
        columns={"label": {"train": 12, "val": 12}},
    ),
    Case(
        make=pools.hugging_face_metadata,
        images=8,
        columns={"label": {"a": 4, "b": 4}, "caption": {f"caption {i}": 1 for i in range(8)}},
    ),
    Case(
        make=pools.scenes_with_masks,
        images=6,
        columns={"format": {"jpeg": 6}, "caption": {f"scene {i}": 1 for i in range(6)}},
        passed={"other_image_of_a_sample": 12, "text_without_image": 2},
    ),
    Case(
        make=pools.scenes_with_masks, images=6, words=("source.image_column=seg.png",), columns={"format": {"png": 6}}
    ),
    Case(
        make=pools.members_by_kind,
        images=8,
        columns={"label": {"0": 4, "1": 4}, "caption": {f"caption {i}": 1 for i in range(8)}},
    ),
    Case(make=pools.compressed_tars, images=20),
    Case(make=pools.links, images=11, rejects={"unreadable": 1}, passed={"folder_linked_again": 1}),
    Case(make=pools.dictionaries, images=12, columns={"label": {"x": 6, "y": 6}}),
    Case(
        make=pools.warehouse,
        images=10,
        columns={"label": {"cat": 5, "dog": 5}},
        passed={"hidden": 2, "other_file": 2},
    ),
    Case(make=pools.long_metadata, images=3),
    Case(make=pools.numbered_tars, images=20),
)


@pytest.mark.parametrize("case", CASES, ids=lambda c: "-".join([c.make.__name__, *c.words]))
def test_it_is_read_right(tmp_path: Path, case: Case) -> None:
    got = source(tmp_path / "run", case.make(tmp_path / "pool"), *case.words)
    assert (got.code, got.err) == (0, "")
    assert len(got.rows) == case.images
    for name, counts in case.columns.items():
        assert Counter(got.column(name)) == counts
    assert Counter(r["reason"] for r in got.rejects) == case.rejects
    manifest = Run(str(tmp_path / "run")).stage("source").require()
    assert manifest.facts["passed_over"].items() >= case.passed.items()
    assert all(f"{n} {what}" in got.out for what, n in {**case.rejects, **case.passed}.items())


def test_frames_keep_their_own_captions(tmp_path: Path) -> None:
    got = source(tmp_path / "run", pools.frames_by_time(tmp_path / "pool"))
    assert len(got.rows) == 8
    assert all(r["caption"] == f"frame {r['source_key']}" for r in got.rows)
    assert all(r["label"] == str(int(r["source_key"][-2:])) for r in got.rows)


@pytest.mark.parametrize("pattern", ["{00000..00002}.tar", "0000[0-2].tar", "{00000,00001,00002}.tar"])
def test_paths_as_people_have_them(tmp_path: Path, pattern: str) -> None:
    got = source(tmp_path / "my run (1) & more=100%", f"{pools.numbered_tars(tmp_path)}/{pattern}")
    assert (got.code, len(got.rows)) == (0, 12), got.err


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (pools.tars_that_cannot_be_read, ("60 of 80 images cannot be used", "in tars that could not be read")),
        (pools.urls, ("only where they are (URL)", "img2dataset")),
        (pools.half_written, ("1.parquet cannot be read as Parquet",)),
    ],
)
def test_it_is_named(tmp_path: Path, make: Callable[[Path], Path], says: tuple[str, ...]) -> None:
    got = source(tmp_path / "run", make(tmp_path / "pool"))
    assert got.code == 1
    assert all(text in got.err for text in says), got.err
    assert "Traceback" not in got.err


def test_a_picture_of_many_rows_takes_no_more_memory_than_is_told(tmp_path: Path) -> None:
    """In a process of its own, whose peak is held against that of one that reads a small pool."""
    peaks = []
    for make in (pools.dictionaries, pools.placeholder):
        words = ["curate", "--only", "source", f"run={tmp_path / make.__name__}-run", "runtime.runner=local"]
        words += [f"source.uri={make(tmp_path / make.__name__)}", "source.verify=header"]
        code = f"from flows.cli import main; main({words!r}); print(open('/proc/self/status').read())"
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
        peaks.append(int(done.stdout.partition("VmHWM:")[2].split()[0]) << 10)
    assert peaks[1] - peaks[0] < 256 << 20  # of 1.3 GB; a row group of 32 MB is written beside what is read


def test_odd_encodings_are_seen_as_they_are_shown(tmp_path: Path) -> None:
    run = tmp_path / "run"
    got = source(run, pools.odd_encodings(tmp_path / "pool"))
    assert (got.code, got.rejects) == (0, [])
    assert {(r["width"], r["height"]) for r in got.rows} == {(160, 112)}
    code, _, err = siglino("curate", "--only", "embed", f"run={run}", "runtime.runner=local")
    assert code == 0, err
    table = pq.read_table(run / "embed" / "part-00000.parquet")
    of_id = dict(zip(table["image_id"].to_pylist(), from_column(table["embedding"]).astype(float), strict=True))
    of_key = {r["source_key"].partition(".")[0]: of_id[r["image_id"]] for r in got.rows}
    keys = {k.rpartition("-")[0] for k in of_key}
    assert len(keys) == 15
    for key in keys:
        shown, odd = (decoded(tmp_path / "pool" / f"{key}-{end}") for end in ("ref.png", "odd.jpg"))
        error = np.abs(shown - odd).mean()
        assert error < 2, f"{key}: {error}"
        if error < 0.5:  # what an encoder loses is another picture to a network
            assert np.dot(of_key[f"{key}-ref"], of_key[f"{key}-odd"]) > 0.98, key


def decoded(path: Path) -> np.ndarray:
    return np.asarray(decode(path.read_bytes(), max_pixels=1 << 30, max_bytes=1 << 30)).astype(int)


@pytest.mark.parametrize("seeding", ["d2_rounds", "kmeans++", "random"])
def test_points_that_coincide(tmp_path: Path, seeding: str) -> None:
    words = [f"run={tmp_path / 'run'}", f"source.uri={pools.points_that_coincide(tmp_path / 'pool')}"]
    words += ["runtime.runner=local", "embed.encoder=lite", f"cluster.seeding={seeding}", "cluster.iterations=3"]
    words += ["sample.trim=0", "sample.target_size=20", "report.map_points=0"]
    code, _, err = siglino("curate", *words, "cluster.num_clusters=[20,5]", "sample.near_duplicate=1")
    assert (code, "only 4 distinct points" in err) == (1, True)
    words += ["--redo", "cluster", "cluster.num_clusters=[4,2]"]
    assert siglino("curate", *words, "sample.near_duplicate=1")[0] == 0
    assert Run(str(tmp_path / "run")).stage("sample").require().facts["reasons"]["kept"] == 20
    code, _, err = siglino("curate", *words, "sample.near_duplicate=0.95")
    assert (code, "Ask for at most" in err) == (2, True), err
