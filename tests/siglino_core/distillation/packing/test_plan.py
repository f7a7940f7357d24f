"""The plan: every image once an epoch, the same packs from every start and for any number of ranks."""

import itertools
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siglino_core.config import Match, PackConfig
from siglino_core.distillation.packing import Cost, Cursor, Mixture, Pack, Part, Plan
from siglino_core.distillation.packing import plan as planning
from siglino_core.distillation.packing.block import Block
from siglino_core.errors import DataError
from tests.siglino_core.distillation.packing.sizes import NATIVE, mixed, of_tokens, web

COST = Cost(linear=1000.0, quadratic=1.0)


def plan(mixture: Mixture, cursor: Cursor | None = None, **config: object) -> Plan:
    small = {"packs_per_step": 4, "block": 100, "look_ahead": 16}
    return Plan(mixture, PackConfig(**{**small, **config}), COST, cursor=cursor)  # type: ignore[arg-type]


def steps_of(found: Plan, start: int = 0, *, rank: int = 0, world: int = 1) -> Iterator[tuple[Pack, ...]]:
    """A rank's packs of a step and of all that follow, without end."""
    return (found.packs_for(step, rank, world) for step in itertools.count(start))


def ids(packs: tuple[Pack, ...]) -> list[tuple[int, ...]]:
    """What each pack holds: its epoch, then its rows."""
    return [(p.epoch, *p.rows_N.tolist()) for p in packs]


def unpacked(found: Plan, steps: int) -> Counter[tuple[int, int]]:
    """How often each (epoch, row) was met."""
    packs = itertools.chain(*itertools.islice(steps_of(found), steps))
    return Counter((p.epoch, int(row)) for p in packs for row in p.rows_N)


@given(st.data(), st.integers(0, 3), st.sampled_from(list(Match)))
@settings(max_examples=40)
def test_every_image_once_an_epoch_within_bounds(data: st.DataObject, seed: int, match: Match) -> None:
    tokens = data.draw(st.lists(st.integers(6, 60), min_size=1, max_size=120))
    cap = data.draw(st.integers(1, 6))
    found = plan(of_tokens(*tokens, seed=seed), capacity=60, max_images=cap, match=match, block=50)
    seen: Counter[tuple[int, int]] = Counter()
    steps, epochs = steps_of(found), {0}
    while min(epochs) < 2:  # until a whole step is of later epochs
        packs = next(steps)
        assert len(packs) == 4
        epochs = {p.epoch for p in packs}
        for pack in packs:
            assert len(pack.rows_N) <= cap
            assert pack.tokens == sum(tokens[row] for row in pack.rows_N) <= 60
            assert pack.grids_N2.tolist() == [[1, tokens[row] - 5] for row in pack.rows_N]
            seen.update((pack.epoch, int(row)) for row in pack.rows_N)
    assert max(seen.values()) == 1
    assert all(seen[epoch, row] == 1 for epoch in (0, 1) for row in range(len(tokens)))


@pytest.mark.parametrize("block", [1, 83, 84, 249, 250, 251])
def test_epochs_follow_one_another_within_a_step(block: int) -> None:
    """Blocks of any length lose no image at their borders; an epoch's end neither drops packs nor fills steps up."""
    found = plan(web(250, NATIVE), match=Match.NONE, block=block)
    packs = list(itertools.chain(*itertools.takewhile(lambda s: min(p.epoch for p in s) < 2, steps_of(found))))
    epochs = [p.epoch for p in packs]
    assert epochs == sorted(epochs)
    assert any(len({p.epoch for p in packs[i : i + 4]}) == 2 for i in range(0, len(packs), 4))
    for epoch in (0, 1):
        assert sorted(row for p in packs if p.epoch == epoch for row in p.rows_N) == list(range(250))


def test_matching_changes_no_step() -> None:
    steps = [[set(ids(found.packs_for(s))) for s in range(30)] for found in (plan(mixed(2000), match=m) for m in Match)]
    assert steps[0] == steps[1]


@pytest.mark.parametrize("match", list(Match))
def test_any_step_is_what_the_iteration_meets(match: Match) -> None:
    found = plan(web(300, NATIVE), match=match)
    met = [ids(s) for s in itertools.islice(steps_of(found), 60)]
    assert met == [ids(s) for s in itertools.islice(steps_of(plan(web(300, NATIVE), match=match)), 60)]
    for step in (59, 0, 31, 30, 7):
        assert ids(found.packs_for(step)) == met[step]  # backwards, too
        assert ids(plan(web(300, NATIVE), match=match).packs_for(step)) == met[step]
    resumed = steps_of(plan(web(300, NATIVE), match=match), 17)
    assert [ids(s) for s in itertools.islice(resumed, 43)] == met[17:]


@pytest.mark.parametrize("step", [0, 7, 31, 59])
def test_a_place_saves_the_chapters_before(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    met = [ids(s) for s in itertools.islice(steps_of(plan(web(300, NATIVE))), 70)]
    cursor = plan(web(300, NATIVE)).cursor(step)
    resumed = plan(web(300, NATIVE), cursor)
    made: list[int] = []
    real = Plan._get

    def get(self: Plan, number: int) -> Block:
        made.append(number)
        return real(self, number)

    monkeypatch.setattr(Plan, "_get", get)
    assert ids(resumed.packs_for(step)) == met[step]
    assert len(set(made)) <= 2
    assert min(made) == cursor.block
    assert [ids(s) for s in itertools.islice(steps_of(resumed, step), 10)] == met[step : step + 10]
    assert resumed.cursor(step) == cursor
    assert ids(resumed.packs_for(0)) == met[0]  # before the cursor, too


def test_a_place_of_another_plan() -> None:
    cursor = plan(web(300, NATIVE)).cursor(30)
    for other in (web(300, NATIVE, seed=1), web(299, NATIVE)):
        with pytest.raises(DataError, match="is of another plan"):
            plan(other, cursor)
    with pytest.raises(DataError, match="resume with the same images and packing settings"):
        plan(web(300, NATIVE), cursor, look_ahead=8)


@pytest.mark.parametrize("match", list(Match))
def test_ranks_that_come_and_go_hold_the_same_steps(match: Match) -> None:
    mixture = mixed(2000)
    alone = [ids(s) for s in itertools.islice(steps_of(plan(mixture, packs_per_step=24, match=match)), 12)]
    for step, world in [(0, 2), (2, 2), (3, 4), (5, 8), (6, 3), (11, 24)]:
        found = plan(mixture, packs_per_step=24, match=match)
        ranks = [found.packs_for(step, r, world) for r in range(world)]
        assert {len(packs) for packs in ranks} == {24 // world}
        for rank, packs in enumerate(ranks):
            assert ids(packs) == alone[step][rank::world]
    one = steps_of(plan(mixture, packs_per_step=24, match=match), 3, rank=1, world=4)
    assert [ids(s) for s in itertools.islice(one, 4)] == [alone[s][1::4] for s in range(3, 7)]


def test_the_seed_and_the_epoch_change_the_order() -> None:
    one, other = (unordered(plan(Mixture(parts=web(300, NATIVE).parts, seed=seed)), 0) for seed in (0, 1))
    assert len(one & other) < len(one) / 4
    packs = [
        p for step in range(60) for p in ids(plan(web(300, NATIVE), match=Match.NONE).packs_for(step)) if len(p) > 2
    ]
    epochs = [{p[1:] for p in packs if p[0] == epoch} for epoch in (0, 1)]
    assert len(epochs[0] & epochs[1]) < len(epochs[0]) / 10


def unordered(found: Plan, step: int) -> set[int]:
    return {int(row) for p in found.packs_for(step) for row in p.rows_N}


def test_packs_come_in_no_order_of_their_filling() -> None:
    """A block's last pack gets what is left; the plan does not show it last."""
    found = plan(of_tokens(*[1000] * 41), match=Match.NONE)  # ten packs of four and one of a single image
    packs = [p for step in range(11) for p in found.packs_for(step)]
    alone = [i % 11 for i, p in enumerate(packs) if len(p.rows_N) == 1]
    assert len(alone) == 4
    assert len(set(alone)) > 1


@pytest.mark.parametrize(("images", "ahead"), [(4000, 1), (4000, 30), (3, 30)])
def test_sums_of_steps_that_loaders_were_ahead_of_pack_no_block_again(
    images: int, ahead: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []
    real = planning.make_block

    def make(*args: Any) -> Block:
        made.append(args[-1])
        return real(*args)

    monkeypatch.setattr(planning, "make_block", make)
    found = plan(web(images, NATIVE))
    for step in range(128):
        found.packs_for(step, 1, 2)
        if step >= ahead:
            tokens_V, _, images_V = found.sums(step - ahead)
            assert (len(tokens_V), images_V.min() > 0) == (4, True)
    assert made == list(range(made[-1] + 1))  # each once
    assert len(made) > 8


def test_sums_are_of_the_packs_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "REMEMBERED", 12)  # three steps of four packs
    found = plan(mixed(2000))
    steps = [found.packs_for(s) for s in range(20)]
    for step in (19, 18, 17, 3, 0, 12):  # what was forgotten is made again
        tokens_V, cost_V, images_V = found.sums(step)
        assert tokens_V.tolist() == [p.tokens for p in steps[step]]
        assert images_V.tolist() == [len(p.rows_N) for p in steps[step]]
        assert np.array_equal(cost_V, np.sort(cost_V))
        assert len(found._sums) <= 3


def test_one_image() -> None:
    found = plan(of_tokens(4096))
    seen = unpacked(found, 6)
    assert seen == Counter({(epoch, 0): 1 for epoch in range(24)})


def test_fewer_images_than_packs() -> None:
    seen = unpacked(plan(of_tokens(3000, 3001, 3002)), 3)
    assert seen == Counter({(epoch, row): 1 for epoch in range(4) for row in range(3)})


def test_images_of_one_size() -> None:
    found = plan(of_tokens(*[1024] * 48))  # 12 packs
    assert unpacked(found, 6) == Counter({(epoch, row): 1 for epoch in (0, 1) for row in range(48)})
    assert all(p.tokens == 4096 for s in range(6) for p in found.packs_for(s))


def test_an_image_that_fills_a_pack_and_one_that_does_not_fit() -> None:
    assert plan(of_tokens(4096, 6)).packs_for(0)
    with pytest.raises(DataError, match=r"row 1 of part 'all': 1 x 4092 patches are 4097 tokens with its prefix"):
        plan(of_tokens(10, 4097, 4096))
    with pytest.raises(DataError, match=r"row 2 of part 'all': 1 x 0 patches: each side at least 1"):
        plan(of_tokens(10, 20, 5))


@pytest.mark.parametrize(
    ("rank", "world", "message"),
    [
        (0, 3, "packs_per_step=4 over 3 ranks: every rank holds as many; 1, 2, 4 ranks do"),
        (0, 8, "packs_per_step=4 over 8 ranks"),
        (4, 4, "rank 4 of 4: 0 to 3"),
        (-1, 4, "rank -1 of 4"),
    ],
)
def test_ranks_that_cannot_be(rank: int, world: int, message: str) -> None:
    found = plan(of_tokens(10))
    with pytest.raises(ValueError, match=message):
        found.packs_for(0, rank, world)


def test_a_step_before_the_first() -> None:
    with pytest.raises(ValueError, match="step -1: at least 0"):
        plan(of_tokens(10)).packs_for(-1)


def test_the_default_cap_follows_the_images() -> None:
    assert plan(of_tokens(*[100] * 50)).max_images == 62
    assert plan(of_tokens(*[1000] * 50)).max_images == 16
    assert plan(of_tokens(*[100] * 50), max_images=3).max_images == 3
    small, large = (of_tokens(*[n] * 50).parts[0].grids_N2 for n in (100, 4000))
    both = [Part(name="small", grids_N2=small[:1], ratio=1), Part(name="large", grids_N2=large, ratio=9)]
    assert plan(Mixture(parts=both)).max_images == 62  # some packs are of small images alone
