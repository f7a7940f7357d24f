"""The lines that `scripts/mutate.py` breaks, one at a time, and the tests that must notice.

Each is a mistake that was, or could be, made. `old` stands in its file exactly once; where a line is rewritten, its
mutation is rewritten with it.
"""

from scripts.mutations import (
    commands,
    curation,
    evaluation,
    grounding_answers,
    grounding_data,
    grounding_model,
    grounding_training,
    inputs,
    store,
    student,
    training,
)
from scripts.mutations.mutation import Mutation

__all__ = ["MUTATIONS", "Mutation"]
MUTATIONS = (
    *training.MUTATIONS,
    *curation.MUTATIONS,
    *store.MUTATIONS,
    *inputs.MUTATIONS,
    *student.MUTATIONS,
    *commands.MUTATIONS,
    *evaluation.MUTATIONS,
    *grounding_answers.MUTATIONS,
    *grounding_data.MUTATIONS,
    *grounding_model.MUTATIONS,
    *grounding_training.MUTATIONS,
)
