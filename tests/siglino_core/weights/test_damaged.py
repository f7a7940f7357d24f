"""Files of a training and of a student with damaged bytes: one sentence each, in bounded memory, no wrong weights."""

import json
import resource
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from siglino_core.distillation.targets.phi_s import Moments, PhiS
from siglino_core.distillation.targets.statistics import Statistics, unpack
from siglino_core.distillation.training.checkpoints import Checkpoints
from siglino_core.distillation.training.metrics import NAME, JsonLines, read
from siglino_core.errors import DamagedError, SiglinoError
from siglino_core.models.hf import SigLinoHFConfig, SigLinoModel
from siglino_core.store import Files
from siglino_core.store.sealed import sealed
from siglino_core.weights.checkpoint import METADATA, _held, _read, weights
from siglino_core.weights.export import export
from siglino_core.weights.load import load_student
from siglino_core.weights.marks import MARK
from siglino_core.weights.sums import SUMS
from tests.damage import damaged, flip
from tests.siglino_core.models.tiny import TINY, filled

A_FEW, MANY = 100, 3000  # mutations of a kind
MOST = 1 << 30  # bytes that reading may add, torch's own included
Case = tuple[Path, Callable[[], Any], bool]  # the file, what reads it, and whether its bytes are known by a hash


def model() -> SigLinoModel:
    made = filled(SigLinoModel(SigLinoHFConfig.of(TINY)), seed=3)
    assert isinstance(made, SigLinoModel)
    return made


def checkpoint(folder: Path) -> Path:
    store = Checkpoints(Files(str(folder / "checkpoints")), "f")
    state = {f"model.{k}": v for k, v in model().state_dict().items()}
    store.save(state, SigLinoHFConfig.of(TINY).to_dict(), {"step": 1, "metrics": None})
    store.finish()
    return folder / "checkpoints/step_00000001"


def a_record(folder: Path) -> Case:
    (folder / "plan.json").write_bytes(sealed({"shards": [{"name": "part-0", "rows": 12}], "facts": {"a": [1.5]}}))
    return folder / "plan.json", lambda: Files(str(folder)).read_record("plan.json"), True


def a_mark(folder: Path) -> Case:
    made = checkpoint(folder)
    return made / MARK, lambda: Checkpoints(Files(str(made.parent)), "f").newest(), True


def an_index(folder: Path) -> Case:
    made = checkpoint(folder)
    return made / METADATA, lambda: weights(made), True


def an_index_below_the_hash(folder: Path) -> Case:
    made = checkpoint(folder)

    def whole() -> Any:
        held = _held(made)
        return _read(made, held, list(held))

    return made / METADATA, whole, False


def a_shard_below_the_hash(folder: Path) -> Case:
    path, whole, known = an_index_below_the_hash(folder)
    return path.with_name("__0_0.distcp"), whole, known


def a_curve(folder: Path) -> Case:
    log = JsonLines(Files(str(folder)), 0)
    for step in range(5):
        log(step, {"loss": 1 / (step + 1)})
    written = log.flush()
    log.close()
    return folder / NAME, lambda: read(Files(str(folder)), written), True


def a_curve_without_its_hash(folder: Path) -> Case:
    path, _, _ = a_curve(folder)
    return path, lambda: read(Files(str(folder))), False


def statistics(folder: Path) -> Case:
    phis = []
    for kind in ("summary", "patch"):
        moments = Moments.empty(8, name=kind)
        moments.update(torch.randn(64, 8))
        phis.append(PhiS.fit(moments, seed=0))
    path = folder / "statistics.safetensors"
    path.write_bytes(Statistics.save({"x": Statistics(summary=phis[0], patch=phis[1])}))
    return path, lambda: Statistics.load(path.read_bytes(), str(path)), False


def heads(folder: Path) -> Case:
    path, _, _ = statistics(folder)
    return path, lambda: unpack(path.read_bytes(), str(path), depth=1), False


def a_flat_file(folder: Path) -> Case:
    model().config.save_pretrained(folder)
    save_file(model().state_dict(), folder / "x.safetensors")
    return folder / "x.safetensors", lambda: load_student(f"{folder}/x.safetensors", f"{folder}/config.json"), False


def a_pickled_file(folder: Path) -> Case:
    model().config.save_pretrained(folder)
    torch.save(model().state_dict(), folder / "x.pt")
    return folder / "x.pt", lambda: load_student(f"{folder}/x.pt", f"{folder}/config.json"), False


def a_config(folder: Path) -> Case:
    model().save_pretrained(folder)
    return folder / "config.json", lambda: load_student(str(folder)), False


def an_exported_config(folder: Path) -> Case:
    export(model(), f"{folder}/x", source="here")
    return folder / "x/config.json", lambda: load_student(f"{folder}/x"), True


def exported_weights(folder: Path) -> Case:
    export(model(), f"{folder}/x", source="here")
    return folder / "x/model.safetensors", lambda: load_student(f"{folder}/x"), True


KINDS = [
    a_record,
    a_mark,
    an_index,
    an_index_below_the_hash,
    a_shard_below_the_hash,
    a_curve,
    a_curve_without_its_hash,
    statistics,
    heads,
    a_flat_file,
    a_pickled_file,
    a_config,
    an_exported_config,
    exported_weights,
]


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.fsync", lambda _: None)


@pytest.fixture(autouse=True)
def _bounded() -> Iterator[None]:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    unit = 1 if sys.platform == "darwin" else 1024
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * unit < MOST


def each(kind: Callable[[Path], Case], folder: Path, count: int) -> None:
    path, reading, known = kind(folder)
    good, refused = path.read_bytes(), 0
    reading()
    for i, bad in enumerate(damaged(good, seed=len(good), count=count)):
        path.write_bytes(bad)
        try:
            reading()
            assert not known, (i, bad[:300])
        except SiglinoError as e:
            refused += 1
            text = str(e)
            assert "\n" not in text
            assert len(text) < 2000
            assert str(folder) in text
        except (Exception, RecursionError) as e:
            raise AssertionError(f"mutation {i} of {path.name}: {type(e).__name__}: {e}") from e
    assert refused > count // 4
    path.write_bytes(good)
    reading()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", KINDS)
def test_damage_is_one_sentence(kind: Callable[[Path], Case], tmp_path: Path) -> None:
    each(kind, tmp_path, A_FEW)


@pytest.mark.storm
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", KINDS)
def test_much_damage_is_one_sentence(kind: Callable[[Path], Case], tmp_path: Path) -> None:
    each(kind, tmp_path, MANY)


HUGE = {"n_layers": 10**9, "dim": 2**40, "moe_args": {"num_experts": 10**9, "top_k": 2}, "n_storage_tokens": 10**12}


@pytest.mark.parametrize("field", HUGE)
def test_a_config_cannot_ask_for_the_machine(field: str, tmp_path: Path) -> None:
    model().save_pretrained(tmp_path)
    values = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**values, field: HUGE[field]}))
    with pytest.raises(SiglinoError, match=r"fit the config|no model's config|no model can be made"):
        load_student(str(tmp_path))


def test_an_index_cannot_ask_for_more_than_there_is(tmp_path: Path) -> None:
    made = checkpoint(tmp_path)
    held = _held(made)
    key = next(iter(held))
    held[key].size = torch.Size([1 << 40, 3])
    with pytest.raises(SiglinoError, match=r"its index speaks of [\d,]+ bytes, and [\d,]+ are there"):
        _read(made, held, [key])


def test_an_exported_folder_may_be_changed_on_purpose(tmp_path: Path) -> None:
    export(model(), f"{tmp_path}/x", source="here")
    (tmp_path / "x/README.md").write_text("my own card")
    load_student(f"{tmp_path}/x")
    flip(tmp_path / "x/preprocessor_config.json", 90)
    with pytest.raises(
        DamagedError, match=r"preprocessor_config\.json is not what was exported\. .* out of SHA256SUMS"
    ):
        load_student(f"{tmp_path}/x")
    lines = (tmp_path / "x" / SUMS).read_text().splitlines()
    (tmp_path / "x" / SUMS).write_text("\n".join(line for line in lines if "preprocessor" not in line) + "\n")
    load_student(f"{tmp_path}/x")
