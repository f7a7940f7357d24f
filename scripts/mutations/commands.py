"""Breaks of commands: what they judge first, say, check, wait for, and leave behind."""

from scripts.mutations.mutation import Mutation

MUTATIONS = (
    Mutation(
        says="a year is no limit",
        file="flows/preflight.py",
        old="if years > 1:",
        new="if years > 1e9:",
        tests=("tests/flows/test_preflight.py",),
    ),
    Mutation(
        says="the pool is counted when it is read",
        file="flows/preflight.py",
        old="        refuse_too_small(config, most, stages=asked, bound=source is None)\n",
        new="",
        tests=("tests/flows/test_preflight.py",),
    ),
    Mutation(
        says="the run's card is written over its owner's",
        file="flows/stages.py",
        old="        mended = with_columns(there, card)\n",
        new="        mended = card\n",
        tests=("tests/flows/test_provenance.py",),
    ),
    Mutation(
        says="the run's card keeps the columns of an earlier sample",
        file="flows/stages.py",
        old='if mended != there.replace("\\r\\n", "\\n"):',
        new="if False:",
        tests=("tests/flows/test_provenance.py",),
    ),
    Mutation(
        says="a path needs quotes",
        file="flows/words.py",
        old="if known.get(key) is str and not _needs_grammar(value):",
        new="if False:",
        tests=("tests/flows/test_config.py",),
    ),
    Mutation(
        says="an error's line may break",
        file="siglino_core/errors.py",
        old='"\\n".join(map(printable, self.args))',
        new='"\\n".join(self.args)',
        tests=("tests/siglino_core/test_foreign.py",),
    ),
    Mutation(
        says="a quote ends a query's string",
        file="siglino_core/foreign.py",
        old='.replace("\'", "\'\'")',
        new="",
        tests=("tests/siglino_core/test_foreign.py",),
    ),
    Mutation(
        says="a leading dash is an option",
        file="siglino_core/foreign.py",
        old='f"./{text}" if text.startswith("-") else text',
        new="text",
        tests=("tests/siglino_core/test_foreign.py",),
    ),
    Mutation(
        says="weights are read unchecked",
        file="siglino_core/weights/checkpoint.py",
        old="    require_whole(Files(_url(folder)))\n",
        new="",
        tests=("tests/siglino_core/distillation/training/test_checkpoints.py",),
    ),
    Mutation(
        says="a curve is believed without its hash",
        file="siglino_core/distillation/training/metrics.py",
        old="if hashlib.sha256(data).hexdigest() != digest:",
        new="if False:",
        tests=("tests/siglino_core/distillation/training/test_metrics.py",),
    ),
    Mutation(
        says="a second signal starts the end again",
        file="flows/signals.py",
        old="    if _State.raised:\n        return\n",
        new="",
        tests=("tests/flows/test_signals.py",),
    ),
    Mutation(
        says="what cleans up behind others is ended first",
        file="flows/guard.py",
        old="if trackers or TRACKER not in command",
        new="if True",
        tests=("tests/flows/test_guard.py",),
    ),
    Mutation(
        says="what is left is told from all that was done",
        file="flows/display.py",
        old="units = line.done - before",
        new="units = line.done",
        tests=("tests/flows/test_display.py",),
    ),
)
