"""What every unit of work knows: it travels, and workers cache by what it makes."""

import pickle
from dataclasses import replace

from pipelines.support.work import Work
from siglino_core.config import Config
from siglino_core.store import Run


def work(url: str, fingerprint: str = "a") -> Work:
    run = Run(url)
    return Work(run=run, stage=run.stage("embed"), fingerprint=fingerprint, config=Config())


def test_it_travels_and_is_itself_again() -> None:
    one = work("runs/x")
    other = pickle.loads(pickle.dumps(one))
    assert (other, hash(other), other.stage.files.url) == (one, hash(one), one.stage.files.url)


def test_another_run_or_fingerprint_is_another() -> None:
    assert len({work("runs/x"), work("runs/x"), work("runs/y"), work("runs/x", "b")}) == 3
    assert replace(work("runs/x"), config=Config(seed=1)) == work("runs/x"), "the fingerprint says what makes the bytes"
