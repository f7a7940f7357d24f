"""A labelled pool to judge recipes on, from a run's finished `source` and `embed` stages."""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
from PIL import Image

from pipelines.judge.pool import JUNK_OF_ARRAYS, JudgedPool, Junk, numbered, require_room, unit
from pipelines.support.inputs import check
from siglino_core.config import Config
from siglino_core.device import choose
from siglino_core.encoders import Spec
from siglino_core.errors import DataError, SiglinoError
from siglino_core.evaluation.samples.junk import noise_images
from siglino_core.images.decode import decode
from siglino_core.networks import Embeds, describe, load_encoder
from siglino_core.pools.image_rows import image_rows
from siglino_core.store import Manifest, Run
from siglino_core.store.vectors import from_column

SIDE = 32  # pixels of the thumbnails that a cheap student sees
JUNK = "half embedded images of uniform noise, half isotropic unit vectors"


def of_run(run: Run, config: Config) -> JudgedPool:
    """The embedded images of a run.

    Args:
        config: by which the run was made.

    Raises:
        DataError: no labels, or one; or more images than fit.
        StoreError: a stage is not finished.
    """
    manifest = run.stage("embed").require()
    require_room(manifest.rows, run.url)
    for stage in ("source", "embed"):
        check(config.runtime, run.stage(stage), lambda name: not name.startswith("rejects/"))
    names, label_N = _labels(run)
    ids: list[str] = []
    vectors, sizes, pixels = [], [], []
    for shard in _shards(run):
        with run.stage("embed").files.parquet(f"{shard}.parquet") as file:
            embed = file.read(columns=["image_id", "row", "embedding"])
        ids += embed["image_id"].to_pylist()
        vectors.append(from_column(embed["embedding"]))
        sizes.append(np.stack([c.to_numpy() for c in _of_source(run, shard, ["width", "height"]).columns], 1))
        for _, image in image_rows(run.stage("source"), shard, embed["row"].to_numpy()):
            pixels.append(_thumbnail(_decoded(image, config)))
    encoder = _encoder(config, manifest)
    return JudgedPool(
        origin=run.url,
        unit_ND=unit(np.concatenate(vectors), f"embeddings of {run.url}"),
        label_N=label_N,
        names=names,
        ids=ids,
        sizes_N2=np.concatenate(sizes),
        pixels_NF=np.stack(pixels),
        noise=None if encoder is None else _noise(encoder),
        junk=JUNK_OF_ARRAYS if encoder is None else JUNK,
    )


def _shards(run: Run) -> list[str]:
    return [shard["name"] for shard in run.stage("source").shards("part")]


def _of_source(run: Run, shard: str, columns: list[str]) -> pa.Table:
    """Columns of the source stage for the images of a shard that were embedded."""
    with run.stage("embed").files.parquet(f"{shard}.parquet") as file:
        rows = file.read(columns=["row"])["row"]
    with run.stage("source").files.parquet(f"{shard}.parquet") as file:
        return file.read(columns=columns).take(rows)


def _labels(run: Run) -> tuple[list[str], np.ndarray]:
    """Names, and the class number of every embedded image."""
    tables = [_of_source(run, shard, ["label"]) for shard in _shards(run)]
    labels = pa.concat_tables(tables)["label"].fill_null("").to_pylist()
    if not any(labels):
        raise DataError(
            f"{run.url}: its pool has no labels, so that nobody can say what a sample teaches. source.label_column and "
            "source.label_folder say where they are."
        )
    return numbered(np.array(labels), f"labels of {run.url}")


def _decoded(image: dict, config: Config) -> Image.Image:
    limits = {"max_pixels": config.source.max_pixels, "max_bytes": config.source.max_bytes}
    return decode(image["bytes"], draft=SIDE, **limits)


def _thumbnail(picture: Image.Image) -> np.ndarray:
    """uint8 [32 x 32 x 3], the whole image squeezed to a square."""
    return np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.BOX)).reshape(-1)


def _encoder(config: Config, manifest: Manifest) -> Embeds | None:
    """The run's own, if it can be had here."""
    spec = Spec.of(config.embed)
    try:
        if describe(spec).identity != manifest.identity["config"].get("weights_hash"):
            return None
        return load_encoder(spec, choose(config.runtime.device).device, config.embed.precision.value)
    except SiglinoError:
        return None


def _noise(encoder: Embeds) -> Callable[[int, int], Junk]:
    def noise(count: int, seed: int) -> Junk:
        pictures = [Image.fromarray(pixels) for pixels in noise_images(count, seed)]
        batch = encoder.device.batch_size
        seen = np.stack([encoder.card.pixels(picture) for picture in pictures])
        vectors = np.concatenate([encoder.encode(seen[i : i + batch]) for i in range(0, count, batch)])
        return vectors, np.stack([_thumbnail(picture) for picture in pictures]).astype(np.float32)

    return noise
