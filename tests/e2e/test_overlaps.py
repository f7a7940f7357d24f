"""Two commands on one run at random moments: one works, the other is refused by its name, or waits for nothing."""

import random
import re
import shutil
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.e2e.test_train_kills import Ground, ground
from tests.e2e.tiny import STAGES, Tiny, digests, leftovers, one_message

__all__ = ["ground"]
pytestmark = [pytest.mark.storm, pytest.mark.timeout(2400)]

OVERLAPS = 20
OWNER = re.compile(r"process \d+ on \S+ \(since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC\)")


def test_of_two_one_works_and_the_other_is_refused(
    tiny: Tiny, undisturbed: Path, ground: Ground, tmp_path: Path
) -> None:
    rng, seen = random.Random(11), Counter[str]()
    trained = ground.run("overlapping")
    changes = {"runtime__runner": "local", "train__ranks": 1}
    ground.train(trained, **changes)
    student = digests(trained, "train")
    shutil.rmtree(trained / "train")
    for i in range(OVERLAPS):
        run = tmp_path / f"run-{i}"
        if rng.random() < 0.3:
            shutil.copytree(trained, run)
            commands = [ground.words(run, **changes)] * 2
            stages, expected = ("train",), student
        else:
            begun = rng.random() < 0.5
            if begun:
                shutil.copytree(undisturbed, run)
            redo = ["--redo", rng.choice(STAGES)] if begun else []
            commands = [["curate", *redo, *tiny.words(run)], ["curate", *tiny.words(run)]]
            commands = commands if begun else [commands[0]] * 2
            stages, expected = STAGES, digests(undisturbed)
        with tiny.start(*commands[0], log=tmp_path / f"{i}-0.log") as first:
            time.sleep(rng.uniform(0, 6))
            with tiny.start(*commands[1], log=tmp_path / f"{i}-1.log") as second:
                if rng.random() < 0.3:
                    time.sleep(rng.uniform(1, 4))
                    first.kill()
                    seen["the owner was killed"] += 1
                texts, codes = [], []
                for started in (first, second):
                    code, text = started.wait()
                    codes.append(code)
                    texts.append(text)
        assert 0 in codes or codes[0] == -9, texts
        for code, text in zip(codes, texts, strict=True):
            if code not in (0, -9):
                one_message(text)
                assert OWNER.search(text), text
                seen["refused"] += 1
        done = tiny.siglino(*commands[1])
        assert done.returncode == 0, done.stderr
        assert digests(run, *stages) == expected
        assert leftovers(run) == []
        shutil.rmtree(run)
    print(dict(seen))
    assert seen["refused"] >= OVERLAPS // 4, "they must meet"
