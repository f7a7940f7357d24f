"""`siglino plan`: what a run would do and cost, priced by the stages' own code, without doing it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module

from rich.console import Console
from rich.table import Table

from flows.limits import refuse_too_small
from flows.stages import DISTILL
from flows.words import hours, size
from pipelines import cluster, embed, report, sample, source
from pipelines.support import price
from pipelines.support.runtime import Estimate
from siglino_core.config import Config, Keep
from siglino_core.errors import SiglinoError
from siglino_core.store import Run


@dataclass(frozen=True, kw_only=True)
class Distillation:
    """The distillation's prices."""

    estimates: list[Estimate]
    choices: list[tuple[str, int]]  # what each targets.keep would store, in bytes
    unpriced: list[str]  # stages whose price cannot be told here, and why


def estimates(config: Config) -> list[Estimate]:
    """One estimate a stage of the curation.

    Raises:
        ConfigError: the target or the clusters are more than the pool.
    """
    rows = config.source.pool_size
    if rows:
        per_image = price.WEB_IMAGE
        stored = per_image if config.source.keep is Keep.BYTES else 0
        first = Estimate(
            stage="source",
            shards=-(-rows // config.source.rows_per_shard),
            rows=rows,
            bytes=rows * (stored + price.SOURCE_ROW),
            device=price.CPU_CORE,
            device_hours=rows * price.SOURCE_IMAGE[config.source.verify] / 3600,
            note=f"{rows:,} images as configured, not listed",
        )
    else:
        first = source.plan(replace(config, source=config.source), Run(config.run + "/.plan"))
        first = replace(first, device=price.CPU_CORE)
        rows = first.rows
        per_image = first.bytes / max(1, rows)
    refuse_too_small(config, rows)
    e = embed.plan(config, rows)
    dim = (e.bytes // rows - price.EMBEDDED_ROW) // 2
    return [
        first,
        e,
        cluster.plan(config, rows, dim),
        sample.plan(config, rows, dim, per_image),
        report.plan(config, rows),
    ]


def distillation(config: Config) -> Distillation:
    """What the distillation of the sample costs. A teacher that cannot be had here leaves its stages unpriced."""
    images, unpriced = config.sample.target_size, []

    def tried(stage: str, price: Callable[[], list]) -> list:
        try:
            return price()
        except SiglinoError as e:
            unpriced.append(f"{stage}: {' '.join(str(e).split())}")
            return []

    modules = {stage: import_module(f"pipelines.{stage}") for stage in DISTILL}  # torch: seconds
    found = [e for stage, m in modules.items() for e in tried(stage, lambda m=m: [m.plan(config, images)])]
    priced = any(e.stage == "targets" for e in found)
    choices = tried("targets", lambda: modules["targets"].choices(config, images)) if priced else []
    return Distillation(estimates=found, choices=choices, unpriced=unpriced)


def show(config: Config, found: list[Estimate], then: Distillation, console: Console) -> None:
    """The estimates as tables, and their sums."""
    console.print(f"Run {config.run}: nothing is done yet, this is what would be.\n")
    console.print("Curation: siglino run", style="bold")
    _priced(found, console)
    console.print(f"\nDistillation of its {config.sample.target_size:,} images: siglino distill", style="bold")
    _priced(then.estimates, console)
    for line in then.unpriced:
        console.print(f"  not priced: {line}", highlight=False, soft_wrap=True)
    if then.choices:
        _keeps(config, then.choices, console)
    console.print(
        "\nEstimates from constants measured on one core or published for the device; yours will differ.", style="dim"
    )


def _priced(found: list[Estimate], console: Console) -> None:
    if not found:
        return
    table = Table(box=None, header_style="dim", padding=(0, 2))
    for name, justify in (("stage", "left"), ("shards", "right"), ("rows", "right"), ("writes", "right")):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    table.add_column("device-hours", justify="right")
    table.add_column("of")
    for e in found:
        table.add_row(e.stage, f"{e.shards:,}", f"{e.rows:,}", size(e.bytes), hours(e.device_hours), e.device)
    console.print(table)
    console.print()
    for e in found:
        if e.note:
            console.print(f"  {e.stage}: {e.note}", style="dim", highlight=False, soft_wrap=True)
    console.print(f"\nIn all: {size(sum(e.bytes for e in found))} written, {_device_hours(found)}.", highlight=False)


def _device_hours(found: list[Estimate]) -> str:
    by_device: dict[str, float] = {price.CPU_CORE: 0.0}
    for e in found:
        by_device[e.device] = by_device.get(e.device, 0.0) + e.device_hours
    parts = [f"{hours(by_device.pop(price.CPU_CORE))} CPU-core-hours"]
    parts += [
        f"{hours(h)} {device}-hours ({hours(h / price.NODE)} node-hours of {price.NODE})"
        for device, h in by_device.items()
    ]
    return ", ".join(parts)


def _keeps(config: Config, choices: list[tuple[str, int]], console: Console) -> None:
    table = Table(box=None, header_style="dim", padding=(0, 2), title="What targets.keep stores", title_justify="left")
    table.add_column("targets.keep")
    for name in ("in all", "an image"):
        table.add_column(name, justify="right")
    table.add_column()
    for keep, n in choices:
        chosen = "chosen" if keep == config.targets.keep.value else ""
        table.add_row(keep, size(n), size(n / config.sample.target_size), chosen)
    console.print()
    console.print(table)
