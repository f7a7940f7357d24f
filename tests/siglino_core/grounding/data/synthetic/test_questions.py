"""What is asked of scenes: only what is beyond doubt, of every kind, and as much of it absent as was asked for."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from siglino_core.evaluation.data.cutouts import Cutout
from siglino_core.grounding.data.synthetic.composite import Placed, composite
from siglino_core.grounding.data.synthetic.level import EASY, HARD, LEVELS, MEDIUM, Kind, Level
from siglino_core.grounding.data.synthetic.phrases import All, Beside, Extreme, Number, Phrase, Query, The
from siglino_core.grounding.data.synthetic.questions import MARGIN, clear, questions, vocabulary
from siglino_core.grounding.data.synthetic.things import Thing
from tests.cutouts import LABELS, cutouts

CUTOUTS = cutouts(9)
NONE = np.zeros((1, 1), bool)


def asked(
    level: Level, scenes: int, *, with_cutouts: bool = False
) -> list[tuple[Query, tuple[int, ...], list[Placed]]]:
    used = CUTOUTS if with_cutouts else []
    words = vocabulary(level, [c.label for c in used])
    found = []
    for seed in range(scenes):
        rng = np.random.default_rng(seed)
        made = composite(rng, level, (128, 128), used)
        if made is None:
            continue
        for query, referents in questions(rng, level, words, made.objects, 128).items():
            found.append((query, referents, list(made.objects)))
    return found


@pytest.mark.parametrize("name", LEVELS)
@pytest.mark.parametrize("with_cutouts", [False, True])
def test_referents_are_the_querys_own(name: str, with_cutouts: bool) -> None:
    for query, referents, objects in asked(LEVELS[name], 30, with_cutouts=with_cutouts):
        assert query.referents(objects, MARGIN * 128) == referents


def test_a_twin_of_the_rule_agrees() -> None:
    """The same told otherwise, from the words alone."""
    for query, referents, objects in asked(replace(HARD, kinds=(Kind.ATTRIBUTE, Kind.COUNT)), 40):
        words = query.text.split()
        nouns = {"shapes": "shape", "crosses": "cross"}
        noun = nouns.get(words[-1], words[-1].rstrip("s") if words[-1] != "cross" else "cross")
        told = set(words[:-1]) - {"the", "all", "two", "three", "four"}
        fits = tuple(
            i
            for i, o in enumerate(objects)
            if noun in (o.thing.noun, "shape") and told <= {o.thing.colour or "", o.thing.size}
        )
        assert fits == referents


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5])
def test_the_share_that_is_absent(share: float) -> None:
    for level in (EASY, MEDIUM):
        found = asked(replace(level, absent=share), 200)
        absent = np.mean([not referents for _, referents, _ in found])
        assert abs(absent - share) < 0.05
        assert len(found) > 180 * level.expressions


def test_every_kind_is_asked_present_and_absent() -> None:
    kinds = {The: 0, Extreme: 0, Beside: 0, All: 0, Number: 0}
    found = Counter((type(query), bool(referents)) for query, referents, _ in asked(replace(HARD, absent=0.4), 80))
    assert all(found[kind, there] >= 3 for kind in kinds for there in (True, False))
    several = [referents for query, referents, _ in asked(HARD, 40) if isinstance(query, All | Number) and referents]
    assert min(map(len, several)) == 2
    assert max(map(len, several)) >= 3


def test_easy_scenes_are_asked_for_attributes_of_both_objects() -> None:
    found = asked(EASY, 60)
    assert {type(query) for query, _, _ in found} == {The}
    assert not any(size in query.text for query, _, _ in found for size in ("small", "large", "medium"))
    assert Counter(referents for _, referents, _ in found)[(0,)] > 50
    assert Counter(referents for _, referents, _ in found)[(1,)] > 50


@pytest.mark.parametrize(("level", "most"), [(EASY, 0.58), (MEDIUM, 0.66)])
def test_the_text_alone_hardly_tells_what_is_absent(level: Level, most: float) -> None:
    found = asked(replace(level, absent=0.5), 400)
    texts, absent = [query.text for query, _, _ in found], np.array([not referents for _, referents, _ in found])
    counts = CountVectorizer(ngram_range=(1, 2)).fit_transform(texts)
    half = len(texts) // 2
    judge = LogisticRegression(C=0.3, max_iter=1000).fit(counts[:half], absent[:half])
    assert roc_auc_score(absent[half:], judge.predict_proba(counts[half:])[:, 1]) < most


def test_what_is_absent_shares_words_with_what_is_there() -> None:
    shares: Counter[tuple[bool, bool]] = Counter()
    for query, _, objects in asked(replace(EASY, absent=1, expressions=1), 200):
        words = query.text.split()[1:]
        if len(words) == 2 and words[1] != "shape":
            shares[words[0] in {o.thing.colour for o in objects}, words[1] in {o.thing.noun for o in objects}] += 1
    near = {pair: n / shares.total() for pair, n in shares.items()}
    assert near[True, True] > 0.2  # both are there, but not together
    assert near[True, False] > 0.1
    assert near[False, True] > 0.1


def test_no_text_twice_in_an_image() -> None:
    rng = np.random.default_rng(0)
    level = replace(HARD, expressions=12)
    made = composite(rng, level, (128, 128))
    assert made is not None
    texts = [query.text for query in questions(rng, level, vocabulary(level), made.objects, 128)]
    assert len(texts) > 8
    assert len(set(texts)) == len(texts)


def test_labels_and_sizes_are_in_the_vocabulary() -> None:
    words = vocabulary(MEDIUM, ["dog", "cat", "dog"])
    assert words.labels == ("cat", "dog")
    assert words.sizes == ("small", "large")
    assert vocabulary(EASY).sizes == ()
    assert vocabulary(replace(MEDIUM, shapes=()), ["dog"]).shapes == ()
    texts = " ".join(query.text for query, _, _ in asked(MEDIUM, 40, with_cutouts=True))
    assert all(label in texts for label in LABELS)


def test_nouns_that_share_a_word_are_in_doubt() -> None:
    def placed(noun: str) -> Placed:
        return Placed(
            thing=Thing(noun=noun, colour=None, size="small"), box=(0, 0, 1, 1), visible_HW=NONE, whole_HW=NONE
        )

    scene = [placed("sports car"), placed("dog")]
    assert not clear(The(Phrase("car")), scene)
    assert not clear(The(Phrase("Car")), scene)
    assert clear(The(Phrase("sports car")), scene)
    assert clear(The(Phrase("dog")), scene)
    assert not clear(The(Phrase("sports car")), [*scene, placed("car")])


def test_they_are_never_asked_for() -> None:
    labels = {"disc": "car", "box": "sports car", "bar": "cat"}
    used = [Cutout(cutout_id=c.cutout_id, data=c.data, label=labels[c.label]) for c in CUTOUTS]
    level = replace(MEDIUM, shapes=(), absent=0.5)
    words = vocabulary(level, [c.label for c in used])
    nouns: set[str] = set()
    for seed in range(40):
        rng = np.random.default_rng(seed)
        made = composite(rng, level, (128, 128), used)
        assert made is not None
        asked_for = {noun for q in questions(rng, level, words, made.objects, 128) for noun in q.nouns}
        there = {o.thing.noun for o in made.objects}
        assert "car" not in asked_for or "sports car" not in there
        assert "sports car" not in asked_for or "car" not in there
        nouns |= asked_for
    assert nouns == {"car", "sports car", "cat"}
