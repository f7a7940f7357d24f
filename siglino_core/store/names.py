"""The stages of a run in the path's order, and which command makes each."""

CURATE = ("source", "embed", "cluster", "sample", "report")
DISTILL = ("targets", "train", "export")
EVALUATE = ("evaluate",)
GROUND = ("expressions", "ground", "answers")
STAGES = (*CURATE, *DISTILL, *EVALUATE, *GROUND)
FEATURES = "features"  # the folder of what `evaluate` extracts: each of its own folders is like a stage


def command_of(stage: str) -> str:
    """The command of `siglino` that makes a stage; of a folder of features, the evaluation."""
    if stage.startswith(f"{FEATURES}/"):
        return "evaluate"
    made_by = {"distill": DISTILL, "evaluate": EVALUATE, "ground": GROUND}
    return next((command for command, stages in made_by.items() if stage in stages), "curate")


def note_of(stage: str) -> str:
    """The name of the run's note of what made a stage."""
    return f"{command_of(stage)}.json"
