"""Reports to test with: a small ordinary one, and the largest that a caller could make."""

import dataclasses
import io
from typing import Any

import numpy as np
from PIL import Image

from siglino_core.report.curation import (
    Balance,
    BalanceRow,
    ClusterGrid,
    CurationReport,
    Drop,
    Funnel,
    Interval,
    LabelCounts,
    LevelSizes,
    MapPoint,
    MapView,
    Metric,
    Picture,
    Query,
    Reject,
    StageRecord,
)

REASONS = ("kept", "over_quota", "near_duplicate", "exact_duplicate")
RANDOM, DEDUP, OURS = "random", "duplicates removed, then random", "ours"


def image(seed: int = 0, size: tuple[int, int] = (40, 30), kind: str = "PNG") -> bytes:
    """Noise, which no codec shrinks."""
    noise = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(noise).save(out, kind)
    return out.getvalue()


def picture(i: int, reason: str, **changes: Any) -> Picture:
    made = Picture(image_id=f"{i:032x}", reason=reason, caption=f"a drawing of thing {i}", data=image(i % 7))
    return dataclasses.replace(made, **changes)


def balance(ours: float, *, repeats: int = 5, junk: float = 0.01) -> Balance:
    """Random 71, duplicates removed 92; ours as given."""

    def around(mean: float, spread: float) -> Interval:
        return Interval.of([mean + spread * (i - (repeats - 1) / 2) for i in range(repeats)])

    metrics = (
        Metric(key="effective", title="effective labels", doc="exp of the label entropy"),
        Metric(key="junk", title="junk", share=True, better="lower"),
    )
    means = (
        (RANDOM, 71.0, 0.012),
        (DEDUP, 92.0, 0.012),
        (OURS, ours, junk),
    )
    rows = tuple(
        BalanceRow(
            name=n,
            role="ours" if n == OURS else "baseline",
            values={"effective": around(e, 1.0), "junk": around(j, 0.001)},
        )
        for n, e, j in means
    )
    return Balance(sample_size=200, metrics=metrics, rows=rows, varies="the seed of the draw")


def small(**changes: Any) -> CurationReport:
    rng = np.random.default_rng(0)
    pool = rng.integers(1, 90, 60)
    kept = np.minimum(pool, 4)
    points = tuple(
        MapPoint(x=float(x), y=float(y), picture=picture(i, REASONS[i % 4]))
        for i, (x, y) in enumerate(rng.normal(size=(40, 2)))
    )
    made = CurationReport(
        run_name="demo",
        run_url="runs/demo",
        experiment="smoke",
        date="2026-03-14 09:26 UTC",
        seed=0,
        funnel=Funnel(
            pool=3012,
            kept=200,
            drops=(
                Drop(reason="rejected", count=12, parts={"truncated": 8, "not_an_image": 4}),
                Drop(reason="exact_duplicate", count=68),
                Drop(reason="near_duplicate", count=841),
                Drop(reason="over_quota", count=1891),
            ),
        ),
        levels=(
            LevelSizes(level=1, pool=pool, kept=kept),
            LevelSizes(level=2, pool=pool.reshape(6, 10).sum(1), kept=kept.reshape(6, 10).sum(1)),
        ),
        balance=balance(118.0),
        labels=LabelCounts(names=[f"label {i}" for i in range(60)], pool=pool, kept=kept),
        map=MapView(points=points, method="first two principal components", drawn_from=3000),
        grids=(
            ClusterGrid(
                title="level 1, cluster 7",
                why="the largest",
                pool_size=412,
                kept_size=3,
                kept=tuple(picture(i, "kept") for i in range(3)),
                dropped=tuple(picture(i, REASONS[1 + i % 2], note="cosine 0.97") for i in range(5)),
            ),
        ),
        reject_counts={"truncated": 8, "not_an_image": 4},
        rejects=(
            Reject(source_uri="pool/a.tar", source_key="x/1.jpg", reason="truncated", error="ends after 120 bytes"),
        ),
        stages=(
            StageRecord(
                name="source",
                state="Resumed",
                rows=3000,
                seconds=4.1,
                shards=3,
                fingerprint="f" * 32,
                digest="d" * 32,
                url="runs/demo/source",
            ),
        ),
        command="siglino curate experiment=smoke run=runs/demo",
        config_yaml="run: runs/demo\nseed: 0\n",
        software={"siglino": "0.1.0"},
    )
    return dataclasses.replace(made, **changes)


def without_labels() -> CurationReport:
    return small(labels=None, balance=None)


def hostile(text: str) -> CurationReport:
    """``text`` wherever other people's text can come in."""
    bad = picture(1, "kept", caption=text, label=text, note=text, source_key=text)
    dropped = dataclasses.replace(bad, reason=text)
    row = BalanceRow(name=text, role="baseline", values={"m": Interval(mean=1.0)})
    ours = BalanceRow(name=text, role="ours", values={"m": Interval(mean=2.0)})
    return small(
        run_name=text,
        run_url=text,
        experiment=text,
        date=text,
        funnel=Funnel(pool=10, kept=1, drops=(Drop(reason=text, count=9, parts={text: 9}),)),
        balance=Balance(sample_size=1, metrics=(Metric(key="m", title=text, doc=text),), rows=(row, ours), varies=text),
        labels=LabelCounts(names=[text], pool=[10], kept=[1]),
        map=MapView(
            points=(MapPoint(x=0, y=0, picture=bad), MapPoint(x=1, y=1, picture=dropped)), method=text, drawn_from=2
        ),
        grids=(ClusterGrid(title=text, why=text, pool_size=2, kept_size=1, kept=(bad,), dropped=(dropped,)),),
        reject_counts={text: 1},
        rejects=(Reject(source_uri=text, source_key=text, reason=text, error=text),),
        stages=(
            StageRecord(name=text, state=text, rows=1, seconds=1, shards=1, fingerprint=text, digest=text, url=text),
        ),
        command=text,
        config_yaml=text,
        software={text: text},
        queries=(Query(title=text, sql=text),),
    )


def largest(data: bytes, text: str) -> CurationReport:
    """More of everything than the page shows, with ``text`` everywhere."""
    report = hostile(text)
    many = tuple(picture(i, f"{text}{i % 50}", caption=text, label=text, note=text, data=data) for i in range(80))
    grid = ClusterGrid(title=text, why=text, pool_size=9**9, kept_size=9**9, kept=many, dropped=many)
    points = tuple(MapPoint(x=i * 7919 % 1009, y=i * 104729 % 997, picture=many[i % 80]) for i in range(25_000))
    sizes = np.random.default_rng(0).zipf(1.5, 200_000) % 1_000_000
    counts = {f"{text}{i}": i for i in range(500)}
    return dataclasses.replace(
        report,
        levels=tuple(LevelSizes(level=i, pool=sizes, kept=sizes // 100) for i in range(1, 13)),
        labels=LabelCounts(names=[text] * 200_000, pool=sizes, kept=sizes // 100),
        map=MapView(points=points, method=text, drawn_from=10**9),
        grids=(grid,) * 70,
        reject_counts=counts,
        rejects=report.rejects * 500,
        stages=report.stages * 100,
        config_yaml=text * 1000,
        software=counts | {"x": "y"},  # type: ignore[arg-type]
        queries=report.queries * 100,
        funnel=Funnel(pool=10**12, kept=1, drops=tuple(Drop(reason=text, count=5, parts=counts) for _ in range(40))),
    )
