"""report: one HTML page of the whole curation, from a bounded number of shards, whatever the pool's size."""

import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.support import price
from pipelines.support.inputs import check
from pipelines.support.provenance import made_by
from pipelines.support.runtime import Estimate, Progress, Result, silent
from pipelines.support.summary import duckdb_line, summarise
from siglino_core.config import Config, ReportConfig, shaping
from siglino_core.curation.clustering.points import prepare
from siglino_core.hashing import id_bits, key_of, uniform
from siglino_core.pools.image_rows import image_rows
from siglino_core.report.curation import render
from siglino_core.report.model import ClusterGrid, CurationReport, MapPoint, MapView, Picture, Query, Reject
from siglino_core.store import Identity, Manifest, Run, Shard
from siglino_core.store.vectors import from_column

VERSION = 3
PAGE = "curation.html"
LOOKED_AT = 64  # shards that the map, the grids and the examples are drawn from
HOVERS = 600  # images of the map that get a thumbnail


def run(config: Config, run: Run, progress: Progress = silent, redo: str = "no") -> Result:
    """Draw the report of a finished sample."""
    cluster, sample = run.stage("cluster").require(), run.stage("sample").require()
    stage = run.stage("report")
    identity = Identity(
        stage="report",
        version=VERSION,
        config=shaping(config.report),
        inputs={"cluster": cluster.digest, "sample": sample.digest},
    )
    todo = stage.begin(identity, lambda: [{"name": "page", "kind": "page"}], redo=redo)
    if todo.manifest is not None:
        return Result(state=todo.state, manifest=todo.manifest)
    if todo.missing:
        progress("report", 0, 1, "drawing")
        writer = todo.stage.writer("page", identity.fingerprint)
        made = made_by(run, sample.identity)
        seen = _Seen(replace(config, seed=made.seed), run, sample, cluster)
        report = summarise(made, run, run.stage("sample"), sample.facts)
        page = render(_pictured(config, run, seen, report))
        with writer as out:
            out.path(PAGE).write_text(page, encoding="utf-8")
            out.commit(rows=sample.rows)
    return Result(state=todo.state, manifest=stage.finish(identity, todo))


def plan(config: Config, upstream: Mapping[str, Estimate]) -> Estimate:
    """What the page costs: the shards it looks at, and the map."""
    rows = upstream["source"].rows
    seen = min(rows, LOOKED_AT * config.source.rows_per_shard)
    return Estimate(
        stage="report",
        shards=1,
        rows=rows,
        bytes=price.REPORT,
        device=price.CPU_CORE,
        device_hours=(seen * price.REPORTED_IMAGE + config.report.map_points * price.MAP_POINT) / 3600,
    )


class _Seen:
    """The images of the shards that are looked at: what was decided of them, and where they lie."""

    def __init__(self, config: Config, run: Run, sample: Manifest, cluster: Manifest) -> None:
        self.run, self.seed = run, config.seed
        self.levels, self.center = sample.facts["levels"], cluster.facts["center"]
        names = [s["name"] for s in run.stage("source").shards("part")]
        order = np.argsort(uniform(key_of(config.seed, "report"), np.arange(len(names), dtype=np.uint64)))
        self.shards = sorted(names[i] for i in order[:LOOKED_AT])
        read = {*self.shards, *names[:LOOKED_AT]}  # their images, and their rejects

        def is_read(name: str) -> bool:
            return PurePosixPath(name).stem in read or name.startswith("clusters/")

        for stage in ("source", "embed", "sample"):
            check(config.runtime, run.stage(stage), is_read)
        tables = [self._read(i, name) for i, name in enumerate(self.shards)]
        self.table = pa.concat_tables(tables)
        self.images: dict[int, dict[str, Any]] = {}

    def _read(self, index: int, shard: str) -> pa.Table:
        with self.run.stage("sample").files.parquet(f"{shard}.parquet") as file:
            table = file.read()
        table = table.append_column("shard", pa.array(np.full(table.num_rows, index)))
        return table.append_column("row", pa.array(np.arange(table.num_rows)))

    def draw(self, positions: np.ndarray, n: int, purpose: str) -> np.ndarray:
        """At most ``n`` of the positions, at random by image, sorted."""
        ids = id_bits(self.table["image_id"].take(pa.array(positions)).to_pylist())
        chosen = np.argsort(uniform(key_of(self.seed, "report", purpose), ids), kind="stable")[:n]
        return np.sort(positions[chosen])

    def load(self, positions: np.ndarray) -> None:
        """Read the images at some positions, each shard once."""
        rows = self.table.select(["shard", "row"]).take(pa.array(positions))
        shard_N, row_N = rows["shard"].to_numpy(), rows["row"].to_numpy()
        for index, shard in enumerate(self.shards):
            places = dict(zip(row_N[shard_N == index].tolist(), positions[shard_N == index].tolist(), strict=True))
            for row, image in image_rows(self.run.stage("source"), shard, np.array(sorted(places), np.int64)):
                self.images[places[row]] = image

    def pictures(self, positions: np.ndarray) -> tuple[Picture, ...]:
        """The images at some positions of the table, with bytes and captions if they were loaded."""
        rows = self.table.take(pa.array(positions)).to_pylist()
        return tuple(self._picture(r, self.images.get(int(p), {})) for p, r in zip(positions, rows, strict=True))

    @staticmethod
    def _picture(row: dict[str, Any], image: dict[str, Any]) -> Picture:
        return Picture(
            image_id=row["image_id"],
            reason=row["reason"],
            caption=image.get("caption") or "",
            label=image.get("label") or "",
            source_key=image.get("source_key") or "",
            note=f"of {row['duplicate_of'][:8]}" if row["reason"] == "near_duplicate" else "",
            data=image.get("bytes"),
        )


def _pictured(config: Config, run: Run, seen: _Seen, report: CurationReport) -> CurationReport:
    placed = np.flatnonzero(seen.table["level_1"].is_valid().to_numpy())
    points = seen.draw(placed, config.report.map_points, "map")
    level, ids = _shown_level(seen)
    choices = _choose_clusters(config.report, seen, ids)
    members = {cluster: _members(config.report, seen, ids, cluster) for cluster in choices}
    shown = [seen.draw(points, HOVERS, "hover"), *(part for parts in members.values() for part in parts)]
    seen.load(np.unique(np.concatenate(shown)))
    grids = []
    for cluster, why in choices.items():
        inside = ids == cluster
        grids.append(
            ClusterGrid(
                title=f"level {level}, cluster {cluster}",
                why=why,
                pool_size=int(inside.sum()),
                kept_size=int((inside & seen.table["kept"].to_numpy()).sum()),
                kept=seen.pictures(members[cluster][0]),
                dropped=seen.pictures(members[cluster][1]),
            )
        )
    return replace(
        report,
        map=_map(run, seen, points, len(placed)),
        grids=tuple(grids),
        rejects=tuple(_rejects(run, run.stage("source").shards("part"))),
        queries=(Query(title="what happened to the pool", sql=duckdb_line(run.url)),),
    )


def _map(run: Run, seen: _Seen, chosen: np.ndarray, drawn_from: int) -> MapView | None:
    """Embeddings in two dimensions."""
    if len(chosen) < 3:
        return None
    rows = seen.table.select(["shard", "row"]).take(pa.array(chosen))
    vectors: list[np.ndarray] = []
    for index, shard in enumerate(seen.shards):
        chosen_rows = rows["row"].to_numpy()[rows["shard"].to_numpy() == index]
        if len(chosen_rows):
            with run.stage("embed").files.parquet(f"{shard}.parquet") as file:
                table = file.read(columns=["row", "embedding"])
            at = np.searchsorted(table["row"].to_numpy(), chosen_rows)
            vectors.append(from_column(table["embedding"].take(pa.array(at))))
    center = None if seen.center is None else np.array(seen.center)
    xy, method = _flat(prepare(np.concatenate(vectors), center).astype(np.float32))
    pictures = seen.pictures(chosen)
    points = (MapPoint(x=float(x), y=float(y), picture=p) for (x, y), p in zip(xy, pictures, strict=True))
    return MapView(points=tuple(points), method=method, drawn_from=drawn_from)


def _flat(x_ND: np.ndarray) -> tuple[np.ndarray, str]:
    """Two dimensions: t-SNE where scikit-learn is installed, else the principal components.

    The settings keep as many neighbours together as scikit-learn's own, for a third of the time (docs/LOG.md).
    """
    variances, turned_ND = _principal(x_ND - x_ND.mean(0))
    share = float(variances[:2].sum() / max(1e-12, variances.sum()))
    plane = turned_ND[:, :2]
    try:
        from sklearn.manifold import TSNE
    except ImportError:
        return plane, f"first two principal components ({share:.0%} of the variance)"
    if len(x_ND) < 50:
        return plane, f"first two principal components ({share:.0%} of the variance)"
    start = plane / plane[:, 0].std() * 1e-4
    perplexity = min(20, len(x_ND) // 4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tsne = TSNE(perplexity=perplexity, init=start, angle=1.0, max_iter=400, random_state=0, n_jobs=1)
        return tsne.fit_transform(turned_ND), "t-SNE of the first 50 principal components (distances mislead)"


def _principal(x_ND: np.ndarray, kept: int = 50) -> tuple[np.ndarray, np.ndarray]:
    """Variances along all principal axes, falling, and the centred points along the first: fp32 [N, kept]."""
    if len(x_ND) <= x_ND.shape[1]:
        _, spectrum, axes = np.linalg.svd(x_ND, full_matrices=False)
        return spectrum**2, x_ND @ axes[:kept].T
    variances, axes = np.linalg.eigh((x_ND.T @ x_ND).astype(np.float64))  # a quarter of the decomposition's time
    return variances[::-1], x_ND @ axes[:, ::-1][:, :kept].astype(np.float32)


def _choose_clusters(config: ReportConfig, seen: _Seen, ids: np.ndarray) -> dict[int, str]:
    """Clusters to show and why: the largest, those with most near-duplicates, and some at random."""
    reasons: dict[int, str] = {}
    reason = seen.table["reason"].to_numpy(zero_copy_only=False)
    count = np.bincount(ids[ids >= 0])
    copies = np.bincount(ids[(ids >= 0) & (reason == "near_duplicate")], minlength=len(count))
    third = max(1, config.clusters // 3)
    rng = np.random.default_rng(key_of(seen.seed, "grids"))
    wishes = [
        (np.argsort(-count, kind="stable")[:third], "one of the largest"),
        (np.argsort(-copies, kind="stable")[:third], "many near-duplicates"),
        (rng.permutation(np.flatnonzero(count >= 3)), "drawn at random"),
    ]
    for clusters, why in wishes:
        for c in clusters:
            if len(reasons) < config.clusters and count[c] > 0:
                reasons.setdefault(int(c), why)
    return reasons


def _shown_level(seen: _Seen) -> tuple[int, np.ndarray]:
    """The finest level whose clusters have enough members among the shards looked at, and each image's cluster."""
    for level in range(1, seen.levels + 1):
        ids = seen.table[f"level_{level}"].fill_null(-1).to_numpy()
        clusters = len(np.unique(ids[ids >= 0]))
        if level == seen.levels or (ids >= 0).sum() >= 16 * clusters:
            return level, ids
    raise AssertionError("a sample has at least one level")


def _members(config: ReportConfig, seen: _Seen, ids: np.ndarray, cluster: int) -> list[np.ndarray]:
    """Some kept and some dropped images of a cluster."""
    members = np.flatnonzero(ids == cluster)
    kept = seen.table["kept"].to_numpy()[members]
    return [seen.draw(members[mask], config.images_per_cluster, f"grid {cluster}") for mask in (kept, ~kept)]


def _rejects(run: Run, shards: list[Shard]) -> list[Reject]:
    """Examples from the first shards that have any."""
    examples: list[Reject] = []
    for stage in ("source", "embed"):
        for shard in shards[:LOOKED_AT]:
            with run.stage(stage).files.parquet(f"rejects/{shard['name']}.parquet") as file:
                examples += [Reject(**row) for row in file.read().to_pylist()]
            if len(examples) >= 40:
                return examples[:40]
    return examples
