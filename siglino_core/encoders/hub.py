"""A checkpoint's folder: a local one, or one of the hub, which is fetched first or found in the hub's cache."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from siglino_core.encoders.published import PUBLISHED
from siglino_core.errors import ConfigError
from siglino_core.hashing import files_hash

FILES = ("config.json", "model.safetensors", "model-*.safetensors", "model.safetensors.index.json")


class Checkpoint:
    """Weights and configuration as transformers writes them; safetensors alone, no code of the checkpoint's.

    Args:
        source: folder or hub id.
        asked: what the user wrote, for messages.
        kinds: the ``model_type`` it may have.
        files: what is fetched of it.

    Raises:
        ConfigError: it cannot be had, or is another model's.
    """

    def __init__(self, source: str, asked: str, *kinds: str, files: tuple[str, ...] = FILES) -> None:
        self._asked = asked
        self.folder = fetched(source, files, self.unusable)
        self.config = self._read()
        kind = self.config.get("model_type")
        if kind not in kinds:
            raise ConfigError(f"{asked}: this is a {kind}, not a {' or '.join(kinds)}")

    @property
    def identity(self) -> str:
        """A hash of the configuration's and the weights' bytes."""
        weights = sorted(self.folder.glob("model*.safetensors"))
        if not weights:
            raise self.unusable("model.safetensors is missing (other formats are not read).")
        return files_hash([self.folder / "config.json", *weights])

    def load(self, cls: Any, dtype: Any = None) -> Any:
        """The weights in transformers' class ``cls``.

        Raises:
            ConfigError: they cannot be read, or some are missing, which transformers would draw at random.
        """
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()  # it would draw into the run's own display
        try:
            model, info = cls.from_pretrained(self.folder, use_safetensors=True, dtype=dtype, output_loading_info=True)
        except Exception as e:  # transformers, safetensors and torch each raise their own
            raise self.unusable(f"{type(e).__name__}: {' '.join(str(e).split())[:300]}") from e
        if missing := sorted(info["missing_keys"]):
            raise self.unusable(f"its weights lack {missing[0]} and {len(missing) - 1} more.")
        return model

    def unusable(self, why: str) -> ConfigError:
        return ConfigError(
            f"{self._asked}: {why} Give a local folder with config.json and model.safetensors, or log in to the hub."
        )

    def _read(self) -> dict[str, Any]:
        try:
            config = json.loads((self.folder / "config.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as e:
            raise self.unusable(f"config.json cannot be read ({e}).") from e
        return config if isinstance(config, dict) else {}


def config_of(source: str, asked: str, *kinds: str) -> dict[str, Any]:
    """A checkpoint's configuration without its weights: a published one's is known, others' is read or fetched.

    Raises:
        ConfigError: as :class:`Checkpoint`.
    """
    if source in PUBLISHED and PUBLISHED[source]["model_type"] in kinds and not Path(source).is_dir():
        return PUBLISHED[source]
    return Checkpoint(source, asked, *kinds, files=("config.json",)).config


def fetched(source: str, files: tuple[str, ...], unusable: Callable[[str], ConfigError]) -> Path:
    """The folder of a hub's repository, or the local one of that name.

    Args:
        files: patterns of those that are fetched.
        unusable: makes the error from what the hub says.
    """
    if Path(source).is_dir():
        return Path(source)
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(source, allow_patterns=list(files)))
    except Exception as e:  # no such id, no access, no network: the hub's own errors, httpx's, OSError
        raise unusable(str(e).splitlines()[0] if str(e) else type(e).__name__) from e
