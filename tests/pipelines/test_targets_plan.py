"""targets: how the work is cut, and what it costs before anything is read."""

import dataclasses

import numpy as np
import pytest

from pipelines import targets
from pipelines.targets.layout import plan_units, shares
from siglino_core.config import Config, RuntimeConfig, SampleConfig, Stored, TargetsConfig
from siglino_core.store import Run
from tests.pipelines.curated import KEPT, config
from tests.stages import table

pytestmark = pytest.mark.usefixtures("no_waiting_for_the_disk")


def test_units_cover_all_shards_and_the_images_asked_for(run: Run, specs: list[str]) -> None:
    sample = run.stage("sample")
    found = plan_units(sample, config(specs, keep=Stored.INT8, statistics_images=30).targets, seed=0)
    assert [u["name"] for u in found] == [
        *(f"stats-{k:02d}" for k in range(4)), "statistics", *(f"part-{i:05d}" for i in range(4)),
    ]  # fmt: skip
    drawn = [s for u in found for s in u.get("shards", [])]
    assert sum(s["rows"] for s in drawn) == 30
    assert len({s["name"] for s in drawn}) == 4
    assert sum(u["measured"] for u in found if "measured" in u) == KEPT
    other = plan_units(sample, config(specs, statistics_images=30).targets, seed=5)
    assert [u["name"] for u in other][-1] == "statistics"
    assert [s["name"] for u in other for s in u.get("shards", [])] != [s["name"] for s in drawn]


@pytest.mark.parametrize(
    ("sizes", "total", "wanted"),
    [
        ([5, 5, 5], 9, [3, 3, 3]),
        ([1, 9, 9], 9, [1, 4, 4]),
        ([2, 0, 1], 50, [2, 0, 1]),
        ([4, 4], 5, [2, 3]),
        ([], 3, []),
    ],
)
def test_shares_are_as_equal_as_sizes_allow(sizes: list[int], total: int, wanted: list[int]) -> None:
    assert shares(sizes, total) == wanted


PAPER = Config(
    sample=SampleConfig(target_size=200_000_000), targets=TargetsConfig(), runtime=RuntimeConfig(device="cpu")
)


def test_every_choice_is_priced() -> None:
    priced = dict(targets.choices(PAPER))
    registers = 200e6 * 4 * 1024 * 2
    assert priced[Stored.ONLINE] == 0
    assert priced[Stored.SUMMARY] / 200e6 == 4352
    assert priced[Stored.BF16] - priced[Stored.SUMMARY] - registers == pytest.approx(223e12, rel=2e-3)
    assert priced[Stored.INT8] == priced[Stored.FP8] == pytest.approx(priced[Stored.BF16] / 2, rel=0.04)


def test_a_plan_without_weights_or_images() -> None:
    found = targets.plan(PAPER, {})
    assert (found.bytes, found.device, found.rows) == (0, "A100", 200_000_000)
    assert "bf16 225 TB, int8 114 TB" in found.note
    flops = found.device_hours * 3600 * 0.4 * 312e12 / 10_000
    assert flops == pytest.approx(2 * 256 * (0.41e9 + 0.303e9), rel=0.1)  # two FLOPs a weight and patch, and attention
    stored = dataclasses.replace(PAPER, targets=dataclasses.replace(PAPER.targets, keep=Stored.INT8))
    assert targets.plan(stored, {}).device_hours == pytest.approx(found.device_hours * 20001)
    assert targets.plan(stored, {}, patches=128).bytes < 0.6 * targets.plan(stored, {}).bytes


def test_a_plan_agrees_with_what_is_written(run: Run, specs: list[str]) -> None:
    cfg = dataclasses.replace(config(specs, keep=Stored.BF16), sample=SampleConfig(target_size=KEPT))
    manifest = targets.run(cfg, run).manifest
    stored = table(run, "targets", "part-")
    mean = np.mean([h * w for h, w in zip(stored["height"].to_pylist(), stored["width"].to_pylist(), strict=True)])
    written = sum(size for name, (size, _) in manifest.files.items() if name.startswith("part-"))
    assert targets.plan(cfg, {}, patches=float(mean)).bytes < written
    choices = dict(targets.choices(cfg, patches=float(mean)))
    assert choices[Stored.BF16] == targets.plan(cfg, {}, patches=float(mean)).bytes
