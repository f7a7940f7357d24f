"""Which stages are stale, by their inputs, one another and the student that was evaluated; and what renews them."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from flows.stale import stale, warning
from siglino_core.evaluation.network.identity import network_identity
from siglino_core.store import Manifest
from siglino_core.weights.source import recorded_identity

SUMS = {"config.json": "c", "model.safetensors": "w"}
EXPORTED = network_identity("siglino", recorded_identity(SUMS), embeds=False)


def stage(name: str, inputs: Mapping[str, str] | None = None, digest: str = "", **changes: Any) -> Manifest:
    values: dict[str, Any] = {"config": {}, "files": {}} | changes
    return Manifest(
        stage=name,
        fingerprint="",
        identity={"stage": name, "version": 1, "config": values["config"], "inputs": dict(inputs or {})},
        digest=digest or name,
        shards=1,
        rows=1,
        rejects={},
        seconds=0,
        wall_seconds=0,
        state="",
        finished="",
        files=values["files"],
    )


def evaluation(network: str = EXPORTED, name: str = "student", texts: Mapping[str, str] | None = None) -> Manifest:
    asked = [{"name": "lite", "network": "l", "texts": {}}, {"name": name, "network": network, "texts": texts or {}}]
    return stage("evaluate", {"features/1": "f"}, config={"models": asked})


def export(weights: str = "w", train: str = "train") -> Manifest:
    sums = SUMS | {"model.safetensors": weights, "README.md": "r"}
    return stage("export", {"train": train}, files={f"student/{name}": [1, value] for name, value in sums.items()})


def path(*manifests: Manifest) -> dict[str, Manifest | None]:
    """A training's run, and what is given in the place of its own."""
    own = [
        stage("train"),
        export(),
        evaluation(),
        stage("expressions"),
        stage("ground", {"export": "export", "expressions": "expressions"}),
        stage("answers", {"ground": "ground", "expressions": "expressions"}),
    ]
    return {m.stage: m for m in (*own, *manifests)}


def test_nothing_is_stale_of_what_was_made_in_one_go() -> None:
    assert stale(path()) == {}
    assert stale(dict.fromkeys(path())) == {}
    assert stale({"answers": stage("answers", {"ground": "x"})}) == {}, "of what is not there nothing is known"


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ([stage("ground", {"export": "export"}, digest="2")], {"answers": ["ground"]}),
        (
            [stage("expressions", digest="2")],
            {"ground": ["expressions"], "answers": ["ground", "expressions"]},
        ),
        (
            [stage("train", digest="2")],
            {"export": ["train"], "evaluate": ["export"], "ground": ["export"], "answers": ["ground"]},
        ),
        ([evaluation("another")], {"evaluate": ["export"]}),
        ([export(weights="v")], {"evaluate": ["export"]}),
    ],
    ids=["ground", "expressions", "train", "another student", "other weights"],
)
def test_what_is_made_from_what_changed_is_stale(
    changed: Sequence[Manifest], expected: Mapping[str, Sequence[str]]
) -> None:
    assert stale(path(*changed)) == expected


def test_networks_that_are_not_the_runs_own_are_no_concern_of_it() -> None:
    assert stale(path(evaluation("another", name="rival"))) == {}
    assert stale(path(stage("evaluate", config={"seed": 7}))) == {}
    assert stale({"evaluate": evaluation("another")}) == {}, "the run has no student of its own"
    of_text = evaluation("with a head beside it", texts={"dinov3": "dinotxt"})
    assert stale(path(of_text)) == {}
    assert stale(path(of_text, stage("train", digest="2")))["evaluate"] == ["export"]


def test_the_commands_begin_with_the_first_stage_that_is_stale() -> None:
    moved = stale(path(stage("train", digest="2")))
    run = "'run=my runs/a'"
    assert warning("my runs/a", "evaluate", moved) == (
        "my runs/a/evaluate is stale: export changed since, so that its results are of the former model. "
        f"`siglino distill {run} --redo export && siglino evaluate {run} --redo evaluate` makes it anew."
    )
    assert f"`siglino distill {run} --redo export && siglino ground {run} --redo ground`" in (
        warning("my runs/a", "answers", moved)
    )
    moved = stale(path(stage("expressions", digest="2")))
    said = warning("a", "answers", moved)
    assert "ground, expressions changed since, so that its results are of the former model and expressions." in said
    assert "`siglino ground run=a --redo ground`" in said
