"""The command line's words: options and settings in any order, and nothing that is neither."""

import pytest

from flows.arguments import parsed


@pytest.mark.parametrize(
    "words",
    [
        "run experiment=demo sample.target_size=4 --redo sample",
        "run --redo sample experiment=demo sample.target_size=4",
        "run experiment=demo --redo sample sample.target_size=4",
    ],
)
def test_settings_may_follow_options(words: str) -> None:
    arguments = parsed(words.split())
    assert arguments.settings == ["experiment=demo", "sample.target_size=4"]
    assert arguments.redo == ["sample"]


@pytest.mark.parametrize(
    "words",
    ["distill --from train experiment=demo --redo export", "distill experiment=demo --redo export --from train"],
)
def test_distill_takes_the_options_of_run(words: str) -> None:
    arguments = parsed(words.split())
    assert arguments.command == "distill"
    assert (arguments.from_stage, arguments.only, arguments.redo) == ("train", None, ["export"])
    assert arguments.settings == ["experiment=demo"]


@pytest.mark.parametrize("command", ["curate", "distill", "evaluate", "run"])
def test_the_help_names_the_stages(command: str) -> None:
    from flows.arguments import STAGES
    from flows.stages import COMMANDS

    assert STAGES[command].split(", ") == list(COMMANDS[command])


@pytest.mark.parametrize("words", ["run experiment=demo --rdeo sample", "inspect runs/demo --x", "inspect a b"])
def test_what_is_neither_is_refused(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as e:
        parsed(words.split())
    assert e.value.code == 2
    assert "unrecognized arguments" in capsys.readouterr().err


def test_evaluate_takes_the_options_of_run() -> None:
    arguments = parsed(["evaluate", "run=r", "--redo", "evaluate", "evaluate.datasets=[{uri:d}]"])
    assert (arguments.command, arguments.redo) == ("evaluate", ["evaluate"])
    assert arguments.settings == ["run=r", "evaluate.datasets=[{uri:d}]"]


@pytest.mark.parametrize(
    "words", ["compare a b --gate --allow 1 --allow top1=2", "compare --gate --allow 1 a --allow top1=2 b"]
)
def test_compare_takes_one_or_two_places(words: str) -> None:
    arguments = parsed(words.split())
    assert (arguments.places, arguments.gate) == (["a", "b"], True)
    assert arguments.allow == ["1", "top1=2"]
    assert parsed(["compare", "a", "--gate"]).places == ["a"]


@pytest.mark.parametrize("words", [[], ["a", "b", "c"], ["a", "b", "experiment=demo"]])
def test_compare_of_none_or_three_is_wrong_usage(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as e:
        parsed(["compare", *words])
    assert e.value.code == 2
