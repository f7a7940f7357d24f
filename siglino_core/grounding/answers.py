"""Answers to expressions about an image, token by token.

Legend: Q texts, L tokens of the longest, D width, K instances, A kinds of answers' tokens, n bins.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from siglino_core.grounding.cache import ImageStates, Past
from siglino_core.grounding.codecs import coordinate_of, size_of
from siglino_core.grounding.model import GroundingModel
from siglino_core.grounding.targets import prompt
from siglino_core.grounding.vocabulary import ANSWERS, Control

MOST_INSTANCES = 32


@dataclass(frozen=True)
class Found:
    """An instance, in units of the image's sides.

    Attributes:
        centre, side: (x, y) and (width, height).
        score: geometric mean of the chances of present, of both coordinates and of both sizes.
        mask: logits [U h, U w], or None.
    """

    centre: tuple[float, float]
    side: tuple[float, float]
    score: float
    mask: Tensor | None


@dataclass
class Answered:
    """What was answered to an expression."""

    present: float  # the chance that there is such a thing
    instances: list[Found] = field(default_factory=list)
    complete: bool = True  # it ended by itself


@torch.no_grad()
def answers(
    model: GroundingModel,
    image: ImageStates,
    expressions: Sequence[Sequence[int]],
    *,
    most: int = MOST_INSTANCES,
    forced: bool = False,
) -> list[Answered]:
    """Answer every expression, taking the likeliest token at each place.

    Args:
        expressions: their tokens, as `siglino_core.grounding.vocabulary.encode` makes them.
        most: instances of an answer, at least 1; one that has more is cut, and says so.
        forced: exactly one instance each, whatever the model thinks of its presence: for benchmarks whose every
            expression has one referent.
    """
    if not expressions:
        return []
    past = Past(model, image, len(expressions))
    state_QD = _asked(past, expressions)
    present_Q = _chance(model, state_QD, Control.PRESENT, Control.ABSENT)
    said = [Answered(chance) for chance in present_Q.tolist()]
    going_Q = torch.ones_like(present_Q, dtype=torch.bool) if forced else present_Q > 0.5
    state_QD = _next(past, Control.PRESENT, going_Q)
    for number in range(1 if forced else most):
        if number > 0:  # what is present has an instance: the first is not asked for
            going_Q = going_Q & (_chance(model, state_QD, Control.COORDINATE, Control.END) > 0.5)
        if not going_Q.any():
            return said
        centre_Q2, centre_Q = _likeliest(model.coordinate(state_QD), coordinate_of)
        state_QD = _next(past, Control.COORDINATE, going_Q, centre_Q2)
        side_Q2, side_Q = _likeliest(model.size(state_QD), size_of)
        state_QD = _next(past, Control.SIZE, going_Q, side_Q2)
        score_Q = (present_Q * centre_Q * side_Q) ** (1 / 5)
        for q in going_Q.nonzero().flatten().tolist():
            mask = None if image.pixels is None else model.mask(state_QD[q : q + 1], image.pixels)[0]
            (x, y), (width, height) = centre_Q2[q].tolist(), side_Q2[q].tolist()
            said[q].instances.append(Found((x, y), (width, height), float(score_Q[q]), mask))
        state_QD = _next(past, Control.SEGMENT, going_Q)
    more_Q = going_Q & (_chance(model, state_QD, Control.COORDINATE, Control.END) > 0.5)
    for q in [] if forced else more_Q.nonzero().flatten().tolist():
        said[q].complete = False
    return said


def _asked(past: Past, expressions: Sequence[Sequence[int]]) -> Tensor:
    """The states that begin the answers, [Q, D]."""
    device = past.real_QP.device
    begun = [prompt(tokens) for tokens in expressions]
    longest = max(map(len, begun))
    token_QL = torch.tensor([[*ids, *[int(Control.END)] * (longest - len(ids))] for ids in begun], device=device)
    last_Q = torch.tensor([len(ids) - 1 for ids in begun], device=device)
    real_QL = torch.arange(longest, device=device) <= last_Q[:, None]
    state_QLD = past.read(token_QL, torch.zeros(*token_QL.shape, 2, device=device), real_QL)
    return state_QLD[torch.arange(len(begun), device=device), last_Q]


def _next(past: Past, control: Control, going_Q: Tensor, pair_Q2: Tensor | None = None) -> Tensor:
    """One more token of every text that goes on: their states, [Q, D]."""
    token_Q1 = torch.full((len(going_Q), 1), int(control), device=going_Q.device)
    pair_Q12 = torch.zeros(len(going_Q), 1, 2, device=going_Q.device) if pair_Q2 is None else pair_Q2[:, None]
    return past.read(token_Q1, pair_Q12, going_Q[:, None])[:, 0]


def _chance(model: GroundingModel, state_QD: Tensor, this: Control, other: Control) -> Tensor:
    """That this token comes next and not the other one, the only two that may: [Q]."""
    logits_QA = model.answer(state_QD)
    return (logits_QA[:, ANSWERS.index(this)] - logits_QA[:, ANSWERS.index(other)]).sigmoid()


def _likeliest(logits_Q2n: Tensor, value: Callable[[Tensor, int], Tensor]) -> tuple[Tensor, Tensor]:
    """The likeliest pair, [Q, 2], and the product of both chances, [Q]."""
    chance_Q2, bin_Q2 = logits_Q2n.softmax(-1).max(-1)
    return value(bin_Q2, logits_Q2n.shape[-1]), chance_Q2.prod(-1)
