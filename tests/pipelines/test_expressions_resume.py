"""The expressions stage that is killed, moved or changed: the same bytes, or a sentence; nothing is read twice."""

import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from pipelines import expressions
from pipelines.expressions import units
from siglino_core.errors import ConfigError, DataError
from siglino_core.grounding.data.folder import Folder
from siglino_core.grounding.data.refer import Refer
from siglino_core.grounding.data.sets import sets_of
from siglino_core.store import Run
from tests.pictures import picture
from tests.pipelines.expressing import REFS, SCENES, coco, config, contents, made, refer, rows
from tests.refer import SIZE, file_name, write


class StoppedError(Exception):
    """The stage is killed here."""


@pytest.mark.parametrize("files", range(1, 8))
def test_killed_at_any_file_it_ends_with_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: int
) -> None:
    folders = write(tmp_path, REFS)
    sets = [SCENES, refer(folders)], [refer(folders)]
    whole, expected = made(tmp_path, *sets, run="whole")
    put, written = type(whole.stage("x").files).put_file, 0

    def stop(*args: Any) -> None:
        nonlocal written
        if written == 2 * files - 1:
            raise StoppedError
        written += 1
        put(*args)

    with monkeypatch.context() as patch:
        patch.setattr("siglino_core.store.files.Files.put_file", stop)
        with pytest.raises(StoppedError):
            made(tmp_path, *sets)
    run, result = made(tmp_path, *sets, redo="no")
    assert result.manifest.digest == expected.manifest.digest
    assert contents(run) == contents(whole)
    assert result.state == ("Resumed" if files > 1 else "Computed")
    assert made(tmp_path, *sets)[1].state == "Reused"


KILLED = """
import sys, time
from pipelines import expressions
from siglino_core.store import Run
from tests.pipelines.expressing import SCENES, config, refer
one = refer((sys.argv[1], sys.argv[2]))
left = int(sys.argv[4]) + 1  # a little beyond what is waited for, however late the kill
def tell(*told):
    global left
    print(told, flush=True)
    left -= 1
    time.sleep(0 if left else 60)
expressions.run(config([SCENES, one], [SCENES, one]), Run(sys.argv[3]), tell)
"""


@pytest.mark.slow
def test_killed_at_random_it_ends_with_the_same_digest(tmp_path: Path) -> None:
    folders = write(tmp_path, REFS)
    sets = [SCENES, refer(folders)], [SCENES, refer(folders)]
    _, wanted = made(tmp_path, *sets, run="whole")
    rng = random.Random(0)
    for lines in (1, 3, 5):  # the stage has begun, or committed some shards
        command = [sys.executable, "-c", KILLED, *folders, str(tmp_path / "run"), str(lines)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            assert all(child.stdout.readline() for _ in range(lines))
            time.sleep(rng.uniform(0.0, 0.05))
            child.kill()
    _, result = made(tmp_path, *sets)
    assert (result.state, result.manifest.digest) == ("Resumed", wanted.manifest.digest)
    assert not list((tmp_path / "run/expressions").glob(".unfinished/*"))


def test_a_lost_test_shard_is_made_again_before_training_is(tmp_path: Path) -> None:
    folders = write(tmp_path, REFS)
    sets = [coco(tmp_path, [5, 6, 9])], [refer(folders)]
    run, first = made(tmp_path, *sets)
    for name in ("index/test-0-00000", "train-0-00000"):
        (tmp_path / f"run/expressions/{name}.parquet").unlink()
    units._tested.cache_clear()
    again = made(tmp_path, *sets)[1]
    assert (again.state, again.manifest.digest) == ("Resumed", first.manifest.digest)
    assert [r.image_id for r in rows(run, "train")] == ["coco/5", "coco/6"]


def test_where_files_lie_does_not_matter_and_what_they_hold_does(tmp_path: Path) -> None:
    digests = set()
    for place in ("here", "there"):
        _, result = made(tmp_path / place, [refer(write(tmp_path / place, REFS))])
        digests.add((result.manifest.digest, result.manifest.fingerprint))
    assert len(digests) == 1
    folders = write(tmp_path / "there", REFS)
    assert made(tmp_path / "there", [refer(folders)])[1].state == "Reused"
    (tmp_path / "there/images/train2014" / file_name(7)).write_bytes(picture(99, size=SIZE))
    with pytest.raises(ConfigError, match=r"train\.0\.files\.images: '4 files, listing"):
        made(tmp_path / "there", [refer(folders)])
    assert made(tmp_path / "there", [refer(folders)], redo="stale")[1].manifest.rows == 3


def test_files_that_change_under_way_are_noticed(tmp_path: Path) -> None:
    folders = write(tmp_path, REFS)
    (one,) = sets_of([refer(folders)], train=True, seed=0)
    write(tmp_path, REFS[:3])
    with pytest.raises(DataError, match="its files have changed since the stage began"):
        units.opened(one, "of other files")


def test_annotations_are_opened_once_a_process_and_no_other_rows_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = write(tmp_path, REFS)
    opened: list[str] = []
    read: list[str] = []
    monkeypatch.setattr(Refer, "__init__", _told(Refer.__init__, opened))
    monkeypatch.setattr(Folder, "read", _told(Folder.read, read))
    run, _ = made(tmp_path, [refer(folders)])
    assert len(run.stage("expressions").shards()) == 2
    assert len(opened) == 2  # to plan, and to read
    assert len(read) == 3


def _told(do: Any, told: list[str]) -> Any:
    def doing(*args: Any, **named: Any) -> Any:
        told.append(str(args[1]))
        return do(*args, **named)

    return doing


def test_progress_counts_every_shard(tmp_path: Path) -> None:
    said: list[tuple[str, int, int]] = []
    expressions.run(config([SCENES]), Run(str(tmp_path / "run")), lambda *a: said.append(a[:3]))
    assert said == [("expressions", i, 4) for i in range(5)]
