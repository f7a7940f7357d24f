"""A pool, an encoder and a run small enough to be done again and again, and the command line that does it."""

import contextlib
import hashlib
import io
import os
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pytest
import s3fs
from PIL import Image, ImageDraw

from flows.cli import main
from siglino_core.store import Run
from tests.pictures import broken, encode
from tests.pools import parquet_file

ROOT = Path(__file__).resolve().parents[2]
STAGES = ("source", "embed", "cluster", "sample")  # whose bytes depend on nothing but the config and the pool
CLASSES = ("disc", "square", "stripes", "rings", "checks", "slope")
ROWS_PER_SHARD = 24
TARGET = 60
MARK = "SIGLINO_TEST_MARK"  # in the environment of everything that a test starts, so that it can be found


@dataclass(frozen=True, kw_only=True)
class Pool:
    """A pool on disk, and what is true of it."""

    folder: Path
    rows: int
    exact_duplicates: int
    rejects: Counter[str]
    broken_keys: set[str]

    @property
    def usable(self) -> int:
        return self.rows - self.rejects.total()


def write_pool(folder: Path) -> Pool:
    """About 260 images in two Parquet files: six classes, exact and near duplicates, and eight broken files."""
    rows: list[dict[str, Any]] = []

    def add(key: str, data: bytes, label: str) -> None:
        rows.append({"key": key, "image": data, "caption": f"{key}: a {label}", "label": label})

    for i in range(232):
        label = CLASSES[min(i % 11, len(CLASSES) - 1)]  # the last class is six times as frequent as the others
        add(f"{label}-{i:03d}", encode(drawing(label, i), "png" if i % 3 else "jpeg"), label)
    for i in range(12):
        label = rows[i * 7]["label"]
        add(f"near-{i:02d}", encode(drawing(label, i * 7), "jpeg", quality=88), label)
    for i in range(10):
        add(f"copy-{i:02d}", rows[i * 11]["image"], rows[i * 11]["label"])
    bad = broken()
    for i, (key, (data, _)) in enumerate(sorted(bad.items())):
        rows.insert(17 + i * 30, {"key": f"broken-{key}", "image": data, "caption": "", "label": "disc"})
    half = len(rows) // 2
    for i, part in enumerate((rows[:half], rows[half:])):
        columns = {name: [r[name] for r in part] for name in ("key", "image", "caption", "label")}
        columns["image"] = pa.array(columns["image"], pa.binary())
        parquet_file(folder / f"{i:02d}.parquet", columns, row_group_size=ROWS_PER_SHARD)
    return Pool(
        folder=folder,
        rows=len(rows),
        exact_duplicates=10,
        rejects=Counter(reason for _, reason in bad.values()),
        broken_keys={f"broken-{key}" for key in bad},
    )


def drawing(label: str, seed: int) -> Image.Image:
    """A picture of a class: its shape is the class's, its colours, place and size are its own."""
    rng = np.random.default_rng(seed)
    size = int(rng.integers(48, 97))
    paper, ink = (tuple(int(v) for v in rng.integers(low, low + 90, 3)) for low in (160, 0))
    im = Image.new("RGB", (size, size), paper)
    draw, x, y = ImageDraw.Draw(im), *(int(v) for v in rng.integers(0, size // 3, 2))
    r, step = size // 2, int(rng.integers(4, 12))
    match label:
        case "disc":
            draw.ellipse((x, y, x + r, y + r), fill=ink)
        case "square":
            draw.rectangle((x, y, x + r, y + r), fill=ink)
        case "stripes":
            for at in range(x % step, size, 2 * step):
                draw.rectangle((at, 0, at + step, size), fill=ink)
        case "rings":
            for inset in range(0, r // 2, step):
                draw.ellipse((x + inset, y + inset, x + r - inset, y + r - inset), outline=ink, width=2)
        case "checks":
            for i in range(0, size, step):
                for j in range((i // step % 2) * step, size, 2 * step):
                    draw.rectangle((i, j, i + step - 1, j + step - 1), fill=ink)
        case _:
            ramp = np.linspace(0, 1, size)[:, None, None] * np.ones((1, size, 1))
            im = Image.fromarray((np.array(paper) * (1 - ramp) + np.array(ink) * ramp).astype(np.uint8))
            im = im.rotate(int(rng.integers(0, 4)) * 90)
    return im


def write_encoder(folder: Path) -> Path:
    """A DINOv3 of two layers with random weights, as transformers writes it."""
    import torch
    from transformers import DINOv3ViTConfig, DINOv3ViTModel

    torch.manual_seed(0)
    config = DINOv3ViTConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        patch_size=16,
        image_size=32,
        num_register_tokens=1,
        initializer_range=0.3,
    )
    DINOv3ViTModel(config).save_pretrained(folder, safe_serialization=True)
    return folder


@dataclass(frozen=True, kw_only=True)
class Tiny:
    """The pool, the encoder, and a command line with a Prefect of its own.

    Attributes:
        home: working directory, and Prefect's home.
    """

    pool: Pool
    encoder: Path
    home: Path

    def words(self, run: str | Path, *more: str, runner: str = "local") -> list[str]:
        """The settings of a run; later words win."""
        chosen = {
            "run": str(run),
            "source.uri": str(self.pool.folder),
            "source.rows_per_shard": str(ROWS_PER_SHARD),
            "embed.encoder": f"dinov3:{self.encoder}",
            "embed.image_size": "32",
            "embed.pooling": "mean",
            "cluster.num_clusters": "[24,6]",
            "cluster.iterations": "2",
            "cluster.resampling": "1",
            "sample.target_size": str(TARGET),
            "sample.near_duplicate": "0.99",
            "report.map_points": "0",  # scikit-learn takes seconds; the README's run draws its map
            "runtime.runner": runner,
            "runtime.cpus": "2",
        }
        chosen |= dict(word.split("=", 1) for word in more)
        return [f"{key}={value}" for key, value in chosen.items()]

    def env(self, **more: str) -> dict[str, str]:
        """What a child process sees: this code, no settings of the machine's Prefect, Ray or S3; "" unsets."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "RAY_", "AWS_", "COVERAGE_"))}
        env = {
            **kept,
            "PYTHONPATH": str(ROOT),
            "PREFECT_HOME": str(self.home),
            "PREFECT_PLUGINS_ENABLED": "false",
            "AWS_EC2_METADATA_DISABLED": "true",
            "HF_HUB_OFFLINE": "1",
            "NO_PROXY": "127.0.0.1,localhost",
            "no_proxy": "127.0.0.1,localhost",
            "COLUMNS": "200",
            **more,
        }
        return {key: value for key, value in env.items() if value}

    @contextmanager
    def start(
        self, *args: str, log: Path, err: Path | None = None, env: dict[str, str] | None = None, **popen: Any
    ) -> Iterator["Started"]:
        """`siglino ARGS` in a session of its own; when the block ends nothing of it is left.

        Args:
            err: of what it says on stderr; None: that is in ``log``.
        """
        mark = uuid.uuid4().hex
        with log.open("wb") as out, (err or log).open("ab") as errors:
            process = subprocess.Popen(
                [sys.executable, "-m", "flows.cli", *args],
                cwd=self.home,
                env={**self.env(**(env or {})), MARK: mark},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=errors if err else subprocess.STDOUT,
                start_new_session=True,
                **popen,
            )
        started = Started(process, mark, log)
        try:
            yield started
        finally:
            started.kill()

    def siglino(self, *args: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """`siglino ARGS` to its end, in this process: exit code, stdout, stderr.

        A process of its own would import torch for two seconds and find nothing else; what is killed has one (`start`).
        """
        out, err = io.StringIO(), io.StringIO()
        with (
            pytest.MonkeyPatch.context() as patch,
            contextlib.chdir(self.home),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            patch.setattr(os, "environ", os.environ.copy())  # the command sets defaults
            os.environ.clear()
            os.environ.update(self.env(**(env or {})))
            s3fs.S3FileSystem.clear_instance_cache()  # a client keeps the server that it first saw
            try:
                code = main(args)
            except SystemExit as e:
                code = int(e.code or 0)
        s3fs.S3FileSystem.clear_instance_cache()
        return subprocess.CompletedProcess(args, code, out.getvalue(), err.getvalue())

    def run(self, run: str | Path, *more: str, runner: str = "local", **options: Any) -> str:
        """A run to its good end; returns what it printed."""
        flags = [m for m in more if m.startswith("--")]
        settings = [m for m in more if not m.startswith("--")]
        words = ["curate", *flags, *self.words(run, *settings, runner=runner)]
        done = self.siglino(*words, **options)
        assert done.returncode == 0, f"exit {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout


@dataclass(frozen=True)
class Started:
    """A command that is under way."""

    process: subprocess.Popen[bytes]
    mark: str
    log: Path

    def until(self, happened: Callable[[], bool], *, seconds: float = 120) -> bool:
        """Wait for a condition; False if the command ended first. AssertionError after ``seconds``."""
        deadline = time.monotonic() + seconds
        while not happened():
            if self.process.poll() is not None:
                return happened()
            assert time.monotonic() < deadline, f"it did not happen in {seconds} s:\n{self.log.read_text()[-4000:]}"
            time.sleep(0.01)
        return True

    def kill_when(self, happened: Callable[[], bool], *, seconds: float = 120) -> bool:
        """SIGKILL the family when a condition holds; False if the command ended first.

        The condition is looked at while the process stands still: what it saw is what the kill leaves. Of a run on
        Ray only the driver stands still.
        """
        deadline = time.monotonic() + seconds
        while self.process.poll() is None:
            assert time.monotonic() < deadline, f"it did not happen in {seconds} s:\n{self.log.read_text()[-4000:]}"
            os.kill(self.process.pid, signal.SIGSTOP)
            if happened():
                self.kill()
                return True
            os.kill(self.process.pid, signal.SIGCONT)
            time.sleep(0.1)  # more than a look takes, or it would stand still most of the time
        return False

    def wait(self, seconds: float = 240) -> tuple[int, str]:
        """The exit code and all that was printed."""
        return self.process.wait(seconds), self.log.read_text(errors="replace")

    def family(self) -> list[psutil.Process]:
        """Everything alive that descends from the command, also what has left its session."""
        return marked(self.mark)

    def kill(self) -> None:
        """SIGKILL to the whole family at once, as when a machine loses its power."""
        with suppress(ProcessLookupError):
            os.kill(self.process.pid, signal.SIGSTOP)  # so that it starts nothing new meanwhile
        with suppress(psutil.NoSuchProcess):
            for child in psutil.Process(self.process.pid).children(recursive=True):
                with suppress(psutil.NoSuchProcess):
                    child.kill()
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(30)
        kill_marked(self.mark)


def marked(mark: str) -> list[psutil.Process]:
    """The live processes that inherited a mark."""
    found = []
    for process in psutil.process_iter(["status"]):
        with suppress(psutil.Error, OSError):
            if process.info["status"] != psutil.STATUS_ZOMBIE and process.environ().get(MARK) == mark:
                found.append(process)
    return found


def kill_marked(mark: str, seconds: float = 30) -> None:
    """SIGKILL whatever bears the mark until nothing does."""
    deadline = time.monotonic() + seconds
    while alive := marked(mark):
        assert time.monotonic() < deadline, f"these cannot be killed: {alive}"
        for process in alive:
            with suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(alive, timeout=5)


def digests(run: str | Path, *stages: str) -> dict[str, str]:
    """The digests of stages, if none are named of all whose bytes are determined."""
    return {name: Run(str(run)).stage(name).require().digest for name in stages or STAGES}


def contents(run: Path) -> dict[str, str]:
    """SHA-256 of every data file of those stages; manifests, commits and the dataset card tell times and paths."""
    return {
        str(path.relative_to(run)): hashlib.sha256(path.read_bytes()).hexdigest()
        for name in STAGES
        for path in sorted((run / name).rglob("*"))
        if path.is_file()
        and path.name not in ("manifest.json", "plan.json", "README.md")
        and path.parent.name != "commits"
    }


def leftovers(run: Path) -> list[str]:
    """What only the work itself needed and should be gone."""
    scratch = {".unfinished", "state", "exchange", "decisions", "picks"}
    return [str(p.relative_to(run)) for p in run.rglob("*") if scratch & set(p.relative_to(run).parts)]


def one_message(text: str, *words: str) -> None:
    """The error output is one message of ours that holds ``words``, and no traceback."""
    assert "Traceback" not in text, text
    errors = [line for line in text.splitlines() if "Error: " in line and line.partition(":")[0].isidentifier()]
    assert len(errors) == 1, text
    for word in words:
        assert word in text, f"{word!r} is not in:\n{text}"


def count(run: str | Path, prefix: Sequence[str] | str) -> int:
    """Files of a local run that are there, under a folder or with a prefix."""
    prefix = prefix if isinstance(prefix, str) else "/".join(prefix)
    return len(list(Path(run).glob(f"{prefix}*")))
