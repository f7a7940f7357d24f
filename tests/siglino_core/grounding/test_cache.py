"""What is kept while texts are read gives what reading all at once gives."""

import pytest
import torch

from siglino_core.grounding.cache import Past, image_states
from siglino_core.grounding.targets import questions
from siglino_core.models import SigLinoConfig
from tests.siglino_core.grounding.models import grounding, question, stirred
from tests.siglino_core.models.tiny import DENSE, TINY, patches

SHAPE = (3, 4)
ASKED = [
    question([7, 8, 9], [[0.5, 0.4, 0.25, 0.5], [0.1, 0.2, 0.3, 0.4]]),
    question([9]),
    question([1, 2], [[0.5] * 4]),
]


@pytest.mark.parametrize("pieces", [[1] * 14, [5, 1, 1, 7], [14]])
@pytest.mark.parametrize("config", [TINY, DENSE])
@torch.no_grad()
def test_in_pieces_and_at_once(config: SigLinoConfig, pieces: list[int]) -> None:
    model = stirred(grounding(config, shared_expert=True)[0])
    (patches_NV,) = patches(config, [SHAPE])
    layout = model.layout([SHAPE])
    texts, _ = questions(layout.segments, [0, 0, 0], ASKED)
    out = model(patches_NV, layout, texts)
    wanted = out.text_SD.split(list(texts.documents.lengths))
    image = image_states(model, patches_NV, SHAPE)
    longest = max(texts.documents.lengths)
    tokens, pairs = (
        texts.token_S.split(list(texts.documents.lengths)),
        texts.pair_S2.split(list(texts.documents.lengths)),
    )
    past = Past(model, image, 3)
    token_QL = torch.nn.utils.rnn.pad_sequence(list(tokens), batch_first=True)
    pair_QL2 = torch.nn.utils.rnn.pad_sequence(list(pairs), batch_first=True)
    real_QL = torch.arange(longest) < torch.tensor([len(t) for t in tokens])[:, None]
    assert sum(pieces) >= longest
    found, begin = [], 0
    for length in pieces:
        part = slice(begin, begin + length)
        if part.start < longest:
            found.append(past.read(token_QL[:, part], pair_QL2[:, part], real_QL[:, part]))
        begin += length
    state_QLD = torch.cat(found, 1)
    for q, one in enumerate(wanted):
        torch.testing.assert_close(state_QLD[q, : len(one)], one, atol=1e-5, rtol=0)
        for head in (model.answer, model.coordinate, model.size):
            torch.testing.assert_close(head(state_QLD[q, : len(one)]), head(one), atol=1e-4, rtol=0)
    wanted_pixels = model.mask.pixels(layout.parted(out.image_TD)[1], SHAPE)
    assert image.pixels is not None
    torch.testing.assert_close(image.pixels, wanted_pixels, atol=1e-5, rtol=0)
    assert image_states(model, patches_NV, SHAPE, masks=False).pixels is None


@torch.no_grad()
def test_padding_before_a_token_changes_nothing() -> None:
    model = stirred(grounding(TINY)[0])
    (patches_NV,) = patches(TINY, [SHAPE])
    image = image_states(model, patches_NV, SHAPE)
    token_QL, pair_QL2 = torch.tensor([[7, 8, 9]]), torch.zeros(1, 3, 2)
    plain = Past(model, image, 1).read(token_QL, pair_QL2, torch.ones(1, 3, dtype=torch.bool))
    padded_QL = torch.tensor([[3, 3, 7, 4, 8, 9]])
    real_QL = torch.tensor([[False, False, True, False, True, True]])
    padded = Past(model, image, 1).read(padded_QL, torch.zeros(1, 6, 2), real_QL)
    torch.testing.assert_close(padded[:, real_QL[0]], plain, atol=1e-5, rtol=0)
