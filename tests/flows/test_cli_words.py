"""The command line's words: options and settings in any order, and nothing that is neither."""

import pytest

from flows.cli import _parsed


@pytest.mark.parametrize(
    "words",
    [
        "run experiment=demo sample.target_size=4 --redo sample",
        "run --redo sample experiment=demo sample.target_size=4",
        "run experiment=demo --redo sample sample.target_size=4",
    ],
)
def test_settings_may_follow_options(words: str) -> None:
    arguments = _parsed(words.split())
    assert arguments.settings == ["experiment=demo", "sample.target_size=4"]
    assert arguments.redo == ["sample"]


@pytest.mark.parametrize(
    "words",
    ["distill --from train experiment=demo --redo export", "distill experiment=demo --redo export --from train"],
)
def test_distill_takes_the_options_of_run(words: str) -> None:
    arguments = _parsed(words.split())
    assert arguments.command == "distill"
    assert (arguments.from_stage, arguments.only, arguments.redo) == ("train", None, ["export"])
    assert arguments.settings == ["experiment=demo"]


@pytest.mark.parametrize("command", ["curate", "distill", "run"])
def test_the_help_names_the_stages(command: str) -> None:
    from flows.cli import STAGES
    from flows.stages import COMMANDS

    assert STAGES[command].split(", ") == list(COMMANDS[command])


@pytest.mark.parametrize("words", ["run experiment=demo --rdeo sample", "inspect runs/demo --x", "inspect a b"])
def test_what_is_neither_is_refused(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as e:
        _parsed(words.split())
    assert e.value.code == 2
    assert "unrecognized arguments" in capsys.readouterr().err
