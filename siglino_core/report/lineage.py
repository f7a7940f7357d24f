"""Rejects, timings and lineage as the template shows them."""

from typing import Any

from siglino_core.foreign import sql_files
from siglino_core.report.model import CurationReport, Query
from siglino_core.report.numbers import duration, number, percent
from siglino_core.report.view import top_parts
from siglino_core.report.words import block, clean

MAX_REJECTS, MAX_STAGES, MAX_SOFTWARE, MAX_QUERIES = 40, 40, 60, 12


def default_query(run_url: str) -> Query:
    """Counts by reason, over the sample's own shards."""
    shards = sql_files(run_url, "sample/part-*.parquet")
    return Query(title="Images by reason", sql=f"FROM {shards} SELECT reason, count(*) AS images GROUP BY reason;")


def rejects(report: CurationReport, limit: int) -> dict[str, Any]:
    total = sum(report.reject_counts.values())
    return {
        "total": number(total),
        "any": total > 0,
        "share": percent(total / max(1, report.funnel.pool)),
        "counts": [(n, number(c), percent(c / max(1, total))) for n, c in top_parts(dict(report.reject_counts))],
        "examples": [
            {
                "key": clean(r.source_key, limit),
                "uri": clean(r.source_uri, limit),
                "reason": clean(r.reason.replace("_", " "), 40),
                "error": clean(r.error, 2 * limit),
            }
            for r in report.rejects[:MAX_REJECTS]
        ],
    }


def stages(report: CurationReport) -> dict[str, Any]:
    shown = report.stages[:MAX_STAGES]
    rows = [
        {
            "name": clean(s.name, 40),
            "state": clean(s.state, 20),
            "rows": number(s.rows),
            "shards": number(s.shards),
            "work": duration(s.seconds),
            "wall": duration(s.wall_seconds) if s.wall_seconds is not None else "–",
            "rate": number(float(f"{s.rows / s.seconds:.3g}")) if s.seconds > 0 else "–",
            "fingerprint": clean(s.fingerprint, 80),
            "digest": clean(s.digest, 80),
            "url": clean(s.url, 300),
        }
        for s in shown
    ]
    return {
        "rows": rows,
        "walls": any(s.wall_seconds is not None for s in shown),
        "work": duration(sum(s.seconds for s in shown)),
    }


def lineage(report: CurationReport) -> dict[str, Any]:
    queries = report.queries[:MAX_QUERIES] or (default_query(report.run_url),)
    return {
        "run_url": clean(report.run_url, 400),
        "seed": str(report.seed),
        "command": block(report.command, 2000),
        "config": block(report.config_yaml, 60_000),
        "software": [(clean(k, 60), clean(v, 80)) for k, v in list(report.software.items())[:MAX_SOFTWARE]],
        "queries": [{"title": clean(q.title, 120), "sql": block(q.sql, 2000)} for q in queries],
    }
