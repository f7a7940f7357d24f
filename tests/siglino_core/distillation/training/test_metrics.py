"""metrics.jsonl: a line a step, rewound on resume, on a disk and on an object store; TensorBoard takes the same."""

from pathlib import Path

import pytest

from siglino_core.config import Tracker
from siglino_core.distillation.training.metrics import NAME, JsonLines, read, sinks
from siglino_core.errors import ConfigError, DamagedError
from siglino_core.store import Files


@pytest.mark.parametrize("url", ["{}", "memory://metrics{}"])
def test_rewound_on_resume(url: str, tmp_path: Path) -> None:
    files = Files(url.format(tmp_path))
    log = JsonLines(files, 0)
    for step in range(5):
        log(step, {"loss": 1.0 / (step + 1)})
    log.close()
    again = JsonLines(files, 3)
    again(3, {"loss": float("nan")})
    again.close()
    assert [line["step"] for line in read(files)] == [0, 1, 2, 3]
    assert [line["loss"] for line in read(files)][2:] == [1 / 3, None]


def test_a_line_that_was_cut_short(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(b'{"step": 0, "loss": 2.0}\n{"step": 1, "lo')
    files = Files(str(tmp_path))
    JsonLines(files, 1).close()
    assert read(files) == [{"step": 0, "loss": 2.0}]


@pytest.mark.parametrize("line", [b"\0\0\0", b"[]", b'{"loss": 1}', b"[" * 100_000, b'{"step": "1"}', b"\xff"])
def test_a_bad_line_is_named(line: bytes, tmp_path: Path) -> None:
    files = Files(str(tmp_path))
    (tmp_path / NAME).write_bytes(b'{"step": 0}\n' + line + b'\n{"step": 2}\n')
    says = r"metrics\.jsonl is damaged: line 2 is no step's\. Bring it back"
    with pytest.raises(DamagedError, match=says):
        read(files)
    with pytest.raises(DamagedError, match=says):
        JsonLines(files, 3)
    JsonLines(files, 1).close()  # what comes after the last step is dropped unread
    assert read(files) == [{"step": 0}]


def test_it_is_known_by_its_hash(tmp_path: Path) -> None:
    files = Files(str(tmp_path))
    log = JsonLines(files, 0)
    log(0, {"loss": 2.5})
    written = log.flush()
    log(1, {"loss": 1.5})
    log.close()
    whole = (tmp_path / NAME).read_bytes()
    (tmp_path / NAME).write_bytes(whole.replace(b"2.5", b"2.4"))
    with pytest.raises(DamagedError, match="it is not what step 1 left"):
        JsonLines(files, 1, written)
    with pytest.raises(DamagedError, match="it is not what the training left"):
        read(files, written)
    (tmp_path / NAME).write_bytes(b"")
    with pytest.raises(DamagedError, match="it is not what step 1 left"):
        JsonLines(files, 1, written)
    (tmp_path / NAME).write_bytes(whole)
    again = JsonLines(files, 1, written)
    again.close()
    assert read(files, written) == [{"step": 0, "loss": 2.5}]
    (tmp_path / NAME).unlink()
    assert read(files, written) == []
    JsonLines(files, 1, written).close()


def test_tensorboard(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    (board,) = sinks(Files(str(tmp_path)), 0, [Tracker.TENSORBOARD])
    board(0, {"loss": 1.5, "dinov3.patch": 0.5})
    board.close()
    data = b"".join(p.read_bytes() for p in (tmp_path / "tensorboard").iterdir())
    assert b"dinov3/patch" in data


def test_a_tracker_that_is_not_installed(tmp_path: Path) -> None:
    for tracker in (Tracker.WANDB, Tracker.MLFLOW):
        try:
            __import__(tracker.value)
        except ImportError:
            with pytest.raises(ConfigError, match=f"pip install {tracker.value}"):
                sinks(Files(str(tmp_path)), 0, [tracker])
    assert not list(tmp_path.iterdir())
