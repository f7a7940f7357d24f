"""`siglino plan`: what a run would do and cost, priced by the stages' own code, without doing it."""

from dataclasses import replace

from rich.console import Console
from rich.table import Table

from flows.limits import refuse_too_small
from flows.words import hours, size
from pipelines import cluster, embed, report, sample, source
from pipelines.runtime import Estimate
from siglino_core.config import Config, Keep
from siglino_core.store import Run

WEB_IMAGE = 60_000  # bytes of a web image at LAION's usual 256..512 px, when the pool can't be listed
A100_NODE_HOUR = 8  # GPUs a node


def estimates(config: Config) -> list[Estimate]:
    """One estimate a stage.

    Raises:
        ConfigError: the target or the clusters are more than the pool.
    """
    rows = config.source.pool_size
    if rows:
        per_image = WEB_IMAGE
        stored = per_image if config.source.keep is Keep.BYTES else 0
        first = Estimate(
            stage="source",
            shards=-(-rows // config.source.rows_per_shard),
            rows=rows,
            bytes=rows * (stored + source.POINTER_BYTES),
            device="CPU core",
            device_hours=rows * source.SECONDS_PER_IMAGE[config.source.verify] / 3600,
            note=f"{rows:,} images as configured, not listed",
        )
    else:
        first = source.plan(replace(config, source=config.source), Run(config.run + "/.plan"))
        first = replace(first, device="CPU core")
        rows = first.rows
        per_image = first.bytes / max(1, rows)
    refuse_too_small(config, rows)
    e = embed.plan(config, rows)
    dim = (e.bytes // rows - 36) // 2
    return [
        first,
        e,
        cluster.plan(config, rows, dim),
        sample.plan(config, rows, dim, per_image),
        report.plan(config, rows),
    ]


def show(config: Config, found: list[Estimate], console: Console) -> None:
    """The estimates as a table, and their sum."""
    table = Table(box=None, header_style="dim", padding=(0, 2))
    for name, justify in (("stage", "left"), ("shards", "right"), ("rows", "right"), ("writes", "right")):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    table.add_column("device-hours", justify="right")
    table.add_column("of")
    for e in found:
        table.add_row(e.stage, f"{e.shards:,}", f"{e.rows:,}", size(e.bytes), hours(e.device_hours), e.device)
    console.print(f"Run {config.run}: nothing is done yet, this is what would be.\n")
    console.print(table)
    console.print()
    for e in found:
        if e.note:
            console.print(f"  {e.stage}: {e.note}", style="dim", highlight=False, soft_wrap=True)
    cpu = sum(e.device_hours for e in found if e.device == "CPU core")
    gpu = sum(e.device_hours for e in found if e.device == "A100")
    line = f"\nIn all: {size(sum(e.bytes for e in found))} written, {hours(cpu)} CPU-core-hours"
    if gpu:
        line += f", {hours(gpu)} A100-hours ({hours(gpu / A100_NODE_HOUR)} node-hours of 8)"
    console.print(line + ".", highlight=False)
    console.print(
        "Estimates from constants measured on one core or published for the device; yours will differ.", style="dim"
    )
