"""A redo that is stopped in any way: at every look, what stood stands, or what follows it is whole."""

import io
import random
import resource
import time
from collections import Counter
from pathlib import Path

import pytest
from rich.console import Console

from flows.verify import verify
from siglino_core.errors import SiglinoError
from siglino_core.store import Run
from tests.e2e.tiny import STAGES, Tiny, digests, leftovers, one_message

pytestmark = [pytest.mark.storm, pytest.mark.timeout(2400)]

STORMS = 50
OTHER = {  # a setting by which a redo of a stage gives other bytes
    "source": "source.min_side=17",
    "embed": "embed.image_size=48",
    "cluster": "cluster.iterations=1",
    "sample": "sample.target_size=40",
}
IMPOSSIBLE = {
    "source": "source.max_pixels=1",  # every image is a reject
    "sample": "sample.target_size=244",
    "cluster": "cluster.num_clusters=[245,6]",
}


def whole(run: Path) -> dict[str, str]:
    """The digests of the stages that are done, each of them looked at: every file as long as it is recorded."""
    found = {}
    for name in STAGES:
        stage = Run(str(run)).stage(name)
        for _ in range(20):  # the folders may change places while one looks
            manifest = stage.manifest()
            assert manifest is not None, f"{name} is not there"
            sizes = stage.files.sizes()
            try:
                recorded = {f: entry[0] for record in stage.commits().values() for f, entry in record["files"].items()}
            except SiglinoError:
                continue
            if (again := stage.manifest()) is None or again.digest != manifest.digest:
                continue
            if all(sizes.get(f) == recorded[f] for f in manifest.files):
                break
            time.sleep(0.05)
        else:
            raise AssertionError(f"{name} is not whole")
        found[name] = manifest.digest
    return found


def test_whatever_stops_a_redo_something_whole_stands(tiny: Tiny, undisturbed: Path, tmp_path: Path) -> None:
    run, rng, ways = tmp_path / "run", random.Random(7), Counter[str]()
    tiny.run(run)
    first = digests(undisturbed)
    for i in range(STORMS):
        stage = rng.choice(STAGES)
        way = rng.choice(["kill", "kill", "kill", "refused", "full"])
        if way == "refused" and stage in IMPOSSIBLE:
            before = whole(run)
            done = tiny.siglino("curate", "--redo", stage, *tiny.words(run, IMPOSSIBLE[stage]))
            assert done.returncode in (1, 2)
            one_message(done.stderr)
            assert whole(run) == before, "a refusal costs nothing"
        elif way == "full":
            way = _on_a_full_disk(tiny, run, stage, rng, tmp_path / f"{i}.log")
        else:
            way = _killed(tiny, run, stage, rng, tmp_path / f"{i}.log")
        ways[way] += 1
        assert all(v.good for v in verify(Run(str(run)), None, Console(file=io.StringIO())) if v.name in STAGES)
    print(dict(ways))
    # The report too: one that was begun for other settings waits beside the one that stands.
    tiny.run(run, *(f"--redo={stage}" for stage in (*STAGES, "report")))
    assert digests(run) == first
    assert leftovers(run) == []
    assert not list((run / ".redo").glob("*/*")), "nothing of a redo is left"


def _killed(tiny: Tiny, run: Path, stage: str, rng: random.Random, log: Path) -> str:
    words = [OTHER[stage]] if rng.random() < 0.5 else []
    with tiny.start("curate", "--redo", stage, *tiny.words(run, *words), log=log) as started:
        end = time.monotonic() + rng.uniform(1.5, 9)
        while time.monotonic() < end and started.process.poll() is None:
            whole(run)
            time.sleep(0.05)
        ended = started.process.poll() is not None
    whole(run)
    return "ended before the kill" if ended else "killed"


def _on_a_full_disk(tiny: Tiny, run: Path, stage: str, rng: random.Random, log: Path) -> str:
    """No file may become longer than a few kilobytes: what is written then fails as on a full disk."""
    limit = rng.choice([2_000, 20_000, 60_000])

    def small_files() -> None:
        import signal

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    tiny.run(run, "--redo=source")  # a redo by other settings may have come to its end before it was killed
    before = whole(run)
    with tiny.start("curate", "--redo", stage, *tiny.words(run), log=log, preexec_fn=small_files) as started:
        code, text = started.wait()
    assert "Traceback" not in text, text
    assert code == 0 or "no space left" in text, text
    assert whole(run) == before, "the same settings give the same bytes"
    return "full" if code else "ended in spite of a full disk"
