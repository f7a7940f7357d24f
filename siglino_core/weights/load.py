"""A student from any of the forms in which its weights come: a folder, a flat file, a training checkpoint."""

import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from logging import CRITICAL
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers.utils import logging

from siglino_core.errors import ConfigError, DataError
from siglino_core.models.config import PRESETS, SigLinoConfig
from siglino_core.models.encoder import SigLino
from siglino_core.models.hf import SigLinoModel
from siglino_core.models.hf_config import SigLinoHFConfig
from siglino_core.models.processor import SigLinoImageProcessor
from siglino_core.weights.source import local
from siglino_core.weights.sums import require_as_exported

CONFIG = "config.json"
MOST_LAYERS = 1000  # of a model that could be one


def load_student(source: str, like: str | None = None) -> SigLinoModel:
    """The model, in fp32, for inference.

    Args:
        source: a folder with ``config.json`` and ``model.safetensors``, a training checkpoint's folder, a flat
            ``.safetensors`` or ``.pt`` file, the URL of one of these, or a hub id.
        like: which configuration a flat file is of: a name, or a ``config.json``. Left out, it is told by the shapes.

    Raises:
        ConfigError: there is nothing of the kind, or a file's configuration must be named.
        DataError: what is there is damaged, or of another model.
    """
    from siglino_core.weights.checkpoint import METADATA, weights

    with local(source) as path:
        if (path / METADATA).is_file():
            state = weights(path)  # first: it looks at all of the checkpoint's bytes
            return _filled(_config(path / "config.json"), state, source)
        if path.is_dir() and not (path / "config.json").is_file():
            raise ConfigError(f"{source}: neither an exported model (config.json is missing) nor a training checkpoint")
        if path.is_file():
            state = _flat(path)
            return _filled(_named(like) if like else _matching(state, source), state, source)
        return _pretrained(path, source)


def shape_of(source: str) -> SigLinoConfig:
    """The student's shape without its weights: from its config.json, or from the shapes in a flat file.

    Raises:
        ConfigError, DataError: as :func:`load_student`.
    """
    with local(source, CONFIG) as path:
        if path.is_file():
            return _matching(_flat(path), source).spec()
        if not (path / CONFIG).is_file():
            raise ConfigError(f"{source}: no student: there is no {CONFIG}")
        return _config(path / CONFIG).spec()


def load_processor(source: str, model: SigLinoModel) -> SigLinoImageProcessor:
    """The image processor that lies beside a model's weights; the default one for weights that come without.

    Raises:
        DataError: it cannot be read.
    """
    with local(source) as path:
        if not (path / "preprocessor_config.json").is_file():
            return SigLinoImageProcessor(patch_size=model.spec.patch_size)
        try:
            return SigLinoImageProcessor.from_pretrained(path)
        except Exception as e:  # as for the model
            raise DataError(f"{source}: no readable preprocessor_config.json: {' '.join(str(e).split())[:300]}") from e


def _pretrained(folder: Path, source: str) -> SigLinoModel:
    require_as_exported(folder, source)
    config = _config(folder / "config.json")  # another model's would be taken for a SigLino's with the defaults
    if shapes := shapes_of_folder(folder):
        require_fits(lambda: SigLino(config.spec()), shapes, source)
    logging.disable_progress_bar()  # it would draw into the command's own display
    verbosity = logging.get_verbosity()
    logging.set_verbosity(CRITICAL)  # what is wrong is in our error; their report takes a page
    try:
        model = SigLinoModel.from_pretrained(
            folder, dtype=torch.float32, use_safetensors=True, ignore_mismatched_sizes=True
        )  # not ignored: our class refuses them itself, and names them
    except Exception as e:  # transformers, safetensors and torch each raise their own
        raise DataError(f"{source}: {type(e).__name__}: {' '.join(str(e).split())[:300]}") from e
    finally:
        logging.set_verbosity(verbosity)
    return model.eval()


def _flat(path: Path) -> dict[str, Tensor]:
    if path.suffix != ".safetensors" and not zipfile.is_zipfile(path):
        raise DataError(f"{path}: no weights: neither a .safetensors file nor one that torch.save wrote")
    try:
        if path.suffix == ".safetensors":
            return _unwrapped(load_file(path))
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (SafetensorError, OSError, RuntimeError, ValueError, EOFError) as e:
        raise DataError(f"{path}: no readable weights ({type(e).__name__}: {' '.join(str(e).split())[:200]})") from e
    except Exception as e:  # an unpickler's, which refuses code; its text recommends to allow it
        raise DataError(f"{path}: not a file of tensors alone, and nothing else is loaded ({type(e).__name__})") from e
    if not isinstance(state, Mapping) or not all(isinstance(v, Tensor) for v in state.values()):
        raise DataError(f"{path}: not a flat state dict (names to tensors)")
    return _unwrapped(dict(state))


def _unwrapped(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Without what DistributedDataParallel and torch.compile put before every name."""
    for wrapper in ("module.", "_orig_mod."):
        if state and all(name.startswith(wrapper) for name in state):
            return _unwrapped({name.removeprefix(wrapper): tensor for name, tensor in state.items()})
    return state


def _matching(state: dict[str, Tensor], source: str) -> SigLinoHFConfig:
    shapes = {k: v.shape for k, v in state.items()}
    names = []
    for name, config in PRESETS.items():
        with torch.device("meta"):
            if {k: v.shape for k, v in SigLino(config).state_dict().items()} == shapes:
                names.append(name)
    if len(names) == 1:
        return SigLinoHFConfig.of(PRESETS[names[0]])
    why = "its shapes are those of no named configuration" if not names else f"it may be {' or '.join(names)}"
    raise ConfigError(f"{source}: {why}. Say which it is: --like NAME, or --like path/to/config.json")


def _named(like: str) -> SigLinoHFConfig:
    if like in PRESETS:
        return SigLinoHFConfig.of(PRESETS[like])
    if not Path(like).is_file():
        raise ConfigError(f"--like {like}: neither a file nor one of {', '.join(PRESETS)}")
    return _config(Path(like))


def _config(path: Path) -> SigLinoHFConfig:
    try:
        values: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as e:
        raise DataError(f"{path} cannot be read ({e}). Export the model again, or take another.") from e
    kind = values.get("model_type") if isinstance(values, dict) else None
    if kind != "siglino":
        raise DataError(f"{path}: this is a {kind}, not a siglino")
    try:
        config = SigLinoHFConfig.from_dict(values)
        if not 1 <= config.n_layers <= MOST_LAYERS:  # each would be built before its weights are missed
            raise ValueError(f"n_layers={config.n_layers}: 1 to {MOST_LAYERS}")
        config.spec()
    except Exception as e:  # transformers' own, and whatever a wrong type leads to
        raise DataError(f"{path}: no model's config: {type(e).__name__}: {' '.join(str(e).split())[:300]}") from e
    return config


def require_fits(make: Callable[[], nn.Module], shapes: Mapping[str, Sequence[int]], source: str) -> None:
    """Refuse weights of other shapes before any memory is asked for by the config.

    Args:
        make: the model, as its config has it; it is made without memory.

    Raises:
        DataError: they are; it names the first.
    """
    try:
        with torch.device("meta"):
            wanted = {name: tuple(t.shape) for name, t in make().state_dict().items()}
    except Exception as e:  # of numbers that no tensor can have, torch has many opinions
        raise DataError(f"{source}: no model can be made of its config: {' '.join(str(e).split())[:300]}") from e
    found = {name: tuple(shape) for name, shape in shapes.items()}
    wrong = sorted(n for n in wanted.keys() | found.keys() if wanted.get(n) != found.get(n))
    if wrong:
        first = wrong[0]
        raise DataError(
            f"{source}: the weights don't fit the config: {first} is {_shape(found.get(first))}, and by the config "
            f"{_shape(wanted.get(first))} ({len(wrong)} in all)"
        )


def _shape(shape: tuple[int, ...] | None) -> str:
    return "missing" if shape is None else f"of shape {list(shape)}"


def shapes_of_folder(folder: Path) -> dict[str, list[int]]:
    """The shapes of a folder's weights, from the heads of its files."""
    shapes: dict[str, list[int]] = {}
    for path in sorted(folder.glob("model*.safetensors")):
        try:
            with safe_open(path, "pt") as file:
                for name in file.keys():  # noqa: SIM118
                    found = file.get_slice(name)
                    shapes[name] = found.get_shape()
                    if not str(found.get_dtype()).startswith(("F", "BF")):
                        raise DataError(
                            f"{path}: {name} is of {found.get_dtype()}, and weights are real numbers. Is it quantised?"
                        )
        except (SafetensorError, OSError, ValueError, RuntimeError) as e:
            raise DataError(
                f"{path}: no readable weights ({type(e).__name__}: {' '.join(str(e).split())[:200]})"
            ) from e
    return shapes


def _filled(config: SigLinoHFConfig, state: dict[str, Tensor], source: str) -> SigLinoModel:
    require_fits(lambda: SigLino(config.spec()), {name: t.shape for name, t in state.items()}, source)
    if odd := next((name for name, t in state.items() if not t.is_floating_point()), None):
        kind = str(state[odd].dtype).removeprefix("torch.")
        raise DataError(f"{source}: {odd} is of {kind}, and weights are real numbers. Is the file quantised?")
    try:
        model = SigLinoModel(config)
        model.load_state_dict(state, strict=True)
    except (RuntimeError, ValueError, TypeError, KeyError) as e:
        raise DataError(f"{source}: the weights don't fit the config: {' '.join(str(e).split())[:400]}") from e
    return model.eval()
