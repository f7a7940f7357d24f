"""`siglino reproduce`: measure a published figure by its own protocol, and say whether ours is the same."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console

from flows.config import quoted
from flows.screen import say
from siglino_core.config import DatasetConfig, ModelConfig, Task, did_you_mean, to_dict
from siglino_core.errors import ConfigError, DataError
from siglino_core.evaluation.data.recipe import load_recipe, recipes
from siglino_core.evaluation.reference import Reference, Verdict, judge, load_reference, references
from siglino_core.evaluation.results.folder import Evaluation
from siglino_core.evaluation.results.result import Result
from siglino_core.store import Run

FILE = "references.json"
LEARNS = (Task.KNN, Task.LOGISTIC, Task.RIDGE, Task.SEGMENTATION)
OF_MODEL = ("network", "weights", "texts", "fit", "image_size", "min_pixels", "max_pixels")
OF_DATA = (
    "uri", "train", "annotations", "train_annotations", "masks", "train_masks", "classes", "layout", "format",
    "label_column", "caption_column", "label_folder", "cleaning", "limit",
)  # fmt: skip
REPRODUCED, NOT_REPRODUCED, NOT_COMPARABLE = 0, 1, 2  # exit codes


def evaluate_words(words: Sequence[str]) -> tuple[Reference, list[str]]:
    """The reference that is asked for, and the words of ``siglino evaluate`` that measure it.

    Args:
        words: the reference's name or TOML file; then ``network=``, ``uri=`` and others of ``OF_MODEL`` and
            ``OF_DATA``, which count before the reference's own; and settings as of any command.

    Raises:
        ConfigError: no name, or two; there is no such reference; or it does not say which network, or nobody where
            its images are.
    """
    names = [word for word in words if "=" not in word]
    if len(names) != 1:
        raise ConfigError(f"reproduce: {' and '.join(names) or 'nothing'} is named; name one reference")
    reference = load_reference(names[0])
    model: dict[str, Any] = {}
    data: dict[str, Any] = {}
    settings: list[str] = []
    for word in words:
        key, equals, text = word.partition("=")
        if key in OF_MODEL:
            model[key] = _value(key, text)
        elif key in OF_DATA:
            data[key] = _value(key, text)
        elif equals:
            if "." not in key and key not in ("run", "seed", "experiment"):
                known = [*OF_MODEL, *OF_DATA, "run", "seed"]
                raise ConfigError(f"reproduce: no word {key}{did_you_mean(key, known)}: {', '.join(known)}")
            settings.append(word)
    if not (data.get("uri") or data.get("annotations")):
        raise ConfigError(f"reproduce {reference.name}: where are its images? It needs {needs(reference)}: uri=FOLDER")
    network = {**to_dict(reference.model(model.get("network", ""))), **model}
    dataset = {**to_dict(reference.dataset("")), **data}
    protocol = [f"evaluate.{key}={_hydra([value] if key == 'k' else value)}" for key, value in _settings(reference)]
    if not any(word.startswith("run=") for word in settings):
        settings.insert(0, f"run=runs/{reference.name}")
    models = [_changed(network, to_dict(ModelConfig()))]
    datasets = [_changed(dataset, to_dict(DatasetConfig()))]
    asked = [f"evaluate.models={_hydra(models)}", f"evaluate.datasets={_hydra(datasets)}", *protocol]
    return reference, [*asked, *settings]


def judged(run: Run, reference: Reference, console: Console) -> int:
    """Judge a finished evaluation, write ``evaluate/references.json`` and print the verdict; the exit code.

    Raises:
        DataError: the evaluation has no result of the reference's task and data set.
    """
    stage = run.stage("evaluate")
    result = measured(reference, Evaluation.open(stage.files).results)
    verdict = judge(reference, result)
    record = [_record(reference, result, verdict)]
    stage.files.put(FILE, (json.dumps(record, indent=1) + "\n").encode())
    say(console, "", verdict.words, *(f"Note: {note}." for note in reference.notes))
    say(console, f"Written          {stage.files.url}/{FILE}")
    return NOT_COMPARABLE if verdict.differs else REPRODUCED if verdict.reproduced else NOT_REPRODUCED


def measured(reference: Reference, results: Sequence[Result]) -> Result:
    """The result to hold against a figure: of its view, if that is there, else the first of its task and data.

    Raises:
        DataError: there is none.
    """
    there = [r for r in results if not r.sanity and r.task == reference.task and r.dataset == reference.recipe]
    there = [r for r in there if reference.metric in r.metrics]
    if not there:
        asked = f"{reference.metric} of {reference.task} on {reference.recipe}"
        raise DataError(f"reference {reference.name}: the evaluation has no {asked}")
    return next((r for r in there if r.view == reference.view), there[0])


def needs(reference: Reference) -> str:
    """Which weights and data one must have, in words."""
    data = load_recipe(reference.recipe).title if reference.recipe in recipes() else reference.recipe
    learns = " and its training images" if Task(reference.task) in LEARNS else ""
    weights = [reference.network or "a network of one's own (network=module:attribute)", *reference.texts]
    return f"{' with '.join(weights)}; {data}{learns}"


def show(console: Console) -> None:
    """Print every reference: its figure, what it needs, and where it is from."""
    for name, r in references().items():
        figure = f"{r.percent:.{r.decimals}f}%"
        say(console, f"{name}: {figure} {r.metric}, {r.title}", f"  needs   {needs(r)}", f"  source  {r.source}")
        if r.contested:
            say(console, f"  but     {r.contested}")
    say(console, "", "Next: siglino reproduce NAME uri=FOLDER [train=FOLDER] [network=SPEC] [run=FOLDER]")


def _settings(reference: Reference) -> list[tuple[str, Any]]:
    """What the evaluation as a whole must be told."""
    return [(key, reference.parameters[key]) for key in ("k", "temperature") if key in reference.parameters]


def _record(reference: Reference, result: Result, verdict: Verdict) -> dict[str, Any]:
    metric = result.metrics[reference.metric]
    return {
        "reference": reference.name,
        "title": reference.title,
        "source": reference.source,
        "contested": reference.contested,
        "published": reference.percent,
        "metric": reference.metric,
        "network": result.network,
        "view": result.view,
        "measured": {key: value for key, value in asdict(metric).items() if value is not None},
        "hashes": dict(result.hashes),
        **asdict(verdict),
    }


def _value(key: str, text: str) -> Any:
    """A word's value as the config has it."""
    if key == "texts":
        return [item.strip() for item in text.removeprefix("[").removesuffix("]").split(",") if item.strip()]
    return int(text) if text.isascii() and text.isdigit() else text


def _changed(values: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value != defaults[key]}


def _hydra(value: Any) -> str:
    """A value in Hydra's grammar."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{_hydra(v)}" for key, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_hydra, value)) + "]"
    return quoted(value) if isinstance(value, str) else json.dumps(value)
