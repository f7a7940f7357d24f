"""What a fine-tuning is: its student, its images, its identity, and the job that every rank gets."""

from dataclasses import dataclass

from pipelines.support.work import Work
from siglino_core.config import Config, shaping
from siglino_core.errors import StoreError
from siglino_core.grounding.data.shards import GroundingShards, shards_of
from siglino_core.grounding.folder import config_json
from siglino_core.grounding.model import headless
from siglino_core.grounding.training.rank import Job, shape_with
from siglino_core.store import Identity, Manifest, Run

NAME = "ground"
VERSION = 2
TRAIN = "train"


@dataclass(frozen=True, kw_only=True)
class Student:
    """What the model begins from.

    Attributes:
        source: where its weights are, as `siglino_core.weights.load.load_student` takes it.
        identity: of its bytes.
        of_run: it is the run's own export.
    """

    source: str
    identity: str
    of_run: bool


def student_of(config: Config, run: Run) -> Student:
    """The configured student, or the run's own export.

    Raises:
        ConfigError: there is none of this name.
        StoreError: the run's own is not finished.
    """
    if config.ground.checkpoint:
        from siglino_core.weights.source import identity

        source = config.ground.checkpoint
        return Student(source=source, identity=identity(source), of_run=False)
    export = run.stage("export").manifest()
    if export is None:
        raise StoreError(
            f"{run.url}/export: there is no student yet. Run `siglino distill` first, or name one: "
            "ground.checkpoint=FOLDER"
        )
    return Student(source=f"{run.url}/export/student", identity=export.digest, of_run=True)


def identity_of(config: Config, precision: str, expressions: Manifest, student: Student) -> Identity:
    """What decides the model's bytes.

    Args:
        precision: of the computation, e.g. ``float32``.
    """
    begun_from = "export" if student.of_run else "checkpoint"
    return Identity(
        stage=NAME,
        version=VERSION,
        config={**shaping(config.ground), "seed": config.seed, "precision": precision},
        inputs={"expressions": expressions.digest, begun_from: student.identity},
    )


def job_of(work: Work, student: Student) -> Job:
    """What every rank must know.

    Raises:
        ConfigError, DataError: the student cannot be had.
    """
    from siglino_core.weights.load import shape_of  # transformers: seconds

    config, ground, expressions = work.config, work.config.ground, work.run.stage("expressions")
    shape = shape_with(ground, headless(shape_of(student.source)))
    said = config_json(
        shape,
        min_pixels=ground.min_pixels,
        max_pixels=ground.max_pixels,
        most=ground.most_instances,
        student=student.identity,
    )
    return Job(
        config=config,
        stage=work.stage,
        fingerprint=work.fingerprint,
        shape=shape,
        config_json=said,
        student=student.source,
        images=GroundingShards.open(expressions.files, shards_of(expressions, TRAIN)),
    )
