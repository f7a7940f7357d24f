"""The command's words: key=value, a text as it stands, and everything else by Hydra's grammar."""

import re
from dataclasses import dataclass
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from siglino_core.config import Config, did_you_mean, kinds
from siglino_core.config.credentials import redacted
from siglino_core.config.retired import retired
from siglino_core.errors import ConfigError

EXPERIMENT, RECIPE = "experiment", "recipe"
_WORD = re.compile(r"([A-Za-z_][\w.]*)=(.*)", re.DOTALL)


@dataclass(frozen=True)
class Word:
    """A setting and what it is to be."""

    key: str
    value: Any


def parse(words: list[str], experiments: list[str], recipes: list[str]) -> list[Word]:
    """The words' settings.

    Args:
        experiments: the names that ``experiment`` may have, beside files.
        recipes: those that ``recipe`` may have.

    Raises:
        ConfigError: with every fault in them at once.
    """
    known: dict[str, Any] = {**kinds(Config), EXPERIMENT: str, RECIPE: str}
    parsed: list[Word] = []
    errors: list[str] = []
    for text in words:
        try:
            word = _parsed(text, known)
        except ValueError as e:
            errors.append(str(e))
            continue
        if word.key == EXPERIMENT and not is_file(word.value) and word.value not in experiments:
            hint = did_you_mean(word.value, experiments)
            errors.append(f"experiment={word.value}: there is no such experiment{hint}: {', '.join(experiments)}")
        if word.key == RECIPE and word.value not in recipes:
            hint = did_you_mean(word.value, recipes)
            errors.append(f"recipe={word.value}: there is no such recipe{hint}: {', '.join(recipes)}")
        parsed.append(word)
    twice = [key for key in (EXPERIMENT, RECIPE) if sum(w.key == key for w in parsed) > 1]
    errors += [f"{key}= stands there more than once" for key in twice]
    if errors:
        raise ConfigError("the command does not hold:", *(f"  {error}" for error in errors))
    return parsed


def is_file(experiment: str) -> bool:
    """Whether an experiment is a YAML file of the user's own."""
    return experiment.endswith((".yaml", ".yml"))


def _parsed(text: str, known: dict[str, Any]) -> Word:
    plain = _WORD.fullmatch(text)
    key, value = plain.groups() if plain else ("", "")
    if "${" in value:
        raise ValueError(f"{key}: {redacted(value)}: no ${{...}} is filled in here; write the value")
    if known.get(key) is str and not _needs_grammar(value):
        return Word(key, value)
    try:
        override = OverridesParser.create().parse_override(text)
    except HydraException:
        if known.get(key) == list[str] and value.startswith("[") and value.endswith("]"):
            return Word(key, [item.strip() for item in value[1:-1].split(",")])
        if known.get(key) is str:
            return Word(key, value)
        if key in known:
            raise ValueError(
                f"{key}: {redacted(value)}: this value cannot be read; put texts that hold = or other marks in quotes, "
                'such as ["siglip2=siglip2:FOLDER"]'
            ) from None
        raise ValueError(f"{redacted(text)!r} is not key=value") from None
    key = override.key_or_group
    if key not in known:
        mend = retired(key)
        raise ValueError(f"{key}: {mend}" if mend else f"unknown key {key}{did_you_mean(key, list(known))}")
    if override.is_add() or override.is_delete():
        raise ValueError(f"{redacted(text)!r}: every key exists already; write {redacted(text.lstrip('+~'))}")
    if override.is_sweep_override():
        raise ValueError(f"{redacted(text)!r}: one value at a time; run the command once for each")
    found = override.value()
    return Word(key, str(found) if known[key] is str and found is not None else found)


def _needs_grammar(value: str) -> bool:
    """Whether a text is written as Hydra wants it: in quotes, or with marks escaped by backslashes."""
    return "\\" in value or (len(value) > 1 and value[0] == value[-1] and value[0] in "'\"")
