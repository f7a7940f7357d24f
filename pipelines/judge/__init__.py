"""The judge of samples: a recipe beside simpler ways to choose, by what their samples hold and what they teach.

A seed holds out a quarter of every label, plants junk among the rest, and lets every method choose as many images of
that. Recipes run as the stages `cluster` and `sample` of a temporary run folder, as users run them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from pipelines.judge.folder import Folder, scratch, written
from pipelines.judge.methods import (
    BASELINES,
    RANDOM,
    WHOLE_POOL,
    Chosen,
    baselines,
    by_recipe,
    cosine_of,
    fitted,
    in_words,
    removes,
    settings,
    whole_pool,
)
from pipelines.judge.pool import JudgedPool
from pipelines.judge.rest import Rest, planted
from siglino_core.config import Config
from siglino_core.errors import ConfigError, DataError
from siglino_core.evaluation.samples import junk, probe, student
from siglino_core.evaluation.samples.exam import Exam
from siglino_core.evaluation.samples.judgement import Judgement, Method
from siglino_core.evaluation.samples.split import quarter

Figures = dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What is judged.

    Attributes:
        recipe: its name, for people; its method is called :attr:`method`.
        config: the recipe; of it `cluster` and `sample` count, but for their sizes.
        target: images of a sample.
        levels: clusters of each level; None: as many as suit the pool.
        seed: the first; ``selected`` is by it.
        seeds: how many, one after the other.
        against: the baselines, of :data:`BASELINES`.
        others: recipes beside it, by name.
    """

    recipe: str
    config: Config
    target: int
    levels: list[int] | None = None
    seed: int = 0
    seeds: int = 5
    against: Sequence[str] = BASELINES
    others: Mapping[str, Config] = field(default_factory=dict)

    @property
    def method(self) -> str:
        """What the recipe is called among the methods: never as a baseline is, whose place it would take."""
        return f"recipe {self.recipe}" if self.recipe in BASELINES else self.recipe


def judge(
    pool: JudgedPool, asked: Asked, say: Callable[[int, str, Figures | str], None] = lambda *_: None
) -> Judgement:
    """Judge a recipe.

    Args:
        say: told seed, method and figures of every sample, or why there is none.

    Raises:
        ConfigError: the target or the clusters are above what is left, or above what the recipe leaves.
        DataError: the pool is too small for the recipe, or has too few images a label.
    """
    configs = _configs(pool, asked)
    tested = _tested(pool, asked)
    chosen = selected(pool, asked)  # first: what fails of the whole pool need not wait for the seeds
    names = [*configs, *(n for n in asked.against if n in WHOLE_POOL)]
    figures: dict[str, list[Figures]] = {name: [] for name in names}
    left_out: dict[str, str] = {}
    for seed in range(asked.seed, asked.seed + asked.seeds):
        for name, found in _seed(pool, asked, configs, [n for n in names if n not in left_out], seed):
            say(seed, name, found)
            if isinstance(found, str):
                left_out[name] = found
            else:
                figures[name].append(found)
    ordered = [asked.method, *asked.others, *BASELINES]
    return Judgement(
        pool=_described(pool),
        protocol={**_protocol(pool, asked), "tested": tested},
        recipe=asked.method,
        random=RANDOM,
        methods={
            name: Method(
                role="recipe" if name == asked.method else "baseline",
                settings=settings(configs[name]) if name in configs else {},
                seeds=figures[name],
            )
            for name in ordered
            if name in figures and name not in left_out
        },
        left_out=left_out,
        selected=chosen.tolist(),
    )


def selected(pool: JudgedPool, asked: Asked) -> np.ndarray:
    """The rows that the recipe chooses of the whole pool, with nothing held out or planted: sorted int64.

    Raises:
        ConfigError, DataError: the pool is too small for the recipe.
    """
    config = fitted(asked.config, len(pool), asked.target, asked.levels)
    with scratch() as url:
        folder = written(url, pool.unit_ND, pool.ids, pool.sizes_N2)
        try:
            return by_recipe(replace(config, seed=asked.seed), folder).rows_T
        except (ConfigError, DataError) as e:
            raise type(e)(f"recipe {asked.recipe}, of the whole pool: {in_words(str(e))}") from e


def _configs(pool: JudgedPool, asked: Asked) -> dict[str, Config]:
    """Every method that runs as stages, in the order in which they run."""
    held = int(quarter(pool.label_N, pool.bits_N, asked.seed).sum())  # as many under every seed
    images = len(pool) - held
    left = (
        f"{images:,} of the pool's {len(pool):,} images are left to choose from when a quarter of every label is held "
        f"out. Ask for at most {images:,}."
    )
    faults = [f"target={asked.target}: {left}"] if asked.target > images else []
    if asked.levels and asked.levels[0] > images:
        faults.append(f"levels={asked.levels}: {left}")
    if faults:
        raise ConfigError(*faults)
    images += junk.amount(images)
    recipe = fitted(asked.config, images, asked.target, asked.levels)
    simple = {n: c for n, c in baselines(recipe, images).items() if n in asked.against}
    others = {n: fitted(c, images, asked.target, asked.levels) for n, c in asked.others.items()}
    return {**simple, asked.method: recipe, **others}


def _tested(pool: JudgedPool, asked: Asked) -> int:
    """Held-out images that the probe answers, as many under every seed.

    Raises:
        DataError: too few images a label, so that nothing can be held out.
    """
    return len(Exam.of(pool.unit_ND, pool.label_N, pool.bits_N, None, asked.seed).tested)


def _seed(pool: JudgedPool, asked: Asked, configs: Mapping[str, Config], names: Sequence[str], seed: int) -> Any:
    """(method, figures, or why there are none) of one seed's samples."""
    exam = Exam.of(pool.unit_ND, pool.label_N, pool.bits_N, pool.pixels_NF, seed)
    rest = planted(pool, np.flatnonzero(~exam.held_N), seed)
    cosine = cosine_of(asked.config)
    with scratch() as url:
        folder = written(url, rest.unit_RD, rest.ids, rest.sizes_R2)
        for name in names:
            config = replace(configs.get(name, configs[asked.method]), seed=seed)
            try:
                chosen = _chosen(name, config, rest, folder)
            except (ConfigError, DataError) as e:
                why = in_words(str(e))
                if name == asked.method:
                    raise type(e)(
                        f"recipe {asked.recipe}, under seed {seed}, when a quarter of every label is held out and "
                        f"{junk.amount(len(pool) - int(exam.held_N.sum()))} rows of junk are planted: {why}"
                    ) from e
                yield name, why.splitlines()[0]
                continue
            found = exam.figures(rest.sample(chosen.rows_T), cosine)
            yield name, {"seed": float(seed), **found, "cpu_seconds": chosen.cpu_seconds}


def _chosen(name: str, config: Config, rest: Rest, folder: Folder) -> Chosen:
    if name in WHOLE_POOL:
        return whole_pool(name, config, rest.unit_RD, folder)
    return by_recipe(config, folder)


def _described(pool: JudgedPool) -> dict[str, Any]:
    return {
        "origin": pool.origin,
        "images": len(pool),
        "labels": len(pool.names),
        "labelled": int((pool.label_N >= 0).sum()),
        "dim": pool.unit_ND.shape[1],
        "pixels": 0 if pool.pixels_NF is None else pool.pixels_NF.shape[1],
    }


def _protocol(pool: JudgedPool, asked: Asked) -> dict[str, Any]:
    return {
        "target": asked.target,
        "levels": asked.levels,
        "seed": asked.seed,
        "seeds": asked.seeds,
        "held_out": "a quarter of every label, rounded down",
        "junk_share": junk.SHARE,
        "junk": pool.junk,
        "probe": f"ridge, centred, {probe.STRENGTH:g} x the mean eigenvalue; at most {probe.MOST} rows train and test",
        "student": f"kernel ridge, RBF of the median distance, {student.STRENGTH:g}; at most {student.MOST} rows train",
        "near_duplicate": cosine_of(asked.config),
        "near_duplicate_of": "recipe" if removes(asked.config) else "default",
    }
