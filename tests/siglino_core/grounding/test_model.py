"""The early-fusion model: images are the student's, whatever is asked about them."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from siglino_core.grounding.model import GroundingModel, States, image_parameters
from siglino_core.grounding.targets import Question, questions
from siglino_core.models import SigLinoConfig
from tests.siglino_core.grounding.models import SHAPES, grounding, question, stirred
from tests.siglino_core.models.tiny import DENSE, TINY, patches

ASKED = [question([7, 8], [[0.5, 0.5, 0.25, 0.5]]), question([9]), question([7, 9, 8, 3], [[0.1, 0.2, 0.1, 0.1]] * 2)]
ABOUT = [0, 0, 2]


@torch.no_grad()
def states(
    model: GroundingModel, images: list[Tensor], asked: list[Question] = ASKED, *, about: list[int] = ABOUT,
    total: int | None = None,
) -> States:  # fmt: skip
    layout = model.layout(SHAPES)
    texts, _ = questions(layout.segments, about, asked, total)
    return model(torch.cat(images), layout, texts)


@pytest.mark.parametrize("config", [TINY, DENSE])
@pytest.mark.parametrize("shared", [False, True])
def test_images_are_the_students(config: SigLinoConfig, shared: bool) -> None:
    model, student = grounding(config, shared_expert=shared)
    images = patches(config, SHAPES)
    with torch.no_grad():
        wanted_TD = student.encode(torch.cat(images), student.layout(SHAPES))
    torch.testing.assert_close(states(model, images).image_TD, wanted_TD, atol=2e-6, rtol=0)


@pytest.mark.parametrize("config", [TINY, DENSE])
def test_what_is_asked_changes_no_image(config: SigLinoConfig) -> None:
    model = stirred(grounding(config, shared_expert=True)[0])
    images = patches(config, SHAPES)
    first = states(model, images)
    other = states(model, images, [question([1, 2, 3, 4, 5]), question([6]), question([6])], about=[0, 1, 2])
    assert torch.equal(first.image_TD, other.image_TD)


@pytest.mark.parametrize("config", [TINY, DENSE])
def test_what_is_said_later_changes_nothing_before(config: SigLinoConfig) -> None:
    model = stirred(grounding(config)[0])
    images = patches(config, SHAPES)
    first = states(model, images).text_SD
    changed = [ASKED[0], ASKED[1], question([7, 9, 8, 4], [[0.9, 0.2, 0.3, 0.1]] * 2)]
    other = states(model, images, changed).text_SD
    lengths = [len(t.tokens) + 2 + (1 + 3 * len(t.centre_K2)) for t in ASKED]
    at = lengths[0] + lengths[1] + 4  # of the third text, the token that changed
    torch.testing.assert_close(first[:at], other[:at], atol=1e-6, rtol=0)  # experts' products round by their rows
    assert not torch.allclose(first[at:], other[at:], atol=1e-3)


@pytest.mark.parametrize("config", [TINY, DENSE])
def test_no_gradient_goes_back_in_time(config: SigLinoConfig) -> None:
    model = stirred(grounding(config)[0])
    layout = model.layout(SHAPES)
    texts, _ = questions(layout.segments, ABOUT, ASKED)
    for at in (0, 3, 8, 12, 20):
        model.embedding.weight.grad = None
        distinct = replace(texts, token_S=torch.arange(len(texts.token_S)))
        model(torch.cat(patches(config, SHAPES)), layout, distinct).text_SD[at].square().sum().backward()
        assert model.embedding.weight.grad is not None
        reached = model.embedding.weight.grad.abs().sum(1).nonzero().flatten().tolist()
        document = texts.documents.document_S
        assert reached == [i for i in range(at + 1) if document[i] == document[at]]


@pytest.mark.parametrize("config", [TINY, DENSE])
def test_a_text_alone_and_in_company_is_the_same(config: SigLinoConfig) -> None:
    model = stirred(grounding(config)[0])
    images = patches(config, SHAPES)
    together = states(model, images, total=50).text_SD
    begin = 0
    for asked, about in zip(ASKED, ABOUT, strict=True):
        alone = states(model, images, [asked], about=[about]).text_SD
        torch.testing.assert_close(together[begin : begin + len(alone)], alone, atol=2e-5, rtol=0)
        begin += len(alone)
    layout = model.layout([SHAPES[2]])
    texts, _ = questions(layout.segments, [0], [ASKED[2]])
    with torch.no_grad():
        by_itself = model(images[2], layout, texts).text_SD
    torch.testing.assert_close(by_itself, together[begin - len(by_itself) : begin], atol=2e-5, rtol=0)


@pytest.mark.parametrize("backend", ["mask", "flex"])
@pytest.mark.parametrize("config", [TINY, DENSE])
def test_every_way_to_attend_says_the_same(config: SigLinoConfig, backend: str) -> None:
    model = stirred(grounding(config)[0])
    images = patches(config, SHAPES)
    wanted = states(model, images, total=40)
    model.text_backend = backend  # type: ignore[assignment]
    found = states(model, images, total=40)
    used = sum(len(t.tokens) + 3 + 3 * len(t.centre_K2) for t in ASKED)
    torch.testing.assert_close(found.text_SD[:used], wanted.text_SD[:used], atol=1e-4, rtol=0)


def test_points_and_sizes_enter_by_what_they_are() -> None:
    model = stirred(grounding(TINY)[0])
    images = patches(TINY, SHAPES)
    moved = [question([7, 8], [[0.5, 0.75, 0.25, 0.5]]), *ASKED[1:]]
    wider = [question([7, 8], [[0.5, 0.5, 0.5, 0.5]]), *ASKED[1:]]
    base = states(model, images).text_SD
    for other, first in ((moved, 5), (wider, 6)):  # of: end of image, 7, 8, start, present, coordinate, size, segment
        text_SD = states(model, images, other).text_SD
        assert torch.equal(text_SD[:first], base[:first])
        assert (text_SD[first] - base[first]).abs().max() > 1e-3


def test_gradients_reach_every_weight() -> None:
    model = stirred(grounding(TINY, shared_expert=True)[0]).train()
    layout = model.layout(SHAPES)
    texts, targets = questions(layout.segments, ABOUT, ASKED)
    out = model(torch.cat(patches(TINY, SHAPES)), layout, texts)
    pixels = model.mask.pixels(layout.parted(out.image_TD)[1][:24], SHAPES[0])
    said = [
        model.answer(out.text_SD).sum(), model.coordinate(out.text_SD[targets.coordinate_K]).square().sum(),
        model.size(out.text_SD[targets.size_K]).square().sum(),
        model.mask(out.text_SD[targets.segment_K], pixels).square().sum(),
    ]  # fmt: skip
    torch.stack(said).sum().backward()
    still = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert [n for n in still if "experts" not in n] == []  # an expert that no token chose has none


def test_what_the_student_gave() -> None:
    model, student = grounding(TINY, shared_expert=True)
    body = {k for k, _ in student.named_parameters() if not k.startswith(tuple(t.name for t in TINY.teachers))}
    given = {id(p) for p in image_parameters(model)}
    names = {n.removeprefix("student.") for n, p in model.named_parameters() if id(p) in given}
    assert names == body - {"layer_norm_dinov3.weight", "layer_norm_dinov3.bias"}


def test_texts_of_another_layout_are_refused() -> None:
    model, _ = grounding(TINY)
    texts, _ = questions(model.layout(SHAPES).segments, ABOUT, ASKED)
    with pytest.raises(ValueError, match="another layout"):
        model(torch.cat(patches(TINY, SHAPES)), model.layout(SHAPES), texts)
