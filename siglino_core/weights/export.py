"""A student as others take it: safetensors, config, processor, code and card in one folder; programs beside them."""

import glob
import os
import shutil
import socket
import uuid
from pathlib import Path

from siglino_core.errors import ConfigError, StoreError
from siglino_core.models.hf import SigLinoModel
from siglino_core.models.processor import SigLinoImageProcessor
from siglino_core.store.files import is_running
from siglino_core.weights import sums
from siglino_core.weights.model_card import model_card
from siglino_core.weights.onnx_program import require_packages, save_onnx
from siglino_core.weights.origin import Origin
from siglino_core.weights.program import save_program
from siglino_core.weights.reload import require_same

SMALLEST = 128**2  # pixels to which smaller images are enlarged, where the bound above allows it


def export(
    model: SigLinoModel,
    out: str,
    *,
    source: str,
    max_pixels: int = 256**2,
    program: str | None = None,
    origin: Origin | None = None,
) -> list[Path]:
    """Write the folder; it appears whole, or not at all.

    Args:
        out: the folder, not there yet.
        source: where the weights came from, for the card: of a path, its last part.
        max_pixels: the processor's bound on an image's area.
        program: also write the encoder as a program: for a grid of patches (``16x16``) or for any (``dynamic``) by
            ``torch.export``, or for any by ONNX (``onnx``).
        origin: what the card says of the weights beside that; nothing if left out.

    Returns:
        The files, the largest first.

    Raises:
        ConfigError: the folder is there already, the grid can't be read, or the bound is below one patch.
        DataError: what was written loads as another model.
        StoreError: the disk refuses.
    """
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    target, grid = Path(out), _grid(program)
    if target.exists():
        raise ConfigError(f"--out {out} is there already. Take another name, or remove it.")
    if program == "onnx":
        require_packages()  # before anything is written
    if max_pixels < model.spec.patch_size**2:
        raise ConfigError(f"--max-pixels {max_pixels}: from {model.spec.patch_size**2} (one patch)")
    lowest = min(SMALLEST, max_pixels)
    processor = SigLinoImageProcessor(patch_size=model.spec.patch_size, min_pixels=lowest, max_pixels=max_pixels)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _tidy(target)
        folder = target.parent / f".{target.name},{socket.gethostname()},{os.getpid()},{uuid.uuid4().hex[:8]}"
        folder.mkdir()
        try:
            model.save_pretrained(folder)
            processor.save_pretrained(folder)
            parameters = sum(p.numel() for p in model.parameters())
            card = model_card(
                model.spec,
                processor,
                name=target.name,
                source=Path(source).name if Path(source).exists() else source,
                parameters=parameters,
                origin=origin,
            )
            (folder / "README.md").write_text(card, encoding="utf-8")
            require_same(folder, model)
            if program == "onnx":
                save_onnx(model, folder / "encoder.onnx")
            elif program:
                save_program(model, folder / f"encoder-{program}.pt2", grid)
            sums.write(folder)
            for file in folder.iterdir():  # safetensors makes files that their owner alone can read
                file.chmod(folder.stat().st_mode & 0o666)
            try:
                folder.rename(target)
            except OSError as e:
                if target.exists():  # another export was quicker
                    raise ConfigError(f"--out {out} is there already. Take another name, or remove it.") from e
                raise
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
    except OSError as e:
        raise StoreError(f"--out {out} cannot be written: {e.filename or out}: {e.strerror or e}") from e
    return sorted(target.iterdir(), key=lambda f: -f.stat().st_size)


def _tidy(target: Path) -> None:
    """Drop what killed exports of this machine left beside the folder."""
    for left in target.parent.glob(f".{glob.escape(target.name)},*,*,*"):
        host, pid = left.name.split(",")[-3:-1]
        if host == socket.gethostname() and pid.isdecimal() and not is_running(int(pid)):
            shutil.rmtree(left, ignore_errors=True)


def _grid(program: str | None) -> tuple[int, int] | None:
    if program in (None, "dynamic", "onnx"):
        return None
    rows, _, columns = program.partition("x")
    if not (rows.isdecimal() and columns.isdecimal() and int(rows) and int(columns)):
        raise ConfigError(f"--program {program}: dynamic, onnx, or a grid of patches such as 16x16")
    return int(rows), int(columns)
