"""`siglino plan`: what a run would do and cost, priced by the stages' own code, without doing it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import import_module

from rich.console import Console
from rich.table import Table
from rich.text import Text

from flows.limits import refuse_too_small, require_specs
from flows.screen import say
from flows.stages import CURATE, DISTILL, EVALUATE, GROUND
from pipelines.support import price as constants
from pipelines.support.runtime import Estimate
from siglino_core.config import Config
from siglino_core.errors import SiglinoError
from siglino_core.foreign import printable
from siglino_core.report.numbers import hours, size

LARGE_MEMORY = 1e9  # bytes, from which it is worth a line


@dataclass(kw_only=True)
class Prices:
    """What the path costs.

    Attributes:
        estimates: by stage, in the path's order.
        unpriced: stages whose price cannot be told here, and why.
        stored: what each choice of `targets.keep` would store, in bytes.
    """

    estimates: dict[str, Estimate] = field(default_factory=dict)
    unpriced: dict[str, str] = field(default_factory=dict)
    stored: list[tuple[str, int]] = field(default_factory=list)


def price(config: Config) -> Prices:
    """Ask every stage in turn; each sees the estimates of those before it.

    A teacher that cannot be had here leaves its stages unpriced; so does a pool that is not set, where there is
    something to ground on: grounding needs none.

    Raises:
        ConfigError: the target or the clusters are more than the pool; the encoder or a teacher is none.
        SiglinoError: the pool or the encoder cannot be had.
    """
    require_specs(config, (*CURATE, *DISTILL))
    prices = Prices()
    grounding = GROUND if config.expressions.train else ()
    if grounding and not (config.source.uri or config.source.pool_size):
        prices.unpriced[f"{CURATE[0]} to {EVALUATE[-1]}"] = "source.uri is not set, and grounding needs no pool"
        return _priced_too(config, prices, grounding)
    for name in CURATE:
        prices.estimates[name] = import_module(f"pipelines.{name}").plan(config, prices.estimates)
        if name == "source":
            refuse_too_small(config, prices.estimates[name].rows)
    return _priced_too(config, prices, (*DISTILL, *EVALUATE, *grounding))


def _priced_too(config: Config, prices: Prices, stages: Sequence[str]) -> Prices:
    """The prices with those of more stages, as far as they can be told."""
    for name in stages:
        stage = import_module(f"pipelines.{name}")
        try:
            prices.estimates[name] = stage.plan(config, prices.estimates)
            if name == "targets":
                prices.stored = stage.choices(config)
        except SiglinoError as e:
            prices.unpriced[name] = " ".join(" ".join(e.args).split())
    return prices


def show(config: Config, prices: Prices, console: Console) -> None:
    """The estimates as tables, and their sums."""
    say(console, f"Run {config.run}: nothing is done yet, this is what would be.", "")
    titles = {
        "Curation: siglino curate": CURATE,
        f"Distillation of its {config.sample.target_size:,} images: siglino distill": DISTILL,
        "Evaluation of its student: siglino evaluate": EVALUATE,
        "Grounding: siglino ground": GROUND,
    }
    priced = {title: [e for name, e in prices.estimates.items() if name in of] for title, of in titles.items()}
    for number, title in enumerate(title for title, estimates in priced.items() if estimates):
        console.print("\n" * bool(number) + title, style="bold")
        _priced(priced[title], console)
    for name, why in prices.unpriced.items():
        say(console, f"  not priced: {name}: {why}")
    if prices.stored:
        _keeps(config, prices.stored, console)
    if largest := max(prices.estimates.values(), key=lambda e: e.bytes, default=None):
        console.print(
            f"\nA redone stage is made beside the old one: up to {size(largest.bytes)} more ({largest.stage}) while it "
            "is."
        )
    for e in prices.estimates.values():
        if e.memory > LARGE_MEMORY:
            console.print(f"  {e.stage} holds {size(e.memory)} in the process that drives it.", highlight=False)
    console.print(
        "\nEstimates from constants measured on one core or published for the device; yours will differ.", style="dim"
    )


def _priced(estimates: list[Estimate], console: Console) -> None:
    table = Table(box=None, header_style="dim", padding=(0, 2))
    for name, justify in (("stage", "left"), ("shards", "right"), ("rows", "right"), ("writes", "right")):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    table.add_column("device-hours", justify="right")
    table.add_column("of")
    for e in estimates:
        cells = [e.stage, f"{e.shards:,}", f"{e.rows:,}", size(e.bytes), hours(e.device_hours), e.device]
        table.add_row(*(Text(printable(cell)) for cell in cells))
    console.print(table)
    console.print()
    for e in estimates:
        if e.note:
            say(console, f"  {e.stage}: {e.note}", style="dim")
    console.print(
        f"\nIn all: {size(sum(e.bytes for e in estimates))} written, {_device_hours(estimates)}.", highlight=False
    )


def _device_hours(estimates: list[Estimate]) -> str:
    by_device: dict[str, float] = {constants.CPU_CORE: 0.0}
    for e in estimates:
        by_device[e.device] = by_device.get(e.device, 0.0) + e.device_hours
    parts = [f"{hours(by_device.pop(constants.CPU_CORE))} CPU-core-hours"]
    parts += [
        f"{hours(h)} {device}-hours ({hours(h / constants.NODE)} node-hours of {constants.NODE})"
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
