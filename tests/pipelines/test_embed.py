"""embed: one unit vector an image, rejects for what has none, and no other weights than those it began with."""

import dataclasses
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines import embed, source
from pipelines.support.runtime import Result
from siglino_core.config import Config, build
from siglino_core.encoders import Card, Preprocess, Spec
from siglino_core.errors import ConfigError, DataError
from siglino_core.store import Run
from siglino_core.store.vectors import from_column
from tests.pools import parquet_file, pictures

CARD = Card(name="mean", identity="of these weights", preprocess=Preprocess(size=8), dim=4)
IMAGES = 20


class Encoder:
    """Stands in for a network: a picture's mean colour and a constant; not finite for every tenth of what it sees."""

    def __init__(self, card: Card = CARD, broken: int = 0) -> None:
        self.card, self.device = card, SimpleNamespace(batch_size=3)
        self._broken = broken

    def encode(self, pixels: np.ndarray) -> np.ndarray:
        found = np.concatenate([pixels.mean((1, 2)), np.full((len(pixels), 1), 64.0)], 1)
        found[: self._broken] = np.nan
        return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    parquet_file(tmp_path / "pool.parquet", {"image": pictures(IMAGES)})
    settings = {
        "run": str(tmp_path / "run"),
        "source": {"uri": str(tmp_path / "pool.parquet"), "rows_per_shard": 8},
        "runtime": {"runner": "local"},
        "embed": {"max_reject_share": 0.5},
    }
    made = build(Config, settings)
    source.run(made, Run(made.run))
    return made


def given(monkeypatch: pytest.MonkeyPatch, encoder: Encoder) -> None:
    monkeypatch.setattr(embed, "describe", lambda spec: CARD)
    monkeypatch.setattr(embed, "load_encoder", lambda *_: encoder)


def vectors(config: Config) -> pa.Table:
    paths = sorted(Path(config.run, "embed").glob("part-*.parquet"))
    return pa.concat_tables([pq.read_table(p) for p in paths])


def test_a_row_an_image_of_unit_length(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, Encoder())
    result = embed.run(config, Run(config.run))
    assert (result.state, result.manifest.rows, result.manifest.rejects) == ("Computed", IMAGES, {})
    table = vectors(config)
    assert len(set(table["image_id"].to_pylist())) == IMAGES
    found = from_column(table["embedding"])
    assert found.dtype == np.float16
    assert np.linalg.norm(found.astype(float), axis=1) == pytest.approx(np.ones(IMAGES), abs=1e-3)
    monkeypatch.setattr(embed, "load_encoder", None)  # a finished stage builds no network
    assert embed.run(config, Run(config.run)).state == "Reused"


def test_its_seconds_are_those_of_the_work(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow(Encoder):
        def encode(self, pixels: np.ndarray) -> np.ndarray:
            time.sleep(0.02)
            return super().encode(pixels)

    given(monkeypatch, Slow())
    manifest = embed.run(config, Run(config.run)).manifest
    assert manifest.seconds >= 8 * 0.02, "eight batches of up to three"


def test_a_vector_that_is_not_finite_is_a_reject(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, Encoder(broken=1))  # the first of every batch of three: 3 + 3 + 2 in shards of 8, 8 and 4
    result = embed.run(config, Run(config.run))
    assert result.manifest.rejects == {"not_finite": 8}
    assert vectors(config).num_rows == IMAGES - 8
    paths = sorted(Path(config.run, "embed/rejects").glob("*.parquet"))
    rejects = pa.concat_tables([pq.read_table(p) for p in paths]).to_pylist()
    assert all("is not finite" in r["error"] and r["source_uri"].endswith("pool.parquet") for r in rejects)
    assert len(rejects) == 8


def test_too_many_rejects_are_an_error(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, Encoder(broken=2))
    with pytest.raises(DataError, match=r"14 of 20.*max_reject_share=0\.5 \(not_finite 14\).*answers NaN"):
        embed.run(config, Run(config.run))
    assert Run(config.run).stage("embed").manifest() is None


@pytest.mark.parametrize("scale", [0.9, 2.0, 0.0, 1e-9])
def test_vectors_that_are_not_of_unit_length_are_an_error(
    config: Config, monkeypatch: pytest.MonkeyPatch, scale: float
) -> None:
    class Scaled(Encoder):
        def encode(self, pixels: np.ndarray) -> np.ndarray:
            return super().encode(pixels) * scale

    given(monkeypatch, Scaled())
    with pytest.raises(DataError, match=r"embed\.encoder=mean: 6 of 6 embeddings of a shard are not of unit length"):
        embed.run(config, Run(config.run))


def test_a_vector_that_overflows_as_it_is_stored_is_a_reject(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    class Long(Encoder):
        def encode(self, pixels: np.ndarray) -> np.ndarray:
            vectors = super().encode(pixels)
            vectors[0] *= 1e6
            return vectors

    given(monkeypatch, Long())
    assert embed.run(config, Run(config.run)).manifest.rejects == {"not_finite": 8}


def test_a_node_with_other_weights_is_named(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    other = Card(name="mean", identity="of other weights", preprocess=CARD.preprocess, dim=CARD.dim)
    given(monkeypatch, Encoder(other))
    with pytest.raises(DataError, match=r"the weights on .* are not those that the run began with \(of other wei"):
        embed.run(config, Run(config.run))
    assert not list(Path(config.run, "embed").glob("part-*"))


def test_weights_that_a_worker_cannot_have(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> Encoder:
        raise DataError("no weights here")

    given(monkeypatch, Encoder())
    monkeypatch.setattr(embed, "load_encoder", fail)
    with pytest.raises(DataError, match="no weights here"):
        embed.run(config, Run(config.run))


def gone(_spec: Spec) -> Card:
    raise ConfigError("the network is not here")


def test_a_finished_stage_is_found_without_its_network(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, Encoder())
    run = Run(config.run)
    made = embed.run(config, run).manifest
    monkeypatch.setattr(embed, "describe", gone)
    assert embed.run(config, run).manifest == made
    other = dataclasses.replace(config, embed=dataclasses.replace(config.embed, encoder="lite"))
    for cfg, redo in ((other, "no"), (config, "always")):  # asked for by other words, or needed
        with pytest.raises(ConfigError, match="the network is not here"):
            embed.run(cfg, run, redo=redo)
    assert embed.run(config, run).state == "Reused"
    next(Path(config.run, "embed").glob("part-*.parquet")).unlink()
    with pytest.raises(ConfigError, match="the network is not here"):
        embed.run(config, run)


def test_where_the_encoder_lies_is_no_part_of_what_it_makes(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, Encoder())
    run = Run(config.run)
    made = embed.run(config, run).manifest
    for encoder in ("timm:moved", "timm:/elsewhere/moved"):
        moved = dataclasses.replace(config, embed=dataclasses.replace(config.embed, encoder=encoder))
        assert embed.run(moved, run) == Result(state="Reused", manifest=made)
    monkeypatch.setattr(embed, "describe", lambda spec: dataclasses.replace(CARD, name="other", identity="others"))
    with pytest.raises(ConfigError, match=r"encoder: 'mean' there, 'other' here\n.*weights_hash"):
        embed.run(config, run)
