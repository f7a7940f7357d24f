"""Which expressions are asked of a scene: drawn until each refers to something, or to nothing, without any doubt.

What form an expression has (its kind, which of colour and size are said, on which side, how many) is drawn before its
words are, and alike for those that refer to nothing: the text alone should tell as little as can be of whether it does.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from siglino_core.grounding.data.synthetic.composite import Placed
from siglino_core.grounding.data.synthetic.level import Kind, Level
from siglino_core.grounding.data.synthetic.phrases import All, Beside, Extreme, Number, Phrase, Query, Side, The
from siglino_core.grounding.data.synthetic.things import SHAPE

FORMS, WORDS = 16, 24  # forms that are tried for an expression, and words for each
MARGIN = 0.06  # of the scene's shorter side, by which positions must differ
COUNTS = (*(2,) * 16, *(3,) * 3, 4)  # about as often as there are so many


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """The words that may be asked for, whether the scene has them or not."""

    shapes: tuple[str, ...]
    labels: tuple[str, ...]
    colours: tuple[str, ...]
    sizes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Form:
    """What is said: whether the noun is a label, or stands for all shapes, and whether colour and size are named."""

    label: bool
    any_shape: bool
    colour: bool
    size: bool


def vocabulary(level: Level, labels: Sequence[str] = ()) -> Vocabulary:
    """The words of a level, and of the labels of cut-outs; sizes are said where both small and large things are."""
    both = {"small", "large"} <= set(level.sizes)
    return Vocabulary(
        shapes=level.shapes,
        labels=tuple(sorted(set(labels))),
        colours=level.colours,
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
            query = _drawn(rng, level.kinds[int(at)], words, objects, MARGIN * side, absent, texts)
            if query is not None:
                found[query] = query.referents(objects, MARGIN * side) or ()
                texts.add(query.text)
                break
    return found


def _drawn(
    rng: np.random.Generator,
    kind: Kind,
    words: Vocabulary,
    objects: Sequence[Placed],
    margin: float,
    absent: bool,
    texts: set[str],
) -> Query | None:
    """An expression of the kind that refers to nothing, or to something, as is asked for."""
    for _ in range(FORMS):
        form, other = _form(rng, words, objects), _form(rng, words, objects)
        side, count = list(Side)[int(rng.integers(len(Side)))], COUNTS[int(rng.integers(len(COUNTS)))]
        several, no_other = bool(rng.random() < 0.25), bool(rng.random() < 0.3)
        for _ in range(WORDS):
            query: Query
            match kind:
                case Kind.ATTRIBUTE:
                    query = The(_phrase(rng, form, words, objects, absent))
                case Kind.POSITION:
                    query = Extreme(_phrase(rng, form, words, objects, absent), side)
                case Kind.RELATION:
                    anchor = _phrase(rng, other, words, objects, absent and no_other)
                    query = Beside(_phrase(rng, form, words, objects, absent and not no_other), side, anchor, several)
                case Kind.COUNT:
                    phrase = _phrase(rng, form, words, objects, absent)
                    query = All(phrase) if several or form.label else Number(phrase, count)
            if query.text in texts or not clear(query, objects):
                continue
            referents = query.referents(objects, margin)
            if referents is not None and (not referents) == absent:
                return query
    return None


def clear(query: Query, objects: Sequence[Placed]) -> bool:
    """Whether no other noun of the scene has a word of the query's nouns: a 'sports car' might be meant by 'car'."""
    for noun in query.nouns:
        own = set(noun.casefold().split())
        if any(o.thing.noun != noun and own & set(o.thing.noun.casefold().split()) for o in objects):
            return False
    return True


def _form(rng: np.random.Generator, words: Vocabulary, objects: Sequence[Placed]) -> Form:
    label = not objects[int(rng.integers(len(objects)))].thing.drawn
    any_shape = not label and rng.random() < 0.2
    colour = not label and (any_shape or rng.random() < 0.7)  # 'the shape' alone would never be absent
    return Form(
        label=label, any_shape=bool(any_shape), colour=bool(colour), size=bool(words.sizes and rng.random() < 0.3)
    )


def _phrase(rng: np.random.Generator, form: Form, words: Vocabulary, objects: Sequence[Placed], other: bool) -> Phrase:
    """What is true of an object of the scene, in this form; ``other``: a word of it, or all, is another instead.

    Half of the other words are of another object of the scene: both are there then, but not together.
    """
    fit = [
        o.thing for o in objects if o.thing.drawn is not form.label and (not form.size or o.thing.size in words.sizes)
    ]
    thing = fit[int(rng.integers(len(fit)))] if fit else None
    choices = {
        "noun": () if form.any_shape else words.labels if form.label else words.shapes,
        "colour": words.colours if form.colour else (),
        "size": words.sizes if form.size else (),
    }
    changed = {name for name, several in choices.items() if several}
    if thing is not None and not other:
        changed = set()
    elif thing is not None and changed and rng.random() < 0.7:
        changed = {sorted(changed)[int(rng.integers(len(changed)))]}
    said: dict[str, str | None] = {}
    for name, several in choices.items():
        if name in changed:
            near = sorted({getattr(t, name) for t in fit} - {getattr(thing, name, None)}) if rng.random() < 0.5 else ()
            drawn_from = near or several
            said[name] = drawn_from[int(rng.integers(len(drawn_from)))]
        else:
            said[name] = getattr(thing, name, None) if several else None
    return Phrase(said["noun"] or SHAPE, said["colour"], said["size"])
