"""Which stages one invocation runs, and what becomes of what is there."""

import pytest

from flows.stages import CURATE, DISTILL, EVALUATE, GROUND, PATH, choose
from siglino_core.errors import ConfigError

ALL = ["source", "embed", "cluster", "sample", "report"]
THEN = ["targets", "train", "export"]
LAST = ["expressions", "ground", "answers"]


def chosen(*args: object, command: str = "curate") -> list[tuple[str, str]]:
    return [(c.stage, c.redo) for c in choose(command, *args)]  # type: ignore[arg-type]


def test_the_order() -> None:
    assert list(CURATE) == ALL
    assert list(DISTILL) == THEN
    assert list(EVALUATE) == ["evaluate"]
    assert list(GROUND) == LAST
    assert list(PATH) == [*ALL, *THEN, "evaluate", *LAST]
    redone = chosen(None, None, ["report"], command="run")[4:]
    assert redone == [("report", "always"), *((s, "stale") for s in [*THEN, "evaluate", *LAST])]
    assert chosen(None, None, ["evaluate"], command="evaluate") == [("evaluate", "always")]
    assert chosen(None, None, []) == [(s, "no") for s in ALL]
    assert chosen(None, None, [], command="distill") == [(s, "no") for s in THEN]


@pytest.mark.parametrize("i", range(5))
def test_from_a_stage_on_or_one_alone(i: int) -> None:
    assert chosen(ALL[i], None, []) == [(s, "no") for s in ALL[i:]]
    assert chosen(None, ALL[i], []) == [(ALL[i], "no")]
    assert chosen(None, ALL[i], [ALL[i]]) == [(ALL[i], "always")]


def test_what_follows_a_redone_stage_is_made_again_if_it_is_stale() -> None:
    assert [r for _, r in chosen(None, None, ["embed"])] == ["no", "always", "stale", "stale", "stale"]
    assert [r for _, r in chosen(None, None, ["report", "cluster"])] == ["no", "no", "always", "stale", "always"]
    assert chosen("cluster", None, ["sample"]) == [("cluster", "no"), ("sample", "always"), ("report", "stale")]


def test_the_distillation_is_chosen_from_in_the_same_way() -> None:
    assert chosen("train", None, [], command="distill") == [("train", "no"), ("export", "no")]
    assert chosen(None, "export", ["export"], command="distill") == [("export", "always")]
    assert chosen(None, None, ["targets"], command="distill") == [
        ("targets", "always"),
        ("train", "stale"),
        ("export", "stale"),
    ]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("sauce", None, []), "no such stage: sauce. The stages are source, embed, cluster, sample, report."),
        ((None, "x", ["y"]), "no such stage: x, y."),
        (("embed", "embed", []), "from and only exclude each other"),
        (("cluster", None, ["embed"]), "cannot redo embed: this invocation runs cluster, sample, report"),
        ((None, "embed", ["sample"]), "cannot redo sample: this invocation runs embed"),
    ],
)
def test_faults(args: tuple, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        choose("curate", *args)
    assert said in str(caught.value)


def test_a_stage_of_the_other_command_names_that_command() -> None:
    with pytest.raises(ConfigError, match=r"no such stage: train. .* `siglino distill` has train.$"):
        choose("curate", "train", None, [])
    with pytest.raises(ConfigError, match=r"are targets, train, export. `siglino curate` has sample, report.$"):
        choose("distill", "sample", None, ["report"])
