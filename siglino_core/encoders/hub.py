"""A checkpoint's folder: a local one, or one of the hub, which is fetched first or found in the hub's cache."""

import json
from pathlib import Path
from typing import Any

from siglino_core.errors import ConfigError
from siglino_core.hashing import files_hash

FILES = ("config.json", "model.safetensors", "model-*.safetensors", "model.safetensors.index.json")


class Checkpoint:
    """Weights and configuration as transformers writes them; safetensors alone, no code of the checkpoint's.

    Args:
        source: folder or hub id.
        setting: what the user wrote, for messages.
        kinds: the ``model_type`` it may have.

    Raises:
        ConfigError: it cannot be had, or is another model's.
    """

    def __init__(self, source: str, setting: str, *kinds: str) -> None:
        self.setting = setting
        self.folder = self._fetched(source)
        self.config = self._read()
        kind = self.config.get("model_type")
        if kind not in kinds:
            raise ConfigError(f"{setting}: this is a {kind}, not a {' or '.join(kinds)}")

    @property
    def identity(self) -> str:
        """A hash of the configuration's and the weights' bytes."""
        weights = sorted(self.folder.glob("model*.safetensors"))
        if not weights:
            raise self.unusable("model.safetensors is missing (other formats are not read).")
        return files_hash([self.folder / "config.json", *weights])

    def load(self, cls: Any, dtype: Any = None) -> Any:
        """The weights in transformers' class ``cls``."""
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()  # it would draw into the run's own display
        try:
            return cls.from_pretrained(self.folder, use_safetensors=True, dtype=dtype)
        except Exception as e:  # transformers, safetensors and torch each raise their own
            raise self.unusable(f"{type(e).__name__}: {' '.join(str(e).split())[:300]}") from e

    def unusable(self, why: str) -> ConfigError:
        return ConfigError(
            f"{self.setting}: {why} Give a local folder with config.json and model.safetensors, or log in to the hub."
        )

    def _fetched(self, source: str) -> Path:
        if Path(source).is_dir():
            return Path(source)
        from huggingface_hub import snapshot_download

        try:
            return Path(snapshot_download(source, allow_patterns=list(FILES)))
        except Exception as e:  # no such id, no access, no network: the hub's own errors, httpx's, OSError
            raise self.unusable(str(e).splitlines()[0] if str(e) else type(e).__name__) from e

    def _read(self) -> dict[str, Any]:
        try:
            found = json.loads((self.folder / "config.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as e:
            raise self.unusable(f"config.json cannot be read ({e}).") from e
        return found if isinstance(found, dict) else {}
