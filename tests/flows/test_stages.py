"""Which stages one invocation runs, and what becomes of what is there."""

import pytest

from flows.stages import CURATE, choose
from siglino_core.errors import ConfigError

ALL = ["source", "embed", "cluster", "sample", "report"]


def chosen(*args: object) -> list[tuple[str, str]]:
    return [(c.stage, c.redo) for c in choose(*args)]  # type: ignore[arg-type]


def test_the_order() -> None:
    assert list(CURATE) == ALL
    assert chosen(None, None, []) == [(s, "no") for s in ALL]


@pytest.mark.parametrize("i", range(5))
def test_from_a_stage_on_or_one_alone(i: int) -> None:
    assert chosen(ALL[i], None, []) == [(s, "no") for s in ALL[i:]]
    assert chosen(None, ALL[i], []) == [(ALL[i], "no")]
    assert chosen(None, ALL[i], [ALL[i]]) == [(ALL[i], "always")]


def test_what_follows_a_redone_stage_is_made_again_if_it_is_stale() -> None:
    assert [r for _, r in chosen(None, None, ["embed"])] == ["no", "always", "stale", "stale", "stale"]
    assert [r for _, r in chosen(None, None, ["report", "cluster"])] == ["no", "no", "always", "stale", "always"]
    assert chosen("cluster", None, ["sample"]) == [("cluster", "no"), ("sample", "always"), ("report", "stale")]


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
        choose(*args)
    assert said in str(caught.value)
