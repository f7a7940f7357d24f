"""Stored targets as training reads them: any rows in any order, in other processes, and what is gone or is another's.

The values themselves are compared with the teachers' in tests/pipelines/test_targets.py.
"""

import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from pipelines import targets
from siglino_core.config import Stored
from siglino_core.distillation.curated.index import ImageIndex
from siglino_core.distillation.targets import stored
from siglino_core.distillation.targets.stored import StoredTargets
from siglino_core.errors import DataError, StoreError
from siglino_core.models.resolution import Resolution
from siglino_core.networks import describe
from siglino_core.store import Run
from siglino_core.store.sealed import opened as record
from siglino_core.store.sealed import sealed
from siglino_core.teachers.teacher import Targets
from tests.pipelines.curated import KEPT, config, curated, teachers


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    folder = tmp_path_factory.mktemp("stored")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        run, specs = curated(folder), teachers(folder)
        targets.run(config(specs, keep=Stored.INT8), run)
    return folder / "run", specs


@pytest.fixture
def run(made: tuple[Path, list[str]], tmp_path: Path) -> Run:
    for name in ("sample", "targets"):
        shutil.copytree(made[0] / name, tmp_path / "run" / name)
    return Run(str(tmp_path / "run"))


def opened(run: Run, specs: list[str], cache: Path | None = None) -> StoredTargets:
    sample = run.stage("sample")
    return StoredTargets.open(
        run.stage("targets"),
        ImageIndex.load(sample, cache),
        sample_digest=sample.require().digest,
        cards=[describe(s) for s in specs],
        resolution=Resolution(min_pixels=32**2, max_pixels=64**2),
    )


def same(a: dict[str, Targets], b: dict[str, Targets]) -> bool:
    pairs = [(x, y) for name in a for x, y in zip(a[name], b[name], strict=True)]
    return set(a) == set(b) and all(x is y is None or torch.equal(x, y) for x, y in pairs)


def test_one_by_one_and_all_at_once(run: Run, made: tuple[Path, list[str]]) -> None:
    found, rows = opened(run, made[1]), np.random.default_rng(1).integers(0, KEPT, 50)
    together = found.read(rows)
    assert {name: len(t.summaries) for name, t in together.items()} == {"siglip2": 50, "dinov3": 50}
    alone = [found.read([int(r)]) for r in rows]
    for name, whole in together.items():
        assert torch.equal(whole.summaries, torch.cat([t[name].summaries for t in alone]))
        patches = torch.cat([p for t in alone if (p := t[name].patches) is not None])
        assert whole.patches is not None
        torch.testing.assert_close(whole.patches, patches, rtol=1e-5, atol=1e-5)
    registers = together["dinov3"].registers
    assert registers is not None
    assert registers.shape == (50, 4, 32)
    assert torch.equal(registers, torch.cat([r for t in alone if (r := t["dinov3"].registers) is not None]))


def test_no_rows(run: Run, made: tuple[Path, list[str]]) -> None:
    found = opened(run, made[1]).read([])["dinov3"]
    assert found.summaries.shape == (0, 32)
    assert found.patches is not None
    assert found.patches.shape == (0, 32)


def test_fetched_here_and_decoded_there(run: Run, made: tuple[Path, list[str]]) -> None:
    found = opened(run, made[1])
    fetched = pickle.loads(pickle.dumps(found.fetch([4, 2])))
    assert fetched["dinov3"].patches.values_NC.dtype == torch.int8
    assert same(found.decode(fetched), found.read([4, 2]))


@pytest.mark.parametrize("cached", [False, True])
def test_it_travels(run: Run, made: tuple[Path, list[str]], tmp_path: Path, cached: bool) -> None:
    found = opened(run, made[1], tmp_path / "cache" if cached else None)
    wanted = found.read(range(KEPT))
    copy = pickle.loads(pickle.dumps(found))
    assert not copy._pieces
    assert same(copy.read(range(KEPT)), wanted)
    assert same(found.read(range(KEPT)), wanted)


def test_few_byte_ranges_are_kept(run: Run, made: tuple[Path, list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    found = opened(run, made[1])
    wanted = found.read(range(KEPT))
    assert (len(found._pieces), found._held) == (4, KEPT)
    monkeypatch.setattr(stored, "MOST_ROWS", 15)
    assert same(found.read(range(KEPT)), wanted)
    assert len(found._pieces) == 1
    assert found._held == found._rows(*found._pieces)


@pytest.mark.parametrize("name", ["part-00001.parquet", "index/part-00001.parquet"])
@pytest.mark.parametrize("warm", [False, True])
def test_a_vanished_shard(run: Run, made: tuple[Path, list[str]], name: str, warm: bool) -> None:
    found = opened(run, made[1])
    if warm:
        found.read([0])
    run.stage("targets").files.delete([name])
    assert found.read([0])["dinov3"].summaries.shape == (1, 32)
    with pytest.raises(StoreError, match=rf"{name}.*Restore it, or"):
        found.read(range(KEPT))


def test_a_shard_of_other_images(run: Run, made: tuple[Path, list[str]]) -> None:
    path = Path(run.url, "targets", "index", "part-00001.parquet")
    table = pq.read_table(path)
    table = table.set_column(0, "image_id", pa.array(table["image_id"].to_pylist()[::-1]))
    pq.write_table(table, path)
    with pytest.raises(DataError, match=r"index/part-00001\.parquet is not of the images of images/part-00001"):
        opened(run, made[1]).read(range(KEPT))


def test_a_sample_of_another_size(run: Run, made: tuple[Path, list[str]]) -> None:
    files = run.stage("targets").files
    manifest = files.read("manifest.json")
    files.put("manifest.json", sealed({**record(manifest, ""), "rows": 43}))
    with pytest.raises(DataError, match="holds 43 images and the sample's index 44"):
        opened(run, made[1])


def test_stage_that_is_not_finished(run: Run, made: tuple[Path, list[str]]) -> None:
    run.stage("targets").files.delete(["manifest.json"])
    with pytest.raises(StoreError, match="targets is not finished"):
        opened(run, made[1])
