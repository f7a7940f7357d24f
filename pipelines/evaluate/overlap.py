"""Which test images of a data set the run's training has seen: the same bytes, or nearly, by the run's own embedding.

A unit compares all test images of a data set with the kept images of some source shards; another gathers what they
found into `overlap/<dataset>.parquet`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from pipelines.evaluate.extract import Wanted, extract, identity_of
from pipelines.evaluate.layout import read
from pipelines.evaluate.subjects import Data, Subject
from pipelines.support.inputs import check
from pipelines.support.runtime import Progress
from siglino_core import schema
from siglino_core.config import Config, Layout, ModelConfig, Overlap
from siglino_core.curation.clustering.points import prepare
from siglino_core.device import choose, single_thread
from siglino_core.errors import ConfigError
from siglino_core.evaluation.data.kept import kept_blocks, kept_ids, shards_of
from siglino_core.evaluation.data.overlap import overlap
from siglino_core.evaluation.network.embedding import describe_embedding, load_embedding
from siglino_core.evaluation.network.plan import Described
from siglino_core.store import Run, Shard, Stage

if TYPE_CHECKING:
    from pipelines.evaluate.score import EvaluateWork

COMPARE, GATHER = "compare", "overlap"  # kinds of units
GROUP = 32  # source shards of a unit
NETWORK = "embedding"  # its name among the networks, for people


@dataclass(frozen=True, kw_only=True)
class Check:
    """A data set whose test images are looked for in the training sample.

    Attributes:
        features: folder of the features that name its images; with ``near`` those of the run's embedding.
        near: whether near copies are looked for.
        threshold: cosine from which on an image is a near copy.
        why: why near copies are not looked for; empty: they are.
        inputs: digests of what it reads, by stage.
    """

    dataset: str
    features: str
    near: bool
    threshold: float
    why: str = ""
    inputs: Mapping[str, str] = field(default_factory=dict)


def checks_of(
    config: Config,
    run: Run,
    data: Sequence[Data],
    images: Mapping[str, tuple[str, str]],
    precision: str,
    progress: Progress,
) -> list[Check]:
    """What is to be looked for; test images are embedded by the run's encoder where they are not yet.

    Args:
        images: for each data set the folder of any network's features of its test images, and their digest.
        precision: that features are computed in.

    Raises:
        DataError: as `pipelines.evaluate.extract.extract`.
    """
    sample = run.stage("sample").manifest()
    wanted = [one for one in data if not _own(one, run)]
    if config.evaluate.overlap is Overlap.NONE or sample is None or not wanted:
        return []
    described, why = _encoder(config, run)
    threshold = float(sample.identity["config"]["near_duplicate"])
    if threshold >= 1 and described is not None:
        described, why = None, f"the run was curated with sample.near_duplicate={threshold:g}"
    embedded = {} if described is None else _embedded(config, run, wanted, described, precision, progress)
    found: list[Check] = []
    for one in wanted:
        folder, digest = embedded.get(one.name, images[one.name])
        near = described is not None
        inputs = {"sample": sample.digest, folder: digest}
        inputs |= {name: run.stage(name).require().digest for name in (("embed", "cluster") if near else ())}
        found.append(Check(dataset=one.name, features=folder, near=near, threshold=threshold, why=why, inputs=inputs))
    return found


def planned(run: Run, checks: Sequence[Check]) -> list[Shard]:
    """The units: those that compare, and one a data set that gathers."""
    units: list[Shard] = []
    shards = shards_of(run) if checks else []
    for one in checks:
        parts = [shards[start : start + GROUP] for start in range(0, len(shards), GROUP)]
        names = [f"compare-{one.dataset}-{i:05d}" for i in range(len(parts))]
        units += [
            {"name": name, "kind": COMPARE, "dataset": one.dataset, "shards": part}
            for name, part in zip(names, parts, strict=True)
        ]
        units.append({"name": f"overlap-{one.dataset}", "kind": GATHER, "dataset": one.dataset, "parts": names})
    return units


def require_inputs(config: Config, run: Run, checks: Sequence[Check]) -> None:
    """Hash what units of these checks will read.

    Raises:
        DamagedError: a file is gone or damaged.
    """
    for name in dict.fromkeys(name for one in checks for name in one.inputs if name != "cluster"):
        check(config.runtime, run.stage(name), lambda file: file.startswith("part-"))


def compare(work: "EvaluateWork", shard: Shard) -> dict[str, Any]:
    """Compare a data set's test images with the kept images of some shards; returns the commit record."""
    device = choose(work.config.runtime.device).device
    if device == "cpu":
        single_thread()
    one = _check(work, shard)
    image_ids, _, vectors_ND = _test_images(work, one.dataset)
    blocks = (kept_blocks if one.near else kept_ids)(work.run, shard["shards"])
    with work.writer(shard["name"]) as out:
        matches = {m.test_id: m for m in overlap(image_ids, vectors_ND, blocks, one.threshold, device=device)}
        rows = [
            {"sample_id": "", "image_id": m.test_id, "train_id": m.train_id, "cosine": m.cosine, "exact": m.exact}
            for m in matches.values()
        ]
        out.write(_part(shard["name"]), pa.Table.from_pylist(rows, schema.OVERLAP), schema.OVERLAP)
        return out.commit(rows=len(rows), facts={"says": f"{len(rows)} test images in {len(shard['shards'])} shards"})


def gather(work: "EvaluateWork", shard: Shard) -> dict[str, Any]:
    """Of all that was found of a data set the likest training image of each sample; returns the commit record."""
    best: dict[str, dict[str, Any]] = {}
    for part in shard["parts"]:
        with work.stage.files.parquet(_part(part)) as file:
            for row in file.read().to_pylist():
                before = best.setdefault(row["image_id"], row)
                if _order(row) < _order(before):
                    best[row["image_id"]] = row
    image_ids, sample_ids, _ = _test_images(work, shard["dataset"])
    pairs = zip(sample_ids, image_ids, strict=True)
    rows = [{**best[image], "sample_id": sample} for sample, image in pairs if image in best]
    exact = sum(row["exact"] for row in rows)
    with work.writer(shard["name"]) as out:
        name = f"overlap/{shard['dataset']}.parquet"
        out.write(name, pa.Table.from_pylist(rows, schema.OVERLAP), schema.OVERLAP)
        facts = {"exact": exact, "near": len(rows) - exact, "says": f"{len(rows)} test images are in the sample"}
        return out.commit(rows=0, facts=facts)


def _own(one: Data, run: Run) -> bool:
    """Whether a data set is made of images of this very run, or of none that anyone could have seen."""
    layout = one.config.layout
    return layout is Layout.COMPOSITES or (layout is Layout.RUN and one.config.run.rstrip("/") == run.url)


def _embedded(
    config: Config, run: Run, data: Sequence[Data], described: Described, precision: str, progress: Progress
) -> dict[str, tuple[str, str]]:
    """For each data set the folder of the run's own embeddings of its test images, and their digest."""
    model = ModelConfig(name=NETWORK, network=config.embed.encoder)
    load = partial(load_embedding, config.embed, described.identity)
    subject = Subject(name=NETWORK, model=model, described=described, load=load)
    wanted = {
        one.name: Wanted(
            identity=identity_of(described, one.test, dense=False, precision=precision),
            described=described,
            split=one.test,
            names=(one.name, "test"),
            dense=False,
        )
        for one in data
    }
    manifests = extract(config, run, subject, list(wanted.values()), progress)
    return {name: (w.folder, manifests[w.folder].digest) for name, w in wanted.items()}


def _encoder(config: Config, run: Run) -> tuple[Described | None, str]:
    """The run's encoder of images; or None, and why it cannot be used."""
    made = run.stage("sample").require().identity["inputs"]
    for name in ("embed", "cluster"):
        manifest = run.stage(name).manifest()
        if manifest is None or manifest.digest != made[name]:
            return None, f"the run's {name} is {'not there' if manifest is None else 'newer than its sample'}"
    try:
        described = describe_embedding(config.embed)
    except ConfigError as e:
        return None, f"the run's encoder cannot be had ({e})"
    embed = run.stage("embed").require().identity["config"]
    if (described.card.name, described.card.identity) != (embed["encoder"], embed["weights_hash"]):
        return None, f"embed.encoder={config.embed.encoder} is another network here than the run's"
    return described, ""


def _check(work: "EvaluateWork", shard: Shard) -> Check:
    return next(one for one in work.checks if one.dataset == shard["dataset"])


@lru_cache(maxsize=1)  # a worker compares the same images again and again
def _test_images(work: "EvaluateWork", dataset: str) -> tuple[list[str], list[str], np.ndarray | None]:
    """Image ids, sample ids, and vectors as the run's own were compared with each other."""
    one = _check(work, {"dataset": dataset})
    stage: Stage = work.run.stage(one.features)
    features = read(stage, stage.require(), network=NETWORK, dataset=dataset, split="test")
    vectors_ND = None
    if one.near:
        center = work.run.stage("cluster").require().facts["center"]
        (view,) = features.summaries
        vectors_ND = prepare(features.summaries[view], None if center is None else np.array(center))
    return list(features.image_ids), list(features.sample_ids), vectors_ND


def _part(name: str) -> str:
    return f"overlap/parts/{name}.parquet"


def _order(row: Mapping[str, Any]) -> tuple[bool, float, str]:
    return not row["exact"], -row["cosine"], row["train_id"]
