"""ground: a student fine-tuned to say where in an image is what a text refers to, by one process or many.

Reads `expressions` (images and texts) and a student, by default the run's own export; writes checkpoints and
`metrics.jsonl` while it trains, and in the end the model as a folder. What is left to do is what the newest checkpoint
has not done.
"""

from functools import partial

from pipelines.ground.artifact import MODEL, commit
from pipelines.ground.job import NAME, identity_of, job_of, student_of
from pipelines.ground.price import plan
from pipelines.support.inputs import check
from pipelines.support.ray_train import SCRATCH, Training, train_on_ray
from pipelines.support.runtime import Progress, Result, computing_device, precision_of, silent
from pipelines.support.trained import checkpoints_of, extras, is_trained
from pipelines.support.work import Work
from siglino_core.config import Config, Runner
from siglino_core.errors import ConfigError
from siglino_core.grounding.training.rank import Job, run_rank
from siglino_core.store import Run

__all__ = ["plan", "run"]


def run(config: Config, run: Run, progress: Progress = silent, redo: str = "no") -> Result:
    """Fine-tune to the last step, from the newest checkpoint if there is one.

    Raises:
        ConfigError: there is no such student, or what is there was made by another config.
        DataError: an image or an expression cannot be used.
        StoreError: the images with expressions, or the run's own student, are not finished.
    """
    stage, ground = run.stage(NAME), config.ground
    expressions = run.stage("expressions").require()
    student = student_of(config, run)
    precision = precision_of(stage, config.runtime, ground.precision, redo)
    identity = identity_of(config, precision, expressions, student)
    todo = stage.begin(identity, lambda: [{"name": MODEL, "kind": MODEL}], redo=redo)
    if todo.manifest is not None:
        return Result(state=todo.state, manifest=todo.manifest)
    device = computing_device(stage, config.runtime, ground.precision, precision)
    check(config.runtime, run.stage("expressions"), lambda name: "/" in name or name.startswith("train-"))
    if student.of_run:
        check(config.runtime, run.stage("export"))
    progress(NAME, 0, ground.optim.steps, device.reason)
    work = Work(run=run, stage=todo.stage, fingerprint=identity.fingerprint, config=config)
    job = job_of(work, student)
    state = "Resumed" if checkpoints_of(work) else todo.state
    if not is_trained(work, ground.optim.steps):
        if config.runtime.runner is Runner.RAY:
            train_on_ray(_training(job), device, progress)
        elif ground.ranks > 1:
            raise ConfigError(f"ground.ranks={ground.ranks} needs runtime.runner=ray: the local one is one process")
        else:
            run_rank(job, device, tell=partial(progress, NAME))
    manifest = stage.finish(identity, todo, facts=commit(work, job, student, device), extras=extras(work))
    stage.sweep(SCRATCH)
    return Result(state=state, manifest=manifest)


def _training(job: Job) -> Training:
    ground = job.config.ground
    return Training(
        name=NAME,
        stage=job.stage,
        fingerprint=job.fingerprint,
        loop=ground,
        packs=ground.pack.packs_per_step,
        runtime=job.config.runtime,
        run_rank=partial(run_rank, job),
    )
