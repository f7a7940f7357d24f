"""The fine-tuned model as a folder: safetensors, its shape as JSON, the image processor, hashes and a card."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from siglino_core.errors import ConfigError, DataError
from siglino_core.grounding.answers import MOST_INSTANCES
from siglino_core.grounding.config import GroundingConfig
from siglino_core.grounding.model import GroundingModel, headless
from siglino_core.grounding.predict import THRESHOLD, Instance, Task, predict
from siglino_core.grounding.transfer import Transfer
from siglino_core.grounding.vocabulary import merges
from siglino_core.hashing import fingerprint
from siglino_core.models.config import SigLinoConfig
from siglino_core.models.processor import SigLinoImageProcessor
from siglino_core.weights import sums
from siglino_core.weights.load import MOST_LAYERS, require_fits, shapes_of_folder
from siglino_core.weights.source import local

KIND, FORMAT = "siglino_grounding", 1
CONFIG, WEIGHTS, TRANSFER, SUMS = "config.json", "model.safetensors", "transfer.json", sums.SUMS
CARD = """---
library_name: siglino
pipeline_tag: object-detection
---
# {name}

Boxes and masks for what a text refers to in an image: {source}.

```python
from siglino_core.grounding.folder import load_grounding

model = load_grounding("{name}")
found = model.predict("image.jpg", ["the red bird on the left"], task="mask")
```

{parameters:,} parameters. Images of up to {max_pixels:,} pixels; larger ones are scaled down. A score orders
instances and is no chance. What it was trained on, and what it is worth, its run's `grounding.html` says.
"""


@dataclass(frozen=True, eq=False)
class Grounded:
    """A fine-tuned model with the processor of its images.

    Attributes:
        most: instances of an expression that it learnt, at most.
    """

    model: GroundingModel
    processor: SigLinoImageProcessor
    most: int

    def predict(
        self, image: Any, queries: Sequence[str], task: Task = "box", *, forced: bool = False, most: int | None = None
    ) -> list[list[Instance]]:
        """What each expression refers to; arguments and errors as of `siglino_core.grounding.predict.predict`."""
        most = self.most if most is None else most
        return predict(self.model, image, queries, task, processor=self.processor, forced=forced, most=most)


@cache
def vocabulary_hash() -> str:
    """Of the text's tokens: a model reads with the vocabulary that it learnt with."""
    return fingerprint([list(pair) for pair in merges()])[:16]


def config_json(
    config: GroundingConfig, *, min_pixels: int, max_pixels: int, most: int = MOST_INSTANCES, student: str = ""
) -> dict[str, Any]:
    """What `config.json` says.

    Args:
        student: the identity of the weights that it began from.
    """
    shape = {f.name: getattr(config, f.name) for f in fields(config) if f.name != "student"}
    return {
        "model_type": KIND,
        "format": FORMAT,
        "student": {k: v for k, v in asdict(config.student).items() if k != "teachers"},
        "shape": shape,
        "min_pixels": min_pixels,
        "max_pixels": max_pixels,
        "most_instances": most,
        "mask_threshold": THRESHOLD,
        "vocabulary": vocabulary_hash(),
        "began_from": student,
    }


def write(folder: Path, state: Mapping[str, Tensor], said: Mapping[str, Any], moved: Transfer, *, source: str) -> None:
    """Fill an empty folder with the model.

    Args:
        said: of :func:`config_json`.
        moved: what became of the student's keys.
        source: one line: from which student, by what.
    """
    save_file(dict(state), folder / WEIGHTS, metadata={"format": "pt"})
    (folder / WEIGHTS).chmod((folder / WEIGHTS).parent.stat().st_mode & 0o666)  # safetensors lets the owner alone read
    _write_json(folder / CONFIG, said)
    _write_json(folder / TRANSFER, {name: sorted(keys) for name, keys in asdict(moved).items()})
    _processor(said).save_pretrained(folder)
    parameters = sum(t.numel() for t in state.values())
    card = CARD.format(name=folder.name, source=source, parameters=parameters, max_pixels=said["max_pixels"])
    (folder / "README.md").write_text(card, encoding="utf-8")
    sums.write(folder)


def load_grounding(source: str) -> Grounded:
    """A fine-tuned model, in fp32, for inference on the CPU.

    Args:
        source: its folder, the folder's URL, or a hub id.

    Raises:
        ConfigError: there is nothing of the kind, or it is a student that was never fine-tuned.
        DataError: what is there is damaged, or reads with another vocabulary.
    """
    with local(source) as path:
        if not (path / CONFIG).is_file():
            raise ConfigError(f"{source}: no model for grounding: there is no {CONFIG}")
        said = _read_json(path / CONFIG)
        kind = said.get("model_type")
        if kind != KIND:
            raise ConfigError(f"{source}: this is a {kind}, not a {KIND}. `siglino ground` makes one from a student.")
        if said.get("format") != FORMAT or said.get("vocabulary") != vocabulary_hash():
            raise DataError(f"{source}: it was made by another version, with another format or vocabulary")
        sums.require_as_exported(path, source)
        config = _shape(said, source)
        try:
            require_fits(lambda: GroundingModel(config), shapes_of_folder(path), source)
            model = GroundingModel(config)
            model.load_state_dict(load_file(path / WEIGHTS))
            return Grounded(model.eval(), _processor(said), _most(said))
        except (OSError, KeyError, TypeError, ValueError, RuntimeError) as e:
            told = f"{type(e).__name__}: {' '.join(str(e).split())[:300]}"
            raise DataError(f"{source}: no readable model ({told})") from e


def _shape(said: Mapping[str, Any], source: str) -> GroundingConfig:
    try:
        if not 1 <= (layers := int(said["student"]["layers"])) <= MOST_LAYERS:  # each would be built first
            raise ValueError(f"layers={layers}: 1 to {MOST_LAYERS}")
        student = SigLinoConfig(**{**said["student"], "teachers": ()})
        return GroundingConfig(student=headless(student), **said["shape"])
    except (KeyError, TypeError, ValueError) as e:
        raise DataError(f"{source}: no model's config: {type(e).__name__}: {' '.join(str(e).split())[:300]}") from e


def _most(said: Mapping[str, Any]) -> int:
    if type(most := said["most_instances"]) is not int or most < 1:
        raise ValueError(f"most_instances={most!r}: 1 or more")
    return most


def _processor(said: Mapping[str, Any]) -> SigLinoImageProcessor:
    return SigLinoImageProcessor(
        patch_size=said["student"]["patch_size"], min_pixels=said["min_pixels"], max_pixels=said["max_pixels"]
    )


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        found: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as e:
        raise DataError(f"{path} cannot be read ({e}). Make the model again, or take another.") from e
    return found if isinstance(found, dict) else {}
