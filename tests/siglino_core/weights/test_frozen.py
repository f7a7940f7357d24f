"""A student as a frozen network: as a teacher, as an encoder of pools, and as it was before training."""

from pathlib import Path

import fsspec
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from siglino_core.config import EmbedConfig
from siglino_core.distillation.training.student import new_student
from siglino_core.encoders import Spec
from siglino_core.errors import ConfigError
from siglino_core.models import PRESETS, SigLino, SigLinoConfig
from siglino_core.models.hf import SigLinoHFConfig, SigLinoModel
from siglino_core.models.size import backbone_parameters, forward_flops
from siglino_core.networks import describe, load_encoder, load_teacher, outline
from siglino_core.weights.frozen import cast, untrained
from tests.siglino_core.models.tiny import DENSE, TINY, exported, filled, patches, student
from tests.siglino_core.weights.test_load import saved

SHAPES = [(2, 3), (4, 4), (2, 3)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return exported(tmp_path_factory.mktemp("student") / "model", student(TINY, seed=2))


def test_its_card_and_its_targets(folder: str) -> None:
    card, teacher = describe(f"siglino:{folder}"), load_teacher(f"siglino:{folder}")
    assert teacher.card == card
    assert (card.name, card.dim, card.pooled, card.patches, card.registers) == ("student", 32, False, True, 4)
    assert card.parameters == backbone_parameters(TINY)
    pack = torch.cat(patches(TINY, SHAPES))
    found, model = teacher(pack, SHAPES), student(TINY, seed=2)
    with torch.no_grad():
        wanted = model.features(pack, model.layout(SHAPES))
    for part, own in ((found.summaries, wanted.summaries), (found.patches, wanted.patches)):
        assert torch.equal(part, own["siglino"])  # type: ignore[arg-type]
    assert found.registers is not None
    assert torch.equal(found.registers, wanted.registers["siglino"])


def test_its_price_is_that_of_the_backbone(folder: str) -> None:
    shape = SigLinoConfig(**{**vars(TINY), "teachers": ()})
    for grid in (1, 4, 9):
        wanted = forward_flops(shape, TINY.prefix + grid * grid)
        assert outline(f"siglino:{folder}").image_flops((16 * grid) ** 2) == pytest.approx(wanted)


def test_it_embeds_a_pool(folder: str) -> None:
    spec = Spec.of(EmbedConfig(encoder=f"siglino:{folder}", image_size=64))
    encoder = load_encoder(spec, "cpu", "fp32")
    assert encoder.card.pixels.size == 64
    pixels = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)
    features = encoder.encode(pixels)
    assert features.shape == (2, 32)
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, atol=1e-6)
    with pytest.raises(ConfigError, match="image_size=50 is no multiple of 16"):
        describe(Spec.of(EmbedConfig(encoder=f"siglino:{folder}", image_size=50)))


def test_another_student_learns_it(folder: str) -> None:
    from siglino_core.config import TrainConfig
    from siglino_core.distillation.training.student import student_config

    shape = student_config(TrainConfig(student="siglino-nano"), [describe(f"siglino:{folder}")])
    assert [(t.name, t.dim, t.pooled) for t in shape.teachers] == [("student", 32, False)]


def test_its_identity_is_that_of_the_weights(folder: str, tmp_path: Path) -> None:
    same = exported(tmp_path / "same", student(TINY, seed=2))
    other = exported(tmp_path / "other", student(TINY, seed=3))
    identity = describe(f"siglino:{folder}").identity
    assert describe(f"siglino:{same}").identity == identity
    assert describe(f"siglino:{other}").identity != identity
    assert describe(f"siglino_untrained:{folder}").identity not in (identity, "")
    assert outline(f"siglino:{folder}").identity == ""


@pytest.mark.filterwarnings("ignore:torch.distributed is disabled")
@pytest.mark.parametrize("form", ["folder", "checkpoint"])
def test_an_exported_model_and_a_training_checkpoint_also_at_a_url(tmp_path: Path, form: str) -> None:
    model = filled(SigLinoModel(SigLinoHFConfig.of(TINY)), seed=3)
    assert isinstance(model, SigLinoModel)
    path, _ = saved(model, tmp_path, form)
    away = f"memory://{tmp_path.name}/{form}"
    fsspec.filesystem("memory").put(str(path), away, recursive=True)
    pack = torch.cat(patches(TINY, SHAPES))
    with torch.no_grad():
        wanted = model.eval().features(pack, model.layout(SHAPES)).summaries["siglino"]
    for source in (str(path), away):
        assert outline(f"siglino:{source}").dim == 32
        assert torch.equal(load_teacher(f"siglino:{source}")(pack, SHAPES).summaries, wanted)
        assert describe(f"siglino_untrained:{source}").identity


def test_a_flat_file_is_told_by_its_shapes(tmp_path: Path) -> None:
    save_file(SigLino(PRESETS["siglino-nano"]).state_dict(), tmp_path / "flat.safetensors")
    card = describe(f"siglino:{tmp_path / 'flat.safetensors'}")
    assert (card.dim, card.identity == "") == (192, False)
    save_file(student(TINY).state_dict(), tmp_path / "odd.safetensors")
    with pytest.raises(ConfigError, match="shapes are those of no named configuration"):
        describe(f"siglino:{tmp_path / 'odd.safetensors'}")


def test_what_is_no_student(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is nothing there"):
        describe(f"siglino:{tmp_path / 'nothing'}")
    with pytest.raises(ConfigError, match=r"no student: there is no config\.json"):
        describe(f"siglino:{tmp_path}")


def test_before_training(folder: str) -> None:
    trained = student(TINY, seed=2)
    torch.manual_seed(123)
    rng = torch.random.get_rng_state()
    found = untrained(folder)
    assert torch.equal(torch.random.get_rng_state(), rng)
    head = trained.get_submodule("siglip2_multihead_attention_pooling_head").state_dict()
    wanted = new_student(TINY, seed=0, heads={"siglip2": head})
    assert all(torch.equal(t, wanted.state_dict()[k]) for k, t in found.state_dict().items())
    assert not torch.equal(untrained(folder, seed=1).cls_token, found.cls_token)


def test_before_training_cls_says_nothing_of_the_image_and_pooling_does(folder: str) -> None:
    model = untrained(folder)
    pack = torch.cat(patches(TINY, SHAPES))
    with torch.no_grad():
        features = model.features(pack, model.layout(SHAPES))
    assert torch.equal(features.summaries["siglino"][0], features.summaries["siglino"][1])
    assert not torch.allclose(features.summaries["siglip2"][0], features.summaries["siglip2"][2])


def test_in_half_precision_routers_keep_theirs() -> None:
    model = student(TINY)
    gate = model.get_parameter("layers.0.moe.router.gate.weight").clone()
    cast(model, "cpu", torch.bfloat16)
    assert torch.equal(model.get_parameter("layers.0.moe.router.gate.weight"), gate)
    assert model.get_parameter("layers.0.attention.wq.weight").dtype is torch.bfloat16
    assert not any(p.requires_grad for p in model.parameters())
    pack = torch.cat(patches(TINY, SHAPES))
    assert model.features(pack, model.layout(SHAPES)).summaries["siglino"].isfinite().all()


def test_a_dense_student_too(tmp_path: Path) -> None:
    spec = f"siglino:{exported(tmp_path / 'dense', student(DENSE))}"
    pack = torch.cat(patches(DENSE, SHAPES))
    assert load_teacher(spec, dtype=torch.bfloat16)(pack, SHAPES).summaries.dtype is torch.bfloat16
