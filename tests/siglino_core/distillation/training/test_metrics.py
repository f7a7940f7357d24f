"""metrics.jsonl: a line a step, rewound on resume, on a disk and on an object store; TensorBoard takes the same."""

from pathlib import Path

import pytest

from siglino_core.config import Tracker
from siglino_core.distillation.training.metrics import NAME, JsonLines, read, sinks
from siglino_core.errors import ConfigError
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
