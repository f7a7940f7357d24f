"""`siglino doctor`: does this machine, and the run's store, have what a run needs? Each line with its mend."""

import importlib
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from rich.console import Console
from rich.text import Text

from flows import settings
from flows.limits import require_specs
from siglino_core.config import Config, TargetsConfig
from siglino_core.config.credentials import redacted
from siglino_core.device import choose
from siglino_core.encoders.spec import KINDS
from siglino_core.errors import SiglinoError
from siglino_core.foreign import printable
from siglino_core.store import Files, Run
from siglino_core.store.files import UNFINISHED


def doctor(config: Config, console: Console) -> bool:
    """Print one line a check; True if all hold."""
    settings.apply()
    fine = True
    for name, check in _checks(config):
        try:
            console.print(_line("ok", "green", name, check()), highlight=False, soft_wrap=True)
        except Exception as e:
            fine = False
            text = " ".join(e.args) if isinstance(e, SiglinoError) else f"{type(e).__name__}: {e}"
            console.print(_line("fails", "red", name, text), highlight=False, soft_wrap=True)
    return fine


def _line(word: str, colour: str, name: str, text: str) -> Text:
    return Text.assemble("  ", (f"{word:<5}", colour), printable(f" {name}: {redacted(text)}"))


def _checks(config: Config) -> Iterator[tuple[str, Callable[[], str]]]:
    yield "device", lambda: choose(config.runtime.device, config.embed.precision.value).reason
    yield "cpus", lambda: f"{os.cpu_count()}"
    for package in ("torch", "ray", "pyarrow", "timm", "transformers", "prefect", "faiss"):
        yield package, lambda p=package: importlib.import_module(p).__version__
    yield "prefect's API", _prefect_api
    yield "encoder", lambda: _encoder(config)
    # Who only curates needs none: they are looked at once something is set for them.
    for teacher in config.targets.teachers if config.targets != TargetsConfig() else ():
        yield "teacher", lambda t=teacher: _teacher(config, t)
        if (kind := teacher.partition(":")[0]) in KINDS and KINDS[kind].reads:
            yield "texts", lambda t=teacher: _texts(t)
    if config.source.uri:
        yield "pool", lambda: _pool(config)
    yield "store", lambda: _store(Run(config.run))
    yield "disk", lambda: _disk(config.run)


def _prefect_api() -> str:
    importlib.import_module("prefect.server.api.server")
    return "imports (FastAPI is one that it works with)"


def _encoder(config: Config) -> str:
    from siglino_core.encoders.spec import Spec
    from siglino_core.networks import load_encoder

    require_specs(config, ["embed"])
    card = load_encoder(Spec.of(config.embed)).card
    return f"{config.embed.encoder}, {card.dim} wide, weights {card.identity[:12]}"


def _teacher(config: Config, teacher: str) -> str:
    from siglino_core.networks import describe

    require_specs(config, ["targets"])
    card = describe(teacher)
    return f"{teacher}, {card.dim} wide, weights {card.identity[:12]}"


def _texts(teacher: str) -> str:
    """Its text side, which evaluation needs."""
    from siglino_core.teachers.text import text_tower

    return f"{teacher}, {text_tower(teacher).dim} wide"


def _pool(config: Config) -> str:
    from pipelines import source

    return source.plan(config, {}).note


def _store(run: Run) -> str:
    """Write, list, create once, read and delete a file, as stages do."""
    files, name = Files(run.url), f".doctor-{uuid.uuid4().hex}"
    files.put(name, b"siglino")
    try:
        assert files.read(name) == b"siglino", "what was written is not what is read"
        assert not files.create(name, b"other"), "create-only writes overwrite: two runs could take each other's folder"
    finally:
        files.delete([name])
        if files.local is not None:
            for folder in (files.local / UNFINISHED, files.local):  # what is empty was not there before
                with suppress(OSError):
                    folder.rmdir()
    return f"{run.url}: writes, reads, creates once"


def _disk(url: str) -> str:
    if "://" in url:
        return "remote"
    folder = Path(url).absolute()
    while not folder.exists():
        folder = folder.parent
    return f"{shutil.disk_usage(folder).free / 1e9:.0f} GB free at {folder}"
