"""train: a student distilled on the curated images, by one process or many, on Ray Train.

Reads `sample` (the images, by byte ranges) and `targets`, writes checkpoints and `metrics.jsonl` while it trains, and
in the end the student's weights and the loss of every curation cluster. What is left to do is what the newest
checkpoint has not done.
"""

from functools import partial

from pipelines.support.inputs import check
from pipelines.support.ray_train import SCRATCH, Training, train_on_ray
from pipelines.support.runtime import Progress, Result, computing_device, precision_of, silent
from pipelines.support.trained import checkpoints_of, extras, is_trained
from pipelines.support.work import Work
from pipelines.train.artifact import STUDENT, commit
from pipelines.train.job import identity_of, job_of, require_same_targets
from pipelines.train.price import plan
from siglino_core.config import Config, Runner
from siglino_core.distillation.training.mixture import runs_of
from siglino_core.distillation.training.rank import Job, run_rank
from siglino_core.errors import ConfigError
from siglino_core.store import Run

__all__ = ["plan", "run"]


def run(config: Config, run: Run, progress: Progress = silent, redo: str = "no") -> Result:
    """Train to the last step, from the newest checkpoint if there is one."""
    sample, targets = run.stage("sample").require(), run.stage("targets").require()
    require_same_targets(config, run, sample, targets)
    stage, steps = run.stage("train"), config.train.optim.steps
    precision = precision_of(stage, config.runtime, config.train.precision, redo)
    identity = identity_of(config, precision, sample, targets)
    todo = stage.begin(identity, lambda: [{"name": STUDENT, "kind": STUDENT}], redo=redo)
    if todo.manifest is not None:
        return Result(state=todo.state, manifest=todo.manifest)
    device = computing_device(stage, config.runtime, config.train.precision, precision)
    for url in runs_of(config):
        check(config.runtime, Run(url).stage("sample"), lambda name: name.startswith(("images/", "index/")))
    check(config.runtime, run.stage("targets"))
    progress("train", 0, steps, device.reason)
    work = Work(run=run, stage=todo.stage, fingerprint=identity.fingerprint, config=config)
    job = job_of(work, sample, targets)
    state = "Resumed" if checkpoints_of(work) else todo.state
    if not is_trained(work, steps):
        if config.runtime.runner is Runner.RAY:
            train_on_ray(_training(job), device, progress)
        elif config.train.ranks > 1:
            raise ConfigError(
                f"train.ranks={config.train.ranks} needs runtime.runner=ray: the local one is one process"
            )
        else:
            run_rank(job, device, tell=lambda step, steps, note: progress("train", step, steps, note))
    facts = commit(work, job, device)
    manifest = stage.finish(identity, todo, facts=facts, extras=extras(work))
    stage.sweep(SCRATCH)
    return Result(state=state, manifest=manifest)


def _training(job: Job) -> Training:
    train = job.config.train
    return Training(
        name="train",
        stage=job.stage,
        fingerprint=job.fingerprint,
        loop=train,
        packs=train.pack.packs_per_step,
        runtime=job.config.runtime,
        run_rank=partial(run_rank, job),
    )
