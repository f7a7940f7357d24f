"""Which command makes a stage, and where what made it is noted."""

from flows.stages import COMMANDS, NOTES
from siglino_core.store.names import FEATURES, STAGES, command_of, note_of


def test_every_stage_is_of_the_command_that_has_it() -> None:
    for stage in STAGES:
        assert stage in COMMANDS[command_of(stage)]
        assert stage in NOTES[note_of(stage)]
    assert list(COMMANDS["run"]) == list(STAGES)
    assert command_of(f"{FEATURES}/0123") == "evaluate"
