"""A flipped bit anywhere in a finished run, of all stages: it is found, and no digest changes in silence."""

import random
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from flows.places import evaluation, open_place
from flows.stages import CURATE, DISTILL, EVALUATE, Asked, Choice, run_stages
from flows.verify import stage_of, verdicts
from pipelines.support import inputs
from pipelines.support.runtime import silent
from siglino_core.config import Config, build
from siglino_core.errors import DamagedError, SiglinoError, StoreError
from siglino_core.store import FEATURES, Files, Run
from siglino_core.weights.load import load_processor, load_student
from tests.damage import flip
from tests.e2e.tiny import Tiny
from tests.pipelines import distilling

pytestmark = pytest.mark.slow

Reading = Callable[[], Any]
NEXT = {"source": "sample", "embed": "sample", "cluster": "sample", "sample": "report", "targets": "train"}
ALONE = ("README.md", "metrics.jsonl", "curation.html", "SHA256SUMS")  # people read them, and no stage does
ASKED = Asked(experiment="", command="siglino run")
MADE = (*CURATE, *DISTILL, *EVALUATE)  # the stages of the run


@pytest.fixture(scope="module")
def finished(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run through all stages; not to be changed, but for a bit that is turned back."""
    folder = tmp_path_factory.mktemp("flips")
    changes = {"train__optim__steps": 4, "train__checkpoint_steps": 2, "targets__keep": "int8"}
    words = distilling.words(folder / "run", distilling.teachers(folder), distilling.student(folder), **changes)
    words = [w for w in words if not w.startswith(("run=", "runtime."))]
    done = tiny.siglino("run", *tiny.words(folder / "run"), *words)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "run"


def config_of(run: Path, stage: str) -> Config:
    about = Run(str(run)).about(stage)
    return build(Config, {**about["config"], "run": str(run)})


def stage_run(run: Path, stage: str, redo: str) -> Callable[[], Any]:
    """One stage of the run, as a command runs it."""
    made = config_of(run, stage)
    return lambda: run_stages([Choice(stage=stage, redo=redo)], made, ASKED, silent)


def reader(run: Path, name: str) -> Callable[[], Any] | None:
    """What reads a file of a finished run next: a stage, or the file's own command. None: people alone."""
    stage, _, inside = name.partition("/")
    if stage == FEATURES:
        folder, _, inside = inside.partition("/")
        stage = f"{FEATURES}/{folder}"
    if not inside or inside.endswith("plan.json"):  # the notes; a plan is its own stage's
        return stage_run(run, stage_of(stage), "no") if inside else None
    if inside == "manifest.json":
        return Run(str(run)).stage(stage).require
    alone = PurePosixPath(inside).name in ALONE or (stage == "train" and inside.startswith("clusters/"))
    if inside.startswith("commits/") or alone:
        return None
    if stage_of(stage) == "evaluate":
        if stage == "evaluate":
            compared = inside.startswith(("results/", "samples/"))
            return (lambda: evaluation(open_place(str(run)))) if compared else None
        return stage_run(run, "evaluate", "always")
    if inside.startswith("checkpoints/"):
        return lambda: load_student(str((run / name).parent))
    if stage == "train":
        return stage_run(run, "export", "always")
    if stage == "export":
        folder = str(run / "export/student")
        used = inside.endswith((".safetensors", ".json"))
        return (lambda: load_processor(folder, load_student(folder))) if used else None
    if inside.startswith("rejects/"):
        return stage_run(run, "report", "always")
    follows = "targets" if stage == "sample" and inside.startswith(("images/", "index/")) else NEXT[stage]
    return stage_run(run, follows, "always")


def digests(run: Path) -> dict[str, str]:
    return {name: Run(str(run)).stage(name).require().digest for name in MADE}


def _found(
    run: Path, name: str, reading: Reading | None, again: Reading | None, before: dict[str, str]
) -> Counter[str]:
    """Who finds what is wrong with a file: verify and its reader must, and its own stage may not go another way."""
    found = Counter(verify=1)
    bad = [
        f"{'' if verdict.name == 'notes' else verdict.name + '/'}{n}"
        for verdict in verdicts(Run(str(run)), MADE)
        for n in (*verdict.records, *verdict.files)
    ]
    assert bad == [name]
    if reading is not None:
        with pytest.raises((DamagedError, StoreError), match=r"damaged|not the bytes|not what was"):
            reading()
        found["its reader"] += 1
    if again is not None:
        stage = name.partition("/")[0]
        try:
            result = again()[stage]
        except SiglinoError:
            found["its stage"] += 1
        else:
            assert (result["state"], result["digest"]) == ("Reused", before[stage]), name
    return found


def flips(run: Path, count: int, seed: int) -> Counter[str]:
    """Turn so many bits, one at a time; what was found by whom."""
    rng, before = random.Random(seed), digests(run)
    files = sorted(p for p in run.rglob("*") if p.is_file() and not {".lease", ".redo"} & set(p.parts))
    files.remove(run / "README.md")  # whoever's who changes it
    kinds: dict[str, list[Path]] = {}  # as likely each, however many files there are of one
    for path in files:
        kinds.setdefault(re.sub(r"\d+", "N", str(path.relative_to(run))), []).append(path)
    found: Counter[str] = Counter()
    for _ in range(count):
        path = rng.choice(kinds[rng.choice(sorted(kinds))])
        bit = rng.randrange(8 * path.stat().st_size)
        inputs.forget()
        reading = reader(run, name := str(path.relative_to(run)))
        again = stage_run(run, stage, "no") if (stage := name.partition("/")[0]) in MADE else None
        flip(path, bit)
        try:
            found += _found(run, name, reading, again, before)
        finally:
            flip(path, bit)
    inputs.forget()
    assert digests(run) == before
    assert all(v.good for v in verdicts(Run(str(run)), MADE))
    return found


def test_a_few_flipped_bits(finished: Path) -> None:
    found = flips(finished, 30, seed=1)
    assert found["verify"] == 30
    assert found["its reader"] >= 10


@pytest.mark.soak
def test_two_hundred_flipped_bits(finished: Path) -> None:
    found = flips(finished, 200, seed=2)
    assert found["verify"] == 200
    assert found["its reader"] >= 80


def test_what_cannot_be_made_again_is_said(tiny: Tiny, finished: Path) -> None:
    """Of a training's curve and its checkpoints; the rest is mended."""
    before = digests(finished)
    names = ["train/metrics.jsonl", "train/checkpoints/step_00000002/config.json", "embed/part-00001.parquet"]
    for name in names:
        flip(finished / name, 100)
    done = tiny.siglino("verify", str(finished), "--mend")
    assert done.returncode == 1
    assert f"{finished}/train/metrics.jsonl cannot be made again: it told how the training went" in done.stdout
    assert "step_00000002/config.json cannot be made again: it is part of a checkpoint, and only a new" in done.stdout
    assert "The student is made already." in done.stdout
    assert done.stdout.endswith("\nDamaged: train.\n")
    for name in names[:2]:
        flip(finished / name, 100)
    assert tiny.siglino("verify", str(finished)).returncode == 0
    assert digests(finished) == before
    assert Files(str(finished)).read_record("curate.json")
