"""answers: what the fine-tuned model says of the test images, and what that is worth, beside its baselines.

Units: priors (the boxes that answer anything) -> answer (a shard of test images, every expression asked as it is and as
another image's) and other (another model's answers) -> tables (results as an evaluation has them, `answers.md`,
`predictions/SET.json`, `grounding.html`).
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from pipelines.answers.ask import answer
from pipelines.answers.layout import (
    ANSWER,
    OTHER,
    PRIORS,
    STAGE,
    TABLES,
    TEST,
    AnswersWork,
    number_of,
    planned,
    sets_of,
)
from pipelines.answers.others import digest_of, other
from pipelines.answers.price import plan
from pipelines.answers.prior_boxes import index_files, priors
from pipelines.answers.tables import tabulate
from pipelines.support.inputs import check
from pipelines.support.runtime import Progress, Result, computing_device, map_shards, precision_of, silent
from siglino_core.config import Config, shaping
from siglino_core.errors import DataError
from siglino_core.store import Identity, Run, of_kind

__all__ = ["plan", "run"]

VERSION = 2
MEMORY = 2 << 30  # bytes of a unit that computes: the network, an image with its states, and masks


def run(
    config: Config,
    run: Run,
    progress: Progress = silent,
    redo: str = "no",
    *,
    load: Callable[[str], Any] | None = None,
) -> Result:
    """Ask the model about the test images and tell what its answers are worth, into ``<run>/answers``.

    Args:
        redo: as in `siglino_core.store.Stage.begin`.
        load: what makes model and processor of a folder; None: `siglino_core.grounding.folder.load_grounding`.

    Raises:
        ConfigError: what is there was made by another config, or the device computes in another precision.
        DataError: there is no test set, a test image cannot be read, or another model's answers are none.
        StoreError: the expressions or the model are not finished, or a file of answers is not there.
    """
    stage, expressions, ground = run.stage(STAGE), run.stage("expressions"), run.stage("ground")
    images, model = expressions.require(), ground.require()
    sets = sets_of(images)
    if not sets:
        raise DataError(f"{expressions.files.url} has no test images: set expressions.test, and redo expressions")
    precision = precision_of(stage, config.runtime, config.answers.precision, redo)
    identity = Identity(
        stage=STAGE,
        version=VERSION,
        config={
            **shaping(config.answers),
            "others": [{**shaping(one), "answers": digest_of(one)} for one in config.answers.others],
            "most_instances": config.ground.most_instances,
            "seed": config.seed,
            "precision": precision,
        },
        inputs={"expressions": images.digest, "ground": model.digest},
    )
    tests = [shard["name"] for shard in expressions.shards(TEST)]
    shards = {one.number: [name for name in tests if number_of(name) == one.number] for one in sets}
    todo = stage.begin(identity, lambda: planned(shards, config.answers.others), redo=redo)
    if todo.manifest is not None:
        return Result(state=todo.state, manifest=todo.manifest)
    read = {f"{name}.parquet" for name in tests} | set(index_files(expressions, config.seed))
    check(config.runtime, expressions, lambda name: name in read)
    check(config.runtime, ground, lambda name: name.startswith("model/"))
    work = AnswersWork(
        run=run,
        stage=todo.stage,
        fingerprint=identity.fingerprint,
        config=config,
        precision=precision,
        sets=tuple(sets),
        shards=shards,
        hashes={"network": model.digest, "split": images.digest},
        load=load,
    )
    done = todo.done
    progress(STAGE, done, len(todo.shards), "answering")
    if of_kind(todo.missing, ANSWER):
        computing_device(stage, config.runtime, config.answers.precision, precision)
    for kind, do in ((PRIORS, priors), (ANSWER, answer), (OTHER, other), (TABLES, tabulate)):
        computes = kind == ANSWER
        units = of_kind(todo.missing, kind)
        for record in map_shards(
            partial(do, work), units, config.runtime, memory=MEMORY if computes else None, on_gpu=computes
        ):
            done += 1
            progress(STAGE, done, len(todo.shards), f"{record['shard']}: {record['facts']['says']}")
    facts = todo.stage.records([TABLES])[TABLES]["facts"]
    return Result(state=todo.state, manifest=stage.finish(identity, todo, facts=facts))
