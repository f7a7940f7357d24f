"""dino.txt's two models: the release's sizes and names, and their arithmetic by torch's own layers."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from siglino_core.teachers.dinotxt_model import TextModel, VisionHead
from tests.siglino_core.models.tiny import filled

SHAPES = [(2, 3), (3, 3), (2, 3)]
BLOCK = ["norm1.weight", "norm1.bias", "attn.qkv.weight", "attn.proj.weight", "attn.proj.bias", "ls1.gamma"]
BLOCK += ["norm2.weight", "norm2.bias", *(f"mlp.w{i}.{part}" for i in (1, 2, 3) for part in ("weight", "bias"))]
BLOCK += ["ls2.gamma"]


def head(width: int = 128, blocks: int = 2) -> VisionHead:
    made = filled(VisionHead(width, blocks, hidden=64))
    assert isinstance(made, VisionHead)
    return made


def text(width: int = 128) -> TextModel:
    made = filled(TextModel(words=50, context=9, width=width, blocks=2, hidden=64, dim=20))
    assert isinstance(made, TextModel)
    return made


def tokens(registers: int, width: int = 128) -> tuple[Tensor, Tensor | None, Tensor]:
    generator = torch.Generator().manual_seed(0)
    n = sum(h * w for h, w in SHAPES)
    cls_BD = torch.randn(3, width, generator=generator)
    registers_BRD = torch.randn(3, registers, width, generator=generator) if registers else None
    return cls_BD, registers_BRD, torch.randn(n, width, generator=generator)


def test_the_releases_names() -> None:
    wanted = {f"blocks.{i}.{name}" for i in (0, 1) for name in BLOCK} | {"ln_final.weight", "ln_final.bias"}
    assert set(head().state_dict()) == wanted
    names = set(text().state_dict())
    assert {"backbone.token_embedding.weight", "backbone.positional_embedding", "backbone.ln_final.weight"} < names
    assert {"backbone.blocks.1.attention.qkv.weight", "backbone.blocks.1.feed_forward.fc2.bias"} < names
    assert {n for n in names if n.startswith("head.")} == {"head.linear_projection.weight"}
    assert not any(n.endswith("qkv.bias") for n in names)


def test_the_releases_sizes() -> None:
    with torch.device("meta"):
        image, words = VisionHead(), TextModel()
    last_two = [*words.backbone.blocks[22:].parameters(), *words.backbone.ln_final.parameters()]
    assert (len(last_two), sum(p.numel() for p in last_two)) == (24, 39_349_760)  # as others count them
    assert words.head.linear_projection.weight.numel() == 2_621_440
    assert (words.dim, words.context, 2 * image.width) == (2048, 77, 2048)
    # The public file has 2,253,936,683 bytes: the tensors, the scale, and what zip and pickle say of 302 tensors.
    count = sum(p.numel() for model in (image, words) for p in model.parameters()) + 1
    assert 0 < 2_253_936_683 - 4 * count < 200_000


@pytest.mark.parametrize("registers", [0, 4])
def test_the_image_side_is_its_blocks_over_each_image_alone(registers: int) -> None:
    model, (cls_BD, registers_BRD, patches_ND) = head(), tokens(registers)
    found = model(cls_BD, registers_BRD, patches_ND, SHAPES)
    assert (found.shape, found.dtype) == ((3, 256), torch.float32)
    for i, one_ND in enumerate(patches_ND.split([h * w for h, w in SHAPES])):
        prefix = [cls_BD[i : i + 1], *([] if registers_BRD is None else [registers_BRD[i]])]
        x_TD = torch.cat([*prefix, one_ND])
        for block in model.blocks:
            x_TD = by_hand(block, x_TD)
        x_TD = model.ln_final(x_TD)
        wanted = torch.cat([x_TD[0], x_TD[1 + registers :].mean(0)])  # every patch counts
        torch.testing.assert_close(found[i], wanted, atol=1e-5, rtol=1e-5)


def by_hand(block: torch.nn.Module, x_TD: Tensor) -> Tensor:
    """A block by torch's own attention and the state dict's tensors."""
    p = dict(block.named_parameters())
    width = x_TD.shape[-1]
    h = F.layer_norm(x_TD, (width,), p["norm1.weight"], p["norm1.bias"])
    attended, _ = F.multi_head_attention_forward(
        h[:, None], h[:, None], h[:, None], width, width // 64, p["attn.qkv.weight"], None, None, None, False, 0.0,
        p["attn.proj.weight"], p["attn.proj.bias"], training=False, need_weights=False,
    )  # fmt: skip
    x_TD = x_TD + p["ls1.gamma"] * attended[:, 0]
    h = F.layer_norm(x_TD, (width,), p["norm2.weight"], p["norm2.bias"])
    gated = F.silu(F.linear(h, p["mlp.w1.weight"], p["mlp.w1.bias"]))
    gated = gated * F.linear(h, p["mlp.w2.weight"], p["mlp.w2.bias"])
    return x_TD + p["ls2.gamma"] * F.linear(gated, p["mlp.w3.weight"], p["mlp.w3.bias"])


def test_without_registers_no_patch_is_lost() -> None:
    model, (cls_BD, _, patches_ND) = head(), tokens(0)
    for place in (0, 3, 5):
        changed = patches_ND.clone()
        changed[place, 0] += 5
        a, b = (model(cls_BD, None, x, SHAPES)[0, 128:] for x in (patches_ND, changed))
        assert (a - b).abs().max() > 1e-3


def test_half_precision_is_cast_up() -> None:
    model, (cls_BD, registers_BRD, patches_ND) = head(), tokens(4)
    assert registers_BRD is not None
    half = model(cls_BD.bfloat16(), registers_BRD.bfloat16(), patches_ND.bfloat16(), SHAPES)
    exact = model(cls_BD.bfloat16().float(), registers_BRD.bfloat16().float(), patches_ND.bfloat16().float(), SHAPES)
    assert torch.equal(half, exact)


def test_a_text_is_read_at_its_end_and_what_follows_does_not_matter() -> None:
    model = text()
    ids = torch.tensor([[1, 5, 49, 0, 0, 0, 0, 0, 0], [1, 7, 8, 9, 10, 11, 12, 13, 49]])
    found = model(ids)
    assert found.shape == (2, 20)
    padded_otherwise = ids.clone()
    padded_otherwise[0, 3:] = 3
    torch.testing.assert_close(model(padded_otherwise), found, atol=1e-6, rtol=0)
    torch.testing.assert_close(model(ids[:1, :3]), found[:1], atol=1e-5, rtol=1e-5)
    changed = ids.clone()
    changed[0, 1] = 6
    assert not torch.allclose(model(changed)[0], found[0], atol=1e-3)


def test_the_text_side_is_a_causal_transformer() -> None:
    model, ids = text(), torch.tensor([[1, 5, 6, 49]])
    p, width = dict(model.named_parameters()), 128
    x_TD = p["backbone.token_embedding.weight"][ids[0]] + p["backbone.positional_embedding"][:4]
    mask = torch.full((4, 4), float("-inf")).triu(1)
    for i in (0, 1):
        b = {k.removeprefix(f"backbone.blocks.{i}."): v for k, v in p.items() if k.startswith(f"backbone.blocks.{i}.")}
        h = F.layer_norm(x_TD, (width,), b["attention_norm.weight"], b["attention_norm.bias"])[:, None]
        attended, _ = F.multi_head_attention_forward(
            h, h, h, width, 2, b["attention.qkv.weight"], None, None, None, False, 0.0, b["attention.proj.weight"],
            b["attention.proj.bias"], training=False, need_weights=False, attn_mask=mask,
        )  # fmt: skip
        x_TD = x_TD + attended[:, 0]
        h = F.layer_norm(x_TD, (width,), b["ffn_norm.weight"], b["ffn_norm.bias"])
        h = F.gelu(F.linear(h, b["feed_forward.fc1.weight"], b["feed_forward.fc1.bias"]))
        x_TD = x_TD + F.linear(h, b["feed_forward.fc2.weight"], b["feed_forward.fc2.bias"])
    x_TD = F.layer_norm(x_TD, (width,), p["backbone.ln_final.weight"], p["backbone.ln_final.bias"])
    wanted = F.linear(x_TD[3], p["head.linear_projection.weight"])
    torch.testing.assert_close(model(ids)[0], wanted, atol=1e-5, rtol=1e-5)


def test_shapes_are_told_by_the_weights() -> None:
    for model in (head(blocks=3), text()):
        again = type(model).shaped(model.state_dict())
        again.load_state_dict(model.state_dict(), strict=True)
    biased = VisionHead(64, 1, 32, biased=True)
    VisionHead.shaped(biased.state_dict()).load_state_dict(biased.state_dict(), strict=True)
    with pytest.raises(KeyError):
        VisionHead.shaped({})
