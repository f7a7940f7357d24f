"""The command `siglino`: plan, curate, distill, run, inspect, verify, report, export, pca, doctor, config."""

if __name__ == "__main__":  # before what follows, which takes time
    from flows.entry import main as entry

    entry()

import argparse
import os
import sys
from collections.abc import Sequence
from functools import partial
from typing import Any, NoReturn

from rich.console import Console

import siglino_core
from flows import settings, signals
from flows.screen import Screen, said, say
from flows.stderr import warnings_on_stderr
from siglino_core.errors import ConfigError, SiglinoError, WorkerError
from siglino_core.foreign import printable, word

EPILOG = """\
Settings are key=value words: experiment=demo run=s3://bucket/run seed=1 sample.target_size=500
`siglino config` lists every key with its sentence. Errors exit with 1, wrong usage or config with 2.
"""
STAGES = {  # `flows.stages.COMMANDS`, whose import takes longer than a look at --help should
    "curate": "source, embed, cluster, sample, report",
    "distill": "targets, train, export",
    "run": "source, embed, cluster, sample, report, targets, train, export",
}


@warnings_on_stderr()
def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    arguments = _parsed(argv)
    console = Screen(width=None if sys.stdout.isatty() else 120)
    try:
        _refuse_secrets(arguments)
        return COMMANDS[arguments.command](arguments, console)
    except SiglinoError as e:
        if arguments.debug or signals.received():
            raise
        print(said(e), file=sys.stderr)
        return e.exit_code
    except BrokenPipeError:  # the reader, e.g. `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _refuse_secrets(arguments: argparse.Namespace) -> None:
    """Settings are judged with the config; this is for the folders and addresses that commands take beside them."""
    from siglino_core.config.credentials import faults

    if secrets := faults({k: v for k, v in vars(arguments).items() if k != "settings"}):
        raise ConfigError(*secrets)


def _parsed(argv: Sequence[str] | None) -> argparse.Namespace:
    """Options and settings in any order: argparse gives up on settings that follow an option."""
    parser = _parser()
    arguments, rest = parser.parse_known_args(argv)
    if any(word.startswith("-") for word in rest) or (rest and not hasattr(arguments, "settings")):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:
        arguments.settings += rest
    return arguments


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:  # it quotes what was typed
        super().error(printable(message))


def _parser() -> argparse.ArgumentParser:
    shared = _Parser(add_help=False)
    shared.add_argument("--debug", action="store_true", help="show tracebacks")
    parser = _Parser(
        prog="siglino",
        description="From a raw image pool to a curated, balanced set, and from there to a distilled vision model.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"siglino {siglino_core.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, text: str, *, settings: bool = True) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text, parents=[shared])
        if settings:
            sub.add_argument("settings", nargs="*", metavar="key=value", help="experiment=NAME and other settings")
        return sub

    command("plan", "Say what a run would do and cost, without doing it.")
    for name, text in (
        ("curate", "Curate: do what is missing, from the pool to the report."),
        ("distill", "Distil: do what is missing, from a curated sample to the exported student."),
        ("run", "Curate, then distil: do what is missing of the whole path."),
    ):
        sub = command(name, text)
        sub.add_argument("--from", dest="from_stage", metavar="STAGE", help=f"start there ({STAGES[name]})")
        sub.add_argument("--only", metavar="STAGE", help="run this stage alone")
        sub.add_argument(
            "--redo", action="append", default=[], metavar="STAGE", help="make it anew, and what follows from it"
        )
    inspect = command("inspect", "Show a run's stages, rejects, sample, balance and clusters.", settings=False)
    inspect.add_argument("run", help="folder or URL of the run")
    verify = command("verify", "Check every file of a run against what was written.", settings=False)
    verify.add_argument("run", help="folder or URL of the run")
    verify.add_argument("stage", nargs="?", metavar="STAGE", help="this stage alone")
    verify.add_argument("--mend", action="store_true", help="make again what is damaged, and nothing else")
    report = command("report", "Draw the HTML report of a finished sample again.")
    report.set_defaults(from_stage=None, only="report", redo=["report"])
    export = command("export", "Write a student's weights as others take them, with config and card.", settings=False)
    export.add_argument("checkpoint", help="training checkpoint, exported folder, .safetensors or .pt file, or hub id")
    export.add_argument("--out", required=True, metavar="FOLDER", help="to be made")
    export.add_argument("--like", metavar="NAME", help="configuration of a flat file: a name or a config.json")
    export.add_argument("--max-pixels", type=int, default=256**2, metavar="N", help="bound on an image's area")
    export.add_argument("--program", metavar="GRID", help="also a program: dynamic, 16x16 (patches), or onnx")
    export.add_argument("--license", default="unknown", metavar="ID", help="the Hub's id, or another licence's name")
    export.add_argument("--license-link", default="", metavar="URL", help="of another licence's text")
    export.add_argument("--dataset", action="append", default=[], metavar="ID", help="the Hub's id of training images")
    command("doctor", "Check this machine and the run's store.")
    command("config", "Print the resolved config, every key with its sentence.")
    pca = command("pca", "Draw maps of a model's features by their principal components.", settings=False)
    pca.add_argument("images", nargs="+", metavar="IMAGE", help="image, or folder of images")
    pca.add_argument("--model", required=True, metavar="FOLDER", help="folder of an exported model, or its hub id")
    pca.add_argument("--out", default="pca", metavar="FOLDER", help="where the maps go (default: pca)")
    pca.add_argument("--max-pixels", type=int, metavar="N", help="bound on an image's area (default: the model's own)")
    return parser


def _make(command: str, arguments: argparse.Namespace, console: Console) -> int:
    """Run a command's stages: by Prefect where it has an API, else in this process."""
    from flows.config import compose_config
    from flows.display import Display
    from flows.prefect_api import api_url
    from flows.stages import begin, choose, run_stages

    settings.apply()
    config = compose_config(arguments.settings)  # judged before anything starts
    choices = choose(command, arguments.from_stage, arguments.only, arguments.redo)
    by_prefect = bool(api_url())
    asked = None if by_prefect else begin(command, arguments.settings, config, choices)
    experiment = next((w for w in arguments.settings if w.startswith("experiment=")), "no experiment")
    say(console, f"SigLino {siglino_core.__version__}: {experiment}, run={config.run}")
    with Display([choice.stage for choice in choices], console) as display:
        if asked is None:
            done = _by_prefect(command, arguments, display)
        else:
            done = run_stages(choices, config, asked, display)
    _farewell(config.run, done, console)
    return 0


def _by_prefect(command: str, arguments: argparse.Namespace, progress: Any) -> dict[str, Any]:
    """Run a command's flow in this process, as a run that Prefect's API knows; each stage's outcome."""
    quiet = ("PREFECT_LOGGING_LEVEL", "PREFECT_SERVER_LOGGING_LEVEL")
    settings.apply({**dict.fromkeys(quiet, "CRITICAL"), "PREFECT_LOGGING_TO_API_ENABLED": "false"})
    from flows.curate import curate
    from flows.distill import distill
    from flows.prefect_api import api_url
    from flows.run import run_path
    from flows.tasks import listen

    flow = {"curate": curate, "distill": distill, "run": run_path}[command]
    experiment = next((w.partition("=")[2] for w in arguments.settings if w.startswith("experiment=")), "")
    rest = [w for w in arguments.settings if not w.startswith("experiment=")]
    options = {"from_stage": arguments.from_stage, "only": arguments.only, "redo": arguments.redo}
    stop = listen(progress)
    try:
        return flow(experiment=experiment, overrides=rest, **options)
    except Exception as e:
        unreachable = type(e).__module__.partition(".")[0] in ("httpx", "httpcore") or "Failed to reach API" in str(e)
        if not unreachable:
            raise
        raise WorkerError(
            f"Prefect's API at {api_url()} does not answer ({type(e).__name__}: {e}). Start it with `prefect server "
            "start`, or unset PREFECT_API_URL to run without one."
        ) from e
    finally:
        stop()


def _farewell(run: str, done: dict[str, Any], console: Console) -> None:
    """What was kept, what was learned, and where it lies."""
    from flows.inspect import losses
    from siglino_core.store import Run

    lines = [""]
    if "sample" in done and (sample := Run(run).stage("sample").manifest()) is not None:
        reasons = sample.facts["reasons"]
        lines.append(f"Kept {reasons.get('kept', 0):,} of {sum(reasons.values()):,} usable images.")
        lines.append(f"Training shards  {run}/sample/images")
    if "report" in done:
        lines.append(f"Report           {run}/report/curation.html")
    if "train" in done and (train := Run(run).stage("train").manifest()) is not None:
        losses(train, console)
    if "export" in done:
        lines.append(f"Student          {run}/export/student  (its README.md says how to load it)")
        lines.append(f"Next             siglino pca PHOTOS --model {word(f'{run}/export/student')}")
    else:
        lines.append(f"Next             siglino inspect {word(run)}")
    say(console, *lines)


def _plan(arguments: argparse.Namespace, console: Console) -> int:
    from flows.config import compose_config
    from flows.plan import price, show
    from flows.preflight import refuse_unaffordable

    config = compose_config(arguments.settings)
    prices = price(config)
    show(config, prices, console)
    refuse_unaffordable(config, list(prices.estimates.values()))
    words = " ".join(map(word, arguments.settings))
    say(console, "", f"Next: siglino curate {words}", f"then: siglino distill {words}")
    return 0


def _inspect(arguments: argparse.Namespace, console: Console) -> int:
    from flows.inspect import inspect

    inspect(arguments.run.rstrip("/"), console)
    return 0


def _verify(arguments: argparse.Namespace, console: Console) -> int:
    from flows.display import Display
    from flows.mend import mend
    from flows.verify import verify
    from siglino_core.store import Run

    settings.apply()
    run = Run(arguments.run)
    found = verify(run, arguments.stage, console)
    bad = [v.name for v in found if not v.good]
    if bad and arguments.mend:
        with Display([name for name in bad if name != "notes"], console) as display:
            lost = mend(run, found, display)
        say(console, *lost, "")
        bad = [v.name for v in verify(run, arguments.stage, console) if not v.good]
    if bad:
        console.print(f"\nDamaged: {', '.join(bad)}.", highlight=False)
    else:
        console.print("\nEverything is what was written.", highlight=False)
    return 1 if bad else 0


def _doctor(arguments: argparse.Namespace, console: Console) -> int:
    from flows.config import compose_config
    from flows.doctor import doctor

    return 0 if doctor(compose_config(arguments.settings), console) else 1


def _config(arguments: argparse.Namespace, console: Console) -> int:
    from flows.config import compose_config, experiments, yaml_with_docs

    print(yaml_with_docs(compose_config(arguments.settings)))
    console.print(f"\n# experiments: {', '.join(experiments())}", highlight=False)
    return 0


def _export(arguments: argparse.Namespace, console: Console) -> int:
    from siglino_core.weights.export import export
    from siglino_core.weights.load import load_student
    from siglino_core.weights.origin import Origin

    said = {"license": arguments.license, "license_link": arguments.license_link, "datasets": tuple(arguments.dataset)}
    origin = Origin(**said)  # judged before the weights are read
    model = load_student(arguments.checkpoint, arguments.like)
    options = {"max_pixels": arguments.max_pixels, "program": arguments.program, "origin": origin}
    files = export(model, arguments.out, source=arguments.checkpoint, **options)
    megabytes = sum(f.stat().st_size for f in files) / 1e6
    say(console, f"{len(files)} files, {megabytes:,.1f} MB, in {arguments.out}; its README.md says how to load them.")
    return 0


def _pca(arguments: argparse.Namespace, console: Console) -> int:
    from pathlib import Path

    from siglino_core.evaluation import feature_maps as maps

    images = maps.find_images(arguments.images)  # judged before the model is loaded
    student = maps.load(arguments.model, arguments.max_pixels)
    drawn = 0
    for outcome in maps.draw(images, student, Path(arguments.out)):
        drawn += outcome.map is not None
        say(console, f"{outcome.image}: {outcome.map or f'no map: {outcome.error}'}")
    where = f"Maps of {drawn:,} of {len(images):,} images  {arguments.out}"
    say(console, "", where if drawn else "No image could be drawn.")
    return 0 if drawn else 1


COMMANDS = {
    "plan": _plan,
    "curate": partial(_make, "curate"),
    "distill": partial(_make, "distill"),
    "run": partial(_make, "run"),
    "inspect": _inspect,
    "verify": _verify,
    "report": partial(_make, "curate"),
    "export": _export,
    "doctor": _doctor,
    "config": _config,
    "pca": _pca,
}
