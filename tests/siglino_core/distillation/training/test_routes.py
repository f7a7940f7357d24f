"""Which images train which teacher: means over those alone, and the same gradient over any ranks and passes."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.tensor import DTensor

from siglino_core.config import Config, LossConfig, PartConfig, Relation, TrainConfig
from siglino_core.distillation.packing import Cost, Mixture, Part, Plan
from siglino_core.distillation.training.dropping import draws
from siglino_core.distillation.training.parallel import parallelize
from siglino_core.distillation.training.passes import Passes
from siglino_core.distillation.training.reader import Batch
from siglino_core.distillation.training.routes import Chosen, Routes
from siglino_core.errors import ConfigError
from siglino_core.models import Features
from siglino_core.teachers.teacher import Targets
from tests.ranks import on_ranks
from tests.siglino_core.distillation.training.test_passes import IMAGES, PACKS, SHAPE, SHAPES, batch, passes
from tests.siglino_core.models.tiny import student

NAMES = ["one", "two"]
COUNTS = [3, 1, 4]
TAUGHT = np.array([True, False, True])


def config(*teachers: list[str]) -> Config:
    parts = [PartConfig(name=f"part{i}", teachers=names) for i, names in enumerate(teachers)]
    return Config(train=TrainConfig(parts=parts))


def test_some_images_of_a_pass() -> None:
    x_BC, x_NC, x_BRC = torch.randn(3, 5), torch.randn(8, 5), torch.randn(3, 2, 5)
    chosen = Chosen.of(TAUGHT, COUNTS)
    assert chosen.counts == [3, 4]
    patches_NC = torch.cat([x_NC[:3], x_NC[4:]])
    found = chosen.targets(Targets(x_BC, x_NC, x_BRC))
    for ours, wanted in zip(found, (x_BC[[0, 2]], patches_NC, x_BRC[[0, 2]]), strict=True):
        assert ours is not None
        assert torch.equal(ours, wanted)
    assert chosen.targets(Targets(x_BC, None))[1:] == (None, None)
    features = chosen.features(Features({"one": x_NC, "two": x_NC}, {"one": x_BC, "two": x_BC}, {"one": x_BRC}), "one")
    assert features.patches.keys() == features.summaries.keys() == features.registers.keys() == {"one"}
    assert torch.equal(features.patches["one"], patches_NC)
    assert torch.equal(features.summaries["one"], x_BC[[0, 2]])
    none = Chosen.of(~TAUGHT & TAUGHT, COUNTS)
    assert (none.counts, len(none.rows_B), len(none.patches_N)) == ([], 0, 0)


def test_routes_of_parts() -> None:
    routes = Routes.of(config([], ["two"], ["one"]), NAMES)
    assert routes.by_part == (frozenset(NAMES), frozenset({"two"}), frozenset({"one"}))
    assert routes.restricts("one")
    assert routes.taught("one", np.array([2, 1, 0, 1], np.uint8)).tolist() == [True, False, True, False]
    everything = Routes.of(config([], NAMES), NAMES)
    assert not any(everything.restricts(name) for name in NAMES)
    assert Routes.of(Config(), NAMES).by_part == (frozenset(NAMES),)


def test_a_teacher_that_there_is_not_or_that_nobody_trains() -> None:
    with pytest.raises(
        ConfigError, match=r"^train\.parts: part1 trains teacher tow, and targets\.teachers are one, two "
    ):
        Routes.of(config([], ["tow"]), NAMES)
    with pytest.raises(ConfigError, match=r"^train\.parts: no part trains teacher one: "):
        Routes.of(config(["two"], ["two"]), NAMES)


def test_images_of_a_step_are_counted_from_the_plan() -> None:
    grids = [np.full((count, 2), 2, np.uint16) for count in (30, 20)]
    mixture = Mixture(parts=[Part(name=f"part{i}", grids_N2=grid) for i, grid in enumerate(grids)])
    settings = replace(Config().train.pack, packs_per_step=4, capacity=40)
    plan = Plan(mixture, settings, Cost.of(SHAPE))
    routes = Routes.of(config([], ["two"]), NAMES)
    for step in range(3):
        wanted = [int((pack.parts_N == 0).sum()) for pack in plan.packs_for(step)]
        assert routes.images("one", plan, step) == wanted
        assert routes.images("two", plan, step) == plan.sums(step)[2].tolist()
        assert 0 < sum(wanted) < plan.sums(step)[2].sum()


# Through the passes of a step: teacher one is trained by images of part 0, teacher two by all. Their heads are others
# than the published ones, so that these are sharded too.

HEADS = replace(
    SHAPE, teachers=(replace(SHAPE.teachers[0], form="transformer"), replace(SHAPE.teachers[1], layers=(0,)))
)
Found = tuple[dict[str, float], dict[str, Tensor]]  # terms and gradients of a step
ROUTES = Routes((frozenset(NAMES), frozenset({"two"})))
PARTS = [np.array([(pack + i) % 2 for i in range(IMAGES[pack])], np.uint8) for pack in range(PACKS)]
CONFIGS = {
    "errors": LossConfig(relation=Relation.NONE),
    "relations": LossConfig(summary=0, patch=0, relation_beta=0.1),
    "dropping": LossConfig(drop=0.5, relation=Relation.NONE),
    "all": LossConfig(drop=0.3, relation_beta=0.1, relation_packs=4, relation_weight=3.0),
}


def routed(packs: list[int], config: LossConfig, parts: list[np.ndarray]) -> Batch:
    ids = [f"{hash((pack, i)) % 2**64:016x}" for pack in packs for i in range(IMAGES[pack])]
    epochs_B = np.zeros(len(ids), np.int64)
    draws_MB = draws(0, NAMES, epochs_B, ids) if config.drop else None
    return replace(batch(packs), parts_B=np.concatenate([parts[pack] for pack in packs]), draws_MB=draws_MB)


def built(config: LossConfig, at_once: int) -> Passes:
    world = dist.get_world_size() if dist.is_initialized() else 1
    model = parallelize(student(HEADS, seed=1).train(), device="cpu", dtype=torch.float32, world=world)
    made = passes(model, config, at_once, world)
    made.routes = ROUTES
    return made


def step(config: LossConfig, at_once: int, parts: list[np.ndarray] = PARTS) -> Found:
    """The terms of a step, and the gradients, of all ranks."""
    world, rank = (dist.get_world_size(), dist.get_rank()) if dist.is_initialized() else (1, 0)
    made, mine = built(config, at_once), list(range(PACKS))[rank::world]
    reading = (routed(mine[i : i + at_once], config, parts) for i in range(0, len(mine), at_once))
    done = made(reading, IMAGES, {"one": [int((part == 0).sum()) for part in parts]})
    terms = torch.stack([term.double() for term in done.terms.values()])
    if world > 1:
        dist.all_reduce(terms)
        terms /= world
    grads = {n: p.grad for n, p in made.model.named_parameters() if p.grad is not None}
    whole = {n: g.full_tensor() if isinstance(g, DTensor) else g for n, g in grads.items()}
    return dict(zip(done.terms, terms.tolist(), strict=True)), whole


def assert_same(found: Found, wanted: Found) -> None:
    assert found[0] == pytest.approx(wanted[0], rel=1e-5, abs=1e-7)
    ours, theirs = (torch.cat([g.flatten() for g in of[1].values()]) for of in (found, wanted))
    assert float((ours - theirs).norm() / theirs.norm()) < 1e-5


@pytest.fixture(scope="module")
def one_pass() -> dict[str, Found]:
    return {name: step(config, PACKS) for name, config in CONFIGS.items()}


def everything() -> list[tuple[str, Found]]:
    most = PACKS // (dist.get_world_size() if dist.is_initialized() else 1)
    return [(name, step(c, n)) for name, c in CONFIGS.items() for n in (1, 3, 4) if n <= most]


def test_passes_and_ranks_change_no_gradient(one_pass: dict[str, Found]) -> None:
    for cases in (everything(), *on_ranks(everything)):
        for name, found in cases:
            assert_same(found, one_pass[name])


def test_a_mean_is_over_the_images_that_count() -> None:
    """Each teacher's errors of all images, from a training of all; of teacher one those of part 0 are averaged."""
    config, made = CONFIGS["errors"], built(CONFIGS["errors"], PACKS)
    whole = routed(list(range(PACKS)), config, PARTS)
    pixels = whole.patches_NV.float() / 127.5 - 1
    with torch.no_grad():
        features = made.model(pixels, made.model.layout(whole.shapes))
    lengths = [h * w for shapes in SHAPES for h, w in shapes]
    terms, _ = step(config, PACKS)
    for teacher, mine in zip(made.teachers, (whole.parts_B == 0, whole.parts_B < 2), strict=True):
        name, stats = teacher.card.name, made.objective.statistics[teacher.card.name]
        told = teacher(pixels, whole.shapes)
        assert told.patches is not None
        assert stats.patch is not None
        apart_N = (features.patches[name] - told.patches).square().mean(1) / stats.patch.phi**2
        patch_B = torch.stack([x.mean() for x in apart_N.split(lengths)])
        summary_B = (features.summaries[name] - told.summaries).square().mean(1) / stats.summary.phi**2
        assert terms[f"{name}.patch"] == pytest.approx(float(patch_B[torch.from_numpy(mine)].mean()), rel=1e-4)
        assert terms[f"{name}.summary"] == pytest.approx(float(summary_B[torch.from_numpy(mine)].mean()), rel=1e-4)


def test_each_images_own_errors_are_of_the_teachers_that_it_trains() -> None:
    config, made = CONFIGS["errors"], built(CONFIGS["errors"], PACKS)
    whole = routed(list(range(PACKS)), config, PARTS)
    done = made(iter([whole]), IMAGES, {"one": [int((part == 0).sum()) for part in PARTS]})
    ((seen, errors_B),) = done.seen
    for_one = torch.from_numpy(seen.parts_B == 0)
    ones, twos = (float(done.terms[f"{n}.summary"] + done.terms[f"{n}.patch"]) for n in NAMES)
    assert float(errors_B.sum()) == pytest.approx(ones * int(for_one.sum()) + twos * len(for_one), rel=1e-5)


def test_a_teacher_without_images_in_a_step_costs_nothing() -> None:
    parts = [np.ones_like(part) for part in PARTS]
    for config in (CONFIGS["errors"], CONFIGS["relations"], CONFIGS["dropping"]):
        terms, gradients = step(config, 4, parts)
        assert all(value == 0 for name, value in terms.items() if name.startswith("one."))
        assert terms["loss"] > 0
        assert all(not g.any() for name, g in gradients.items() if name.startswith("one_"))
        assert any(g.any() for name, g in gradients.items() if name.startswith("two_"))
