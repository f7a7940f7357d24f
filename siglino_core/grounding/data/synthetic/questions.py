"""Which expressions are asked of a scene: drawn until each refers to something, or to nothing, without any doubt."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from siglino_core.grounding.data.synthetic.composite import Placed
from siglino_core.grounding.data.synthetic.level import Kind, Level
from siglino_core.grounding.data.synthetic.phrases import (
    NUMBERS,
    All,
    Beside,
    Extreme,
    Number,
    Phrase,
    Query,
    Side,
    The,
)
from siglino_core.grounding.data.synthetic.things import PLURALS, SHAPE

DRAWS = 80  # of one kind before another is tried
MARGIN = 0.06  # of the scene's shorter side, by which positions must differ


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """The words that may be asked for, whether the scene has them or not."""

    nouns: tuple[str, ...]
    colours: tuple[str, ...]
    sizes: tuple[str, ...]


def vocabulary(level: Level, labels: Sequence[str] = ()) -> Vocabulary:
    """The words of a level, and of the labels of cut-outs; sizes are said where both small and large things are."""
    both = {"small", "large"} <= set(level.sizes)
    return Vocabulary(
        nouns=(*level.shapes, *sorted(set(labels))),
        colours=level.colours if level.shapes else (),
        sizes=("small", "large") if both else (),
    )


def questions(
    rng: np.random.Generator, level: Level, words: Vocabulary, objects: Sequence[Placed], side: int
) -> Mapping[Query, tuple[int, ...]]:
    """Expressions of different words with their referents' places in ``objects``; some scenes allow only a few.

    Args:
        side: the scene's shorter one, pixels.
    """
    found: dict[Query, tuple[int, ...]] = {}
    texts: set[str] = set()
    for _ in range(level.expressions):
        absent = rng.random() < level.absent
        for at in rng.permutation(len(level.kinds)):
            drawn = _drawn(rng, level.kinds[int(at)], words, objects, side, absent, texts)
            if drawn is not None:
                query, referents = drawn
                found[query] = referents
                texts.add(query.text)
                break
    return found


def _drawn(
    rng: np.random.Generator,
    kind: Kind,
    words: Vocabulary,
    objects: Sequence[Placed],
    side: int,
    absent: bool,
    texts: set[str],
) -> tuple[Query, tuple[int, ...]] | None:
    for _ in range(DRAWS):
        query = _query(rng, kind, words, objects, absent)
        if query is None or query.text in texts or not clear(query, objects):
            continue
        referents = query.referents(objects, MARGIN * side)
        if referents is not None and (not referents) == absent:
            return query, referents
    return None


def clear(query: Query, objects: Sequence[Placed]) -> bool:
    """Whether no other noun of the scene has a word of the query's nouns: a 'sports car' might be meant by 'car'."""
    for noun in query.nouns:
        own = set(noun.casefold().split())
        if any(o.thing.noun != noun and own & set(o.thing.noun.casefold().split()) for o in objects):
            return False
    return True


def _query(
    rng: np.random.Generator, kind: Kind, words: Vocabulary, objects: Sequence[Placed], absent: bool
) -> Query | None:
    phrase = _phrase(rng, words, objects, other=absent)
    side = list(Side)[int(rng.integers(len(Side)))]
    match kind:
        case Kind.ATTRIBUTE:
            return The(phrase)
        case Kind.POSITION:
            return Extreme(phrase, side)
        case Kind.RELATION:
            phrase = _phrase(rng, words, objects, other=absent and rng.random() < 0.5)
            return Beside(phrase, side, _phrase(rng, words, objects, other=False), several=bool(rng.random() < 0.25))
        case Kind.COUNT:
            if rng.random() < 0.5:
                return All(phrase)
            if phrase.noun != SHAPE and phrase.noun not in PLURALS:
                return None
            return Number(phrase, list(NUMBERS)[int(rng.integers(len(NUMBERS)))])


def _phrase(rng: np.random.Generator, words: Vocabulary, objects: Sequence[Placed], *, other: bool) -> Phrase:
    """An object's noun with some of what is true of it; ``other``: one word of it exchanged for any of its kind."""
    thing = objects[int(rng.integers(len(objects)))].thing
    any_shape = thing.drawn and rng.random() < 0.2
    colour = thing.colour if any_shape or rng.random() < 0.6 else None
    size = thing.size if thing.size in words.sizes and rng.random() < 0.4 else None
    phrase = Phrase(SHAPE if any_shape else thing.noun, colour, size)
    if not other:
        return phrase
    place = int(rng.integers(3))
    if place == 0 and words.colours and thing.drawn:
        return Phrase(phrase.noun, words.colours[int(rng.integers(len(words.colours)))], phrase.size)
    if place == 1 and words.sizes:
        return Phrase(phrase.noun, phrase.colour, words.sizes[int(rng.integers(len(words.sizes)))])
    noun = words.nouns[int(rng.integers(len(words.nouns)))]
    return Phrase(noun, phrase.colour if noun in PLURALS else None, phrase.size)
