"""`siglino bench curation`: judge a recipe by its samples, beside simpler ways to choose."""

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from flows.config import compose_config
from flows.screen import say
from pipelines.judge import Asked, judge
from pipelines.judge.from_run import of_run
from pipelines.judge.methods import BASELINES, RANDOM, TITLES
from pipelines.judge.pool import JudgedPool, of_arrays
from siglino_core.config import Config, did_you_mean
from siglino_core.errors import ConfigError, StoreError
from siglino_core.evaluation.samples.exam import METRICS, SHARES
from siglino_core.evaluation.samples.judgement import Judgement
from siglino_core.foreign import printable
from siglino_core.report.learning import sentence
from siglino_core.statistics.interval import Interval
from siglino_core.store import STAGES, Files, Run
from siglino_core.store.successor import PLAN

WORDS = ("embeddings", "labels", "pixels", "target", "levels", "seed", "seeds", "recipe", "against")
SECTIONS = ("cluster", "sample", "runtime")  # of settings: the others decide no sample of a pool that is embedded
DEFAULT, OWN = "default", "as made"


@dataclass(frozen=True, kw_only=True)
class Words:
    """What the command's words say."""

    run: str
    values: dict[str, Any]
    settings: list[str]


def parse(words: Sequence[str]) -> Words:
    """The command's words.

    Raises:
        ConfigError: a word that nobody knows, that counts for nothing, or that stands there twice; two runs, a run
            beside arrays, or a value of another kind.
    """
    runs = [word for word in words if "=" not in word]
    values: dict[str, Any] = {}
    settings: list[str] = []
    seen: dict[str, str] = {}
    for word in words:
        key, equals, text = word.partition("=")
        if not equals:
            continue
        if key == "sample.target_size":
            raise ConfigError(f"bench curation: {word}: write target={text}")
        if key in seen:
            raise ConfigError(f"bench curation: {key}= stands there twice: {seen[key]} and {text}")
        seen[key] = text
        if "." in key:
            _require_used(word)
            settings.append(word)
        elif key in WORDS:
            values[key] = _value(key, text)
        else:
            raise ConfigError(f"bench curation: no word {key}{did_you_mean(key, list(WORDS))}: {', '.join(WORDS)}")
    if len(runs) + ("embeddings" in values) != 1:
        raise ConfigError("bench curation: name one run, or embeddings=x.npy labels=y.npy target=N")
    if not runs and (missing := [key for key in ("labels", "target") if key not in values]):
        raise ConfigError(f"bench curation: arrays need {' and '.join(f'{key}=' for key in missing)} too")
    if runs and (arrays := [key for key in ("labels", "pixels") if key in values]):
        raise ConfigError(f"bench curation: {arrays[0]}= goes with embeddings=; a run has its own")
    return Words(run=runs[0].rstrip("/") if runs else "", values=values, settings=settings)


def bench(words: Sequence[str], file: str | None, console: Console) -> int:
    """Judge, print the table, and write all figures to ``file``; the exit code.

    Raises:
        ConfigError, DataError, StoreError: what was asked for cannot be, in a sentence.
    """
    said = parse(words)
    recipe, config, made = _recipe(said)
    if file is not None:
        _require_place(file)
    if said.run:
        if not any(Run(said.run).stage(stage).files.exists(PLAN) for stage in STAGES):
            raise StoreError(f"there is no run {said.run}, whose pool could be judged on")
        pool = of_run(Run(said.run), made)
    else:
        pool = of_arrays(said.values["embeddings"], said.values["labels"], said.values.get("pixels", ""))
    asked = Asked(
        recipe=recipe,
        config=config,
        target=said.values.get("target") or _target(pool, made),
        levels=_levels(said, recipe, config),
        seed=said.values.get("seed", config.seed),
        seeds=said.values.get("seeds", 5),
        against=said.values.get("against", BASELINES),
    )
    say(console, f"{len(pool):,} images, {len(pool.names):,} labels, of {pool.origin}; samples of {asked.target:,}.")
    judgement = judge(pool, asked, lambda seed, name, found: say(console, _line(seed, name, found), style="dim"))
    show(judgement, console)
    if file is not None:
        _write(file, json.dumps(judgement.as_json(), indent=1) + "\n")
        say(console, f"Written          {file}")
    return 0


def show(judgement: Judgement, console: Console) -> None:
    """The table of means, that of differences to random, and the verdict."""
    protocol, first = judgement.protocol, next(iter(judgement.methods.values()))
    keys = [key for key in METRICS if key in first.seeds[0]]
    means = {name: judgement.means(name) for name in judgement.methods}
    title = f"Samples of {protocol['target']:,}, means over {protocol['seeds']} seeds"
    _table(console, title, keys, means, lambda key, value: _number(key, value.mean))
    less = {name: found for name in judgement.methods if (found := judgement.differences(name))}
    if less:
        title = "Less random, paired by seed, with 95% intervals"
        _table(console, title, [key for key in keys if key != "cpu_seconds"], less, _difference)
    say(console, "", *(f"{name}: {TITLES[name]}." for name in judgement.methods if name in TITLES))
    say(console, *(f"{name}: left out: {why}" for name, why in judgement.left_out.items()))
    say(console, f"junk: 1% of the pool, {protocol['junk']}.")
    whose = "the recipe's" if protocol["near_duplicate_of"] == "recipe" else "the default, for the recipe drops none"
    say(console, f"near-duplicates: from a cosine of {protocol['near_duplicate']:g} on, {whose}.")
    if "student" not in keys:
        say(console, "student: not measured, for the arrays have no pixels=.")
    if judgement.recipe in less:
        say(console, "", f"{judgement.recipe}: {sentence(less[judgement.recipe]['probe'])}.")


def _require_used(word: str) -> None:
    """Refuse a setting of what is not made here.

    Raises:
        ConfigError: it is one.
    """
    section = word.partition(".")[0]
    if section not in SECTIONS and section in {f.name for f in fields(Config)}:
        raise ConfigError(
            f"bench curation: {word}: no {section} is made here; settings of {', '.join(SECTIONS[:-1])} and "
            f"{SECTIONS[-1]} count"
        )


def _require_place(file: str) -> None:
    """Refuse a place that cannot be written to, before the work and not after it.

    Raises:
        ConfigError: it is a folder, lies in none, or nothing can be written there.
    """
    path = Path(file).resolve()
    if path.is_dir():
        raise ConfigError(f"--json {file}: this is a folder; name a file")
    if not path.parent.is_dir():
        raise ConfigError(f"--json {file}: there is no folder {path.parent}")
    try:
        if path.exists() and not path.is_file():  # a pipe
            return
        with TemporaryFile(dir=path.parent):
            pass
    except OSError as e:
        raise ConfigError(f"--json {file}: nothing can be written there ({e.strerror or e})") from e


def _write(file: str, text: str) -> None:
    """Whole, or not at all."""
    path = Path(file).resolve()
    if path.exists() and not path.is_file():
        path.write_text(text, encoding="utf-8")
        return
    files = Files(str(path.parent))
    files.put(path.name, text.encode())
    files.tidy_dead()


def _recipe(said: Words) -> tuple[str, Config, Config]:
    """The recipe's name and config, and the config by which the run was made."""
    name = said.values.get("recipe", OWN if said.run else DEFAULT)
    made = compose_config([f"run={said.run}"] if said.run else [])
    if name == OWN and said.run:
        return name, compose_config([f"run={said.run}", *said.settings]), made
    return name, compose_config([f"recipe={name}", *said.settings]), made


def _levels(said: Words, recipe: str, config: Config) -> list[int] | None:
    """Clusters of each level, as far as somebody says how many: the command, or what made the run."""
    if "levels" in said.values:
        return said.values["levels"]
    told = recipe == OWN or any(word.startswith("cluster.num_clusters=") for word in said.settings)
    return (config.cluster.num_clusters or None) if told else None


def _target(pool: JudgedPool, made: Config) -> int:
    """As large a share of three quarters of the pool as the run's sample is of all of it."""
    return max(1, round(0.75 * min(made.sample.target_size, len(pool))))


def _value(key: str, text: str) -> Any:
    """A word's value.

    Raises:
        ConfigError: it is of another kind.
    """
    if key in ("target", "seed", "seeds"):
        if not text.isascii() or not text.isdigit() or (key != "seed" and int(text) < 1):
            raise ConfigError(
                f"bench curation: {key}={text}: a whole number from {0 if key == 'seed' else 1} is needed"
            )
        return int(text)
    if key not in ("levels", "against"):
        return text
    items = [item.strip() for item in text.removeprefix("[").removesuffix("]").split(",") if item.strip()]
    if key == "against":
        if wrong := [item for item in items if item not in BASELINES]:
            raise ConfigError(f"against={text}: {wrong[0]} is none of {', '.join(BASELINES)}")
        return tuple(dict.fromkeys([RANDOM, *items]))
    levels = [int(item) for item in items if item.isascii() and item.isdigit()]
    if len(levels) < max(1, len(items)) or 0 in levels or any(a <= b for a, b in itertools.pairwise(levels)):
        raise ConfigError(f"levels={text}: numbers of clusters are needed, the finest level first, as [90,30,10]")
    return levels


def _line(seed: int, name: str, found: dict[str, float] | str) -> str:
    if isinstance(found, str):
        return f"seed {seed}, {name}: left out: {found}"
    return f"seed {seed}, {name}: " + ", ".join(f"{METRICS[k]} {_number(k, found[k])}" for k in METRICS if k in found)


def _table(
    console: Console,
    title: str,
    keys: Sequence[str],
    rows: Mapping[str, Mapping[str, Interval]],
    cell: Callable[[str, Interval], str],
) -> None:
    table = Table(box=None, header_style="dim", padding=(0, 1), title_justify="left", title_style="bold")
    table.title = Text(title)
    for i, head in enumerate(["", *(METRICS[key] for key in keys)]):
        table.add_column(Text(head), justify="right" if i else "left", no_wrap=True)
    for name, values in rows.items():
        table.add_row(Text(printable(name)), *(Text(cell(key, values[key])) for key in keys))
    console.print()
    console.print(table)


def _difference(key: str, value: Interval) -> str:
    mean = _number(key, value.mean, "+")
    return mean if value.high is None else f"{mean} ±{_number(key, value.high - value.mean)}"


def _number(key: str, value: float, sign: str = "") -> str:
    """Shares in percent or points."""
    scaled = 100 * value if key in SHARES else value
    places = 0 if key == "labels_covered" and not sign else 1
    return f"{scaled:{sign},.{places}f}"
