"""A run in numbers, from its manifests alone: what the dataset card and the report have in common."""

import json
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from pipelines.support.provenance import about
from siglino_core.config import Config, to_dict
from siglino_core.foreign import sql_files
from siglino_core.report.model import (
    Balance,
    BalanceRow,
    CurationReport,
    Drop,
    Funnel,
    LabelCounts,
    Learning,
    LevelSizes,
    Metric,
    StageRecord,
)
from siglino_core.statistics.diversity import CURATED, SAMPLES
from siglino_core.statistics.interval import Interval
from siglino_core.store import Manifest, Run, Stage

STAGES = ("source", "embed", "cluster", "sample")
METRICS = (
    Metric(
        key="effective_labels",
        title="effective labels",
        doc="exp of the entropy of the labels: how many equally frequent labels would be as diverse",
    ),
    Metric(
        key="rare_half_share",
        title="share of the rare half",
        doc="share of labelled images whose label is in the rarer half of the label list, by the pool's counts",
        share=True,
    ),
    Metric(key="labels_covered", title="labels covered", doc="labels with at least one image"),
)
VARIES = "the draw of images and of the quotas' remainders; embeddings and clusters are this run's"
SOFTWARE = ("siglino", "torch", "ray", "pyarrow", "timm", "transformers", "prefect")


def summarise(made: Config, run: Run, sample: Stage, facts: dict[str, Any]) -> CurationReport:
    """The report's numbers, without its pictures.

    Args:
        made: by what the curation was made (`pipelines.support.provenance`).
        sample: the stage, or its successor while that is made.
        facts: the sample's (`pipelines.sample`), whose manifest may not be written yet.
    """
    stages = {name: run.stage(name) for name in STAGES} | {"sample": sample}
    manifests = {name: m for name, stage in stages.items() if (m := stage.manifest()) is not None}
    told = about(run)
    return CurationReport(
        run_name=run.url.rstrip("/").rpartition("/")[2],
        run_url=run.url,
        experiment=str(told.get("experiment", "")),
        date=max((m.finished for m in manifests.values()), default="")[:16].replace("T", " ") + " UTC",
        seed=made.seed,
        funnel=_funnel(manifests, facts),
        levels=tuple(_levels(sample, facts["levels"])),
        balance=_balance(made, facts["balance"]),
        labels=_labels(facts["labels"]),
        learning=learning(facts),
        reject_counts={**manifests["source"].rejects, **manifests["embed"].rejects},
        stages=tuple(_record(run, name, m) for name, m in manifests.items()),
        command=str(told.get("command", "")),
        config_yaml=_yaml({k: v for k, v in to_dict(made).items() if k in ("seed", *STAGES)}),
        software=_software(),
    )


def _funnel(manifests: dict[str, Manifest], facts: dict[str, Any]) -> Funnel:
    source, embed, reasons = manifests["source"], manifests["embed"], facts["reasons"]
    bad = {**source.rejects}
    for reason, count in embed.rejects.items():
        bad[reason] = bad.get(reason, 0) + count
    drops = [Drop(reason="rejected", count=sum(bad.values()), parts=bad)]
    drops += [
        Drop(reason=r, count=reasons.get(r, 0)) for r in ("exact_duplicate", "near_duplicate", "outlier", "over_quota")
    ]
    return Funnel(
        pool=source.rows + sum(source.rejects.values()),
        drops=tuple(drops),
        kept=reasons.get("kept", 0),
    )


def _levels(sample: Stage, levels: int) -> list[LevelSizes]:
    """The clusters' sizes at every level, before and after."""
    with sample.files.parquet("clusters/part-00000.parquet") as file:
        table = file.read()
    pool, kept = table["size"].to_numpy(), table["kept"].to_numpy()
    sizes = []
    for level in range(1, levels + 1):
        ids = table[f"level_{level}"].to_numpy()
        k = int(ids.max()) + 1
        count = (np.bincount(ids, weights, k).astype(np.int64) for weights in (pool, kept))
        sizes.append(LevelSizes(level=level, pool=next(count), kept=next(count)))
    return sizes


def _balance(made: Config, measured: dict[str, Any]) -> Balance | None:
    if not measured:
        return None
    rows = tuple(
        BalanceRow(
            name="ours" if name == CURATED else name,
            role="ours" if name == CURATED else "baseline",
            values={metric: Interval(**value) for metric, value in measured[name].items()},
        )
        for name in SAMPLES
    )
    return Balance(sample_size=made.sample.target_size, metrics=METRICS, rows=rows, varies=VARIES)


def _labels(labels: dict[str, list[int]]) -> LabelCounts | None:
    if not labels:
        return None
    pool, kept = zip(*labels.values(), strict=True)
    return LabelCounts(names=list(labels), pool=pool, kept=kept)


def learning(facts: dict[str, Any]) -> Learning | None:
    """What a sample's facts say of what it teaches; None: nothing, or why there is nothing."""
    found = facts.get("learning", {})
    if "difference" not in found:
        return None
    rows = {
        name: {key: Interval(**value) for key, value in found[name].items()}
        for name in ("curated", "random", "difference")
    }
    return Learning(**rows, **{name: found[name] for name in ("splits", "train", "test", "labels")})


def _record(run: Run, name: str, m: Manifest) -> StageRecord:
    return StageRecord(
        name=name,
        state=m.state,
        rows=m.rows,
        seconds=m.seconds,
        wall_seconds=m.wall_seconds,
        shards=m.shards,
        fingerprint=m.fingerprint,
        digest=m.digest,
        url=f"{run.url}/{name}",
    )


def _yaml(values: dict[str, Any], indent: str = "") -> str:
    """Nested plain values as YAML; JSON scalars are YAML."""
    lines = []
    for key, value in values.items():
        if isinstance(value, dict):
            lines += [f"{indent}{key}:", _yaml(value, indent + "  ")]
        else:
            lines.append(f"{indent}{key}: {json.dumps(value)}")
    return "\n".join(lines)


def _software() -> dict[str, str]:
    versions = {}
    for name in SOFTWARE:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def duckdb_line(url: str) -> str:
    """A query that goes on from what `inspect` shows."""
    sample, source = sql_files(url, "sample/*.parquet"), sql_files(url, "source/*.parquet")
    return (  # text to copy; nothing here runs it
        f"SELECT reason, count(*) AS images FROM {sample} GROUP BY reason ORDER BY images DESC;"
        f"\nSELECT s.image_id, source_uri, source_key FROM {sample} s "
        f"JOIN {source} USING (image_id) WHERE kept LIMIT 10;"
    )
