"""The targets stage on a curated run: the teachers' own words, whole whatever happens, and one clear error."""

import dataclasses
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipelines import targets
from pipelines.support.runtime import Result
from pipelines.targets import units
from pipelines.train import job
from siglino_core import schema
from siglino_core.config import Config, Shards, Stored
from siglino_core.distillation.curated.index import ImageIndex
from siglino_core.distillation.targets.phi_s import PhiS
from siglino_core.distillation.targets.statistics import Statistics, unpack
from siglino_core.encoders.card import Card
from siglino_core.errors import ConfigError, DamagedError, DataError
from siglino_core.images.patches import to_floats, to_patches
from siglino_core.networks import describe, load_teacher
from siglino_core.store import Manifest, Ranges, Run
from siglino_core.teachers.teacher import Targets
from tests.pipelines.curated import KEPT, config, curated, opened
from tests.stages import table

DENSE = [Stored.BF16, Stored.INT8, Stored.FP8]
TOLERANCE = {Stored.BF16: 2**-6, Stored.INT8: 0.02, Stored.FP8: 0.07}  # of a patch's norm


pytestmark = pytest.mark.usefixtures("no_waiting_for_the_disk")


def own_words(run: Run, spec: str, cfg: Config) -> list[Targets]:
    """What a teacher says of every image, asked one by one."""
    teacher, index, said = load_teacher(spec), ImageIndex.load(run.stage("sample")), []
    work = units.TargetsWork(
        run=run, stage=run.stage("targets"), config=cfg, dtype="float32", cards=(teacher.card,), fingerprint=""
    )
    for row, data in enumerate(index.read_images(Ranges(run.stage("sample").files), range(len(index)))):
        size = work.resolution.sizes(index.heights_N[row : row + 1], index.widths_N[row : row + 1])[0]
        grid = (int(size[0]) // 16, int(size[1]) // 16)
        said.append(teacher(to_floats(to_patches(data, grid)), [grid]))
    return said


@pytest.mark.parametrize("keep", DENSE)
def test_the_teachers_own_words(run: Run, specs: list[str], keep: Stored) -> None:
    cfg = config(specs, keep=keep)
    result = targets.run(cfg, run)
    assert (result.state, result.manifest.rows) == ("Computed", KEPT)
    rows = np.random.default_rng(0).permutation(KEPT)
    found = opened(run, cfg).read(rows)
    for spec in specs:
        name, said = spec.partition(":")[0], own_words(run, spec, cfg)
        mine = found[name]
        assert mine.patches is not None
        torch.testing.assert_close(mine.summaries, torch.cat([said[r].summaries for r in rows]), rtol=2e-3, atol=2e-3)
        patches = torch.cat([p for r in rows if (p := said[r].patches) is not None])
        assert mine.patches.shape == patches.shape
        centred = patches - patches.mean(0)
        error = (mine.patches - patches).norm(dim=1) / centred.norm(dim=1)
        assert error.max() < TOLERANCE[keep]
        if name == "dinov3":
            registers = torch.cat([x for r in rows if (x := said[r].registers) is not None])
            assert mine.registers is not None
            torch.testing.assert_close(mine.registers, registers, rtol=2e-3, atol=2e-3)
        else:
            assert mine.registers is None


def test_rows_are_those_of_the_training_shards(run: Run, specs: list[str]) -> None:
    cfg = config(specs, keep=Stored.INT8)
    targets.run(cfg, run)
    cards = [describe(s) for s in specs]
    stored = table(run, "targets", "part-")
    schema.check(stored, schema.targets(cards, "int8"), "targets")
    assert stored["image_id"].to_pylist() == table(run, "sample", "images/")["image_id"].to_pylist()
    area = [h * w for h, w in zip(stored["height"].to_pylist(), stored["width"].to_pylist(), strict=True)]
    assert {4, 12, 16} & set(area)
    assert [len(p) for p in stored["dinov3_patches"].to_pylist()] == [n * (32 + 2) for n in area]
    files = run.stage("targets").files
    for name in ("part-00000", "part-00003"):
        with files.parquet(f"{name}.parquet") as file:
            values = file.read()
        with files.parquet(f"index/{name}.parquet") as file:
            where = schema.check(file.read(), schema.targets_index(schema.targets_columns(cards, "int8")), name)
        for column in ("dinov3_patches", "siglip2_summary", "dinov3_registers"):
            places = zip(where[f"{column}_offset"].to_pylist(), where[f"{column}_length"].to_pylist(), strict=True)
            found = Ranges(files).read([(f"{name}.parquet", o, n) for o, n in places])
            wanted = values[column].to_pylist()
            assert found == [v if isinstance(v, bytes) else np.array(v, "<f2").tobytes() for v in wanted]


def test_summaries_alone(run: Run, specs: list[str]) -> None:
    cfg = config(specs, keep=Stored.SUMMARY)
    targets.run(cfg, run)
    assert set(table(run, "targets", "part-").column_names) == {
        "image_id", "height", "width", "siglip2_summary", "dinov3_summary",
    }  # fmt: skip
    found = opened(run, cfg).read([3, 1])["dinov3"]
    assert (found.patches, found.registers, found.summaries.shape) == (None, None, (2, 32))


def test_online_keeps_statistics_alone(run: Run, specs: list[str]) -> None:
    result = targets.run(config(specs), run)
    assert set(result.manifest.files) == {"statistics.safetensors", "heads.safetensors"}
    assert set(run.stage("targets").files.sizes()) - {f"commits/stats-{k:02d}.json" for k in range(16)} == {
        "statistics.safetensors", "heads.safetensors", "commits/statistics.json", "plan.json", "manifest.json",
    }  # fmt: skip
    assert result.manifest.rows == result.manifest.facts["statistics_images"] == 30
    assert targets.run(config(specs), run).state == "Reused"
    with pytest.raises(ConfigError, match=r"targets\.keep=online stored no targets\. Run again with --redo targets"):
        opened(run, config(specs))


def test_statistics_of_every_image_and_heads(run: Run, specs: list[str]) -> None:
    cfg = config(specs, statistics_images=1000)
    manifest = targets.run(cfg, run).manifest
    files = run.stage("targets").files
    found = Statistics.load(files.read("statistics.safetensors"))
    for spec in specs:
        name, said = spec.partition(":")[0], own_words(run, spec, cfg)
        for kind, features in (("summary", [s.summaries for s in said]), ("patch", [s.patches for s in said])):
            wanted, mine = PhiS.fit([f for f in features if f is not None]), getattr(found[name], kind)
            assert mine.phi == pytest.approx(wanted.phi, rel=1e-4)
            torch.testing.assert_close(mine.mean, wanted.mean, rtol=1e-3, atol=1e-4)
            facts = manifest.facts["teachers"][name]
            assert (facts["phi"][kind], facts["rotation"][kind]) == (mine.phi, "hadamard")
    heads = unpack(files.read("heads.safetensors"), "heads", depth=1)
    assert set(heads) == {"siglip2"}
    wanted = load_teacher(specs[0]).head.state_dict()  # type: ignore[attr-defined]
    assert set(heads["siglip2"]) == set(wanted)
    assert all(torch.equal(heads["siglip2"][k], v) for k, v in wanted.items())
    assert manifest.facts["statistics_images"] == KEPT


@pytest.mark.parametrize("keep", [Stored.INT8, Stored.FP8])
def test_the_manifest_says_what_the_codec_costs(run: Run, specs: list[str], keep: Stored) -> None:
    facts = targets.run(config(specs, keep=keep), run).manifest.facts
    for name in ("siglip2", "dinov3"):
        cost = facts["teachers"][name]["codec"]
        assert cost["images"] == KEPT
        assert 0 < cost["relative_mse"] < (1e-3 if keep is Stored.INT8 else 3e-3)
        assert 0.8 < cost["knn_agreement"] <= 1
        assert facts["teachers"][name]["card"]["identity"] == describe(specs[name == "dinov3"]).identity
    assert (facts["keep"], facts["warnings"]) == (keep.value, [])
    assert json.loads(json.dumps(facts)) == facts


class StoppedError(Exception):
    pass


def stopping(after: int) -> Any:
    def tell(stage: str, done: int, total: int, note: str = "") -> None:
        if done == after:
            raise StoppedError

    return tell


@pytest.mark.parametrize("after", [1, 4, 5, 7])
def test_interrupted_and_resumed_it_is_the_same(run: Run, made: Path, specs: list[str], after: int) -> None:
    cfg = config(specs, keep=Stored.INT8)
    with pytest.raises(StoppedError):
        targets.run(cfg, run, stopping(after))
    assert run.stage("targets").manifest() is None
    result = targets.run(cfg, run)
    assert result.state == "Resumed"
    assert result.manifest.digest == whole(made, specs).digest
    assert not run.stage("targets").files.sizes("state")


PROGRAM = """
import sys
from pipelines import targets
from siglino_core.config import Stored
from siglino_core.store import Run
from tests.pipelines.curated import opened, config
targets.run(config(sys.argv[2:], keep=Stored.INT8), Run(sys.argv[1]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("after", ["stats-01", "part-00000"])
def test_killed_and_resumed_it_is_the_same(run: Run, made: Path, specs: list[str], after: str) -> None:
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, run.url, *specs], cwd=Path(__file__).parents[2])
    commit = Path(run.url, "targets", "commits", f"{after}.json")
    while not commit.exists() and process.poll() is None:
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL  # before its end
    assert run.stage("targets").manifest() is None
    result = targets.run(config(specs, keep=Stored.INT8), run)
    assert (result.state, result.manifest.digest) == ("Resumed", whole(made, specs).digest)


_WHOLE: dict[str, Manifest] = {}


def whole(made: Path, specs: list[str]) -> Manifest:
    """The manifest of an undisturbed run."""
    if specs[0] not in _WHOLE:
        where = Run(str(made / "whole"))
        shutil.copytree(made / "run" / "sample", made / "whole" / "sample")
        _WHOLE[specs[0]] = targets.run(config(specs, keep=Stored.INT8), where).manifest
    return _WHOLE[specs[0]]


def test_what_was_lost_is_done_again_and_nothing_else(run: Run, made: Path, specs: list[str]) -> None:
    cfg, notes = config(specs, keep=Stored.INT8), []
    targets.run(cfg, run)
    run.stage("targets").files.delete(["part-00002.parquet"])
    result = targets.run(cfg, run, lambda stage, done, total, note="": notes.append(note))
    assert (result.state, result.manifest.digest) == ("Resumed", whole(made, specs).digest)
    assert notes[1:] == ["writing targets"]
    run.stage("targets").files.delete(["statistics.safetensors"])
    assert targets.run(cfg, run).manifest.digest == whole(made, specs).digest


@pytest.mark.parametrize("workers", [{"workers": 3}, {"cpus": 1}])
def test_where_it_runs_is_no_part_of_what_it_is(
    run: Run, made: Path, specs: list[str], workers: dict[str, int]
) -> None:
    cfg = config(specs, keep=Stored.INT8)
    moved = dataclasses.replace(cfg, runtime=dataclasses.replace(cfg.runtime, **workers))  # type: ignore[arg-type]
    assert targets.run(moved, run).manifest.digest == whole(made, specs).digest


def test_another_config_is_refused_and_redone(run: Run, specs: list[str]) -> None:
    targets.run(config(specs, keep=Stored.SUMMARY), run)
    for change, says in (({"max_pixels": 80**2}, "max_pixels: 4096 there, 6400 here"), ({"keep": Stored.BF16}, "keep")):
        with pytest.raises(ConfigError, match=rf"made by another config:\n  {says}"):
            targets.run(config(specs, **{"keep": Stored.SUMMARY, **change}), run)
    with pytest.raises(ConfigError, match="teachers"):
        targets.run(config(specs[:1], keep=Stored.SUMMARY), run)
    assert targets.run(config(specs, keep=Stored.BF16), run, redo="stale").state == "Computed"


def test_moved_weights_are_the_same_teacher(run: Run, specs: list[str], tmp_path: Path) -> None:
    targets.run(config(specs), run)
    moved = []
    for spec in specs:
        kind, _, folder = spec.partition(":")
        shutil.copytree(folder, tmp_path / kind)
        moved.append(f"{kind}:{tmp_path / kind}")
    assert targets.run(config(moved), run).state == "Reused"


def test_finished_targets_are_found_without_their_teachers(run: Run, specs: list[str], tmp_path: Path) -> None:
    kinds = []
    for spec in specs:
        kind, _, folder = spec.partition(":")
        shutil.copytree(folder, tmp_path / "lent" / kind)
        kinds.append(f"{kind}:{tmp_path / 'lent' / kind}")
    made = targets.run(config(kinds), run).manifest
    (tmp_path / "lent").rename(tmp_path / "given back")
    assert targets.run(config(kinds), run) == Result(state="Reused", manifest=made)
    assert [card.name for card in job._cards(config(kinds), made)] == [spec.partition(":")[0] for spec in specs]
    job.require_same_targets(config(kinds), run, run.stage("sample").require(), made)
    for again in (config(kinds[:1]), config(kinds, keep=Stored.SUMMARY)):
        with pytest.raises(ConfigError):
            targets.run(again, run)


def test_webdataset_shards(tmp_path: Path, specs: list[str]) -> None:
    run = curated(tmp_path, Shards.WEBDATASET)
    cfg = config(specs[1:], keep=Stored.BF16)
    targets.run(cfg, run)
    found, said = opened(run, cfg).read(range(KEPT))["dinov3"], own_words(run, specs[1], cfg)
    torch.testing.assert_close(found.summaries, torch.cat([s.summaries for s in said]), rtol=2e-3, atol=2e-3)


def test_an_image_that_changed_since_it_was_curated(run: Run, specs: list[str]) -> None:
    index = ImageIndex.load(run.stage("sample"))
    path = Path(run.url, "sample", index.shards[index.shard_N[20]])
    data = bytearray(path.read_bytes())
    data[index.offset_N[20] : index.offset_N[20] + 16] = bytes(16)
    path.write_bytes(data)
    cfg = config(specs, keep=Stored.SUMMARY)
    with pytest.raises(DamagedError, match=r"sample: images/part-0\d+\.parquet: not the bytes that were written"):
        targets.run(cfg, run)
    unchecked = dataclasses.replace(cfg, runtime=dataclasses.replace(cfg.runtime, check_inputs=0))
    with pytest.raises(DataError, match=rf"^image {index.image_id(20)} of .* cannot be decoded .* --redo sample"):
        targets.run(unchecked, run)


def test_refusals(run: Run, specs: list[str]) -> None:
    cfg = config(specs, keep=Stored.SUMMARY)
    targets.run(cfg, run)
    cards = [describe(s) for s in specs]
    with pytest.raises(DataError, match=r"targets is of another sample \(digest .*, not 0123\)\. Run again"):
        opened(run, cfg, sample_digest="0123")
    with pytest.raises(ConfigError, match=r"is of another teacher dinov3 \(weights .*, not abc\)"):
        opened(run, cfg, cards=[cards[0], dataclasses.replace(cards[1], identity="abc")])
    with pytest.raises(ConfigError, match="has no targets of teacher lite; it has dinov3, siglip2"):
        opened(run, cfg, cards=[Card(name="lite", dim=3, identity="x")])
    with pytest.raises(ConfigError, match=r"of other grids \(max_pixels: 4096 there, 65536 here\)"):
        opened(run, cfg, resolution=units.Resolution(min_pixels=32**2))
    assert set(opened(run, cfg, cards=cards[1:]).read([0])) == {"dinov3"}
