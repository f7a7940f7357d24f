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


@pytest.mark.parametrize("words", ["run experiment=demo --rdeo sample", "inspect runs/demo --x", "inspect a b"])
def test_what_is_neither_is_refused(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as e:
        _parsed(words.split())
    assert e.value.code == 2
    assert "unrecognized arguments" in capsys.readouterr().err
