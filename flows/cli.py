"""The command `siglino`: plan, curate, distill, evaluate, ground, run, compare, inspect, verify, and others."""

if __name__ == "__main__":  # before what follows, which takes time
    from flows.entry import main as entry

    entry()

import argparse
import os
import sys
from collections.abc import Sequence
from functools import partial
from typing import Any

from rich.console import Console

import siglino_core
from flows import settings, signals
from flows.arguments import parsed
from flows.screen import Screen, said, say
from flows.stderr import warnings_on_stderr
from siglino_core.errors import ConfigError, SiglinoError, WorkerError
from siglino_core.foreign import word


@warnings_on_stderr()
def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    arguments = parsed(argv)
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


def _make(command: str, arguments: argparse.Namespace, console: Console) -> int:
    """Run a command's stages: by Prefect where it has an API, else in this process."""
    from flows.config import compose_config
    from flows.display import Display
    from flows.prefect_api import api_url
    from flows.stages import begin, choose, configured, run_stages

    settings.apply()
    config = compose_config(arguments.settings, arguments.redo)  # judged before anything starts
    choices = configured(choose(command, arguments.from_stage, arguments.only, arguments.redo), config)
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
    from flows.evaluate import evaluate
    from flows.ground import ground
    from flows.prefect_api import api_url
    from flows.run import run_path
    from flows.tasks import listen

    flow = {"curate": curate, "distill": distill, "evaluate": evaluate, "ground": ground, "run": run_path}[command]
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
    from flows.headlines import grounding, headlines
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
    if "evaluate" in done and (evaluate := Run(run).stage("evaluate").manifest()) is not None:
        headlines(evaluate.facts, console)
        lines.append(f"Evaluation       {run}/evaluate/evaluation.html")
    if "answers" in done and (answers := Run(run).stage("answers").manifest()) is not None:
        grounding(answers.facts, console)
        lines.append(f"Grounding        {run}/answers/grounding.html, and grounding.jpg beside it")
    if "ground" in done:
        model = word(f"{run}/ground/model")
        lines.append(f"Model            {run}/ground/model")
        lines.append(f"Next             siglino ground predict PHOTO 'the red bird' --model {model}")
    elif "export" in done:
        lines.append(f"Student          {run}/export/student  (its README.md says how to load it)")
        lines.append(f"Next             siglino pca PHOTOS --model {word(f'{run}/export/student')}")
    else:
        lines.append(f"Next             siglino inspect {word(run)}")
    say(console, *lines)


def _predict(arguments: argparse.Namespace, console: Console) -> int:
    from flows.predict import predict

    return predict(arguments, console)


def _plan(arguments: argparse.Namespace, console: Console) -> int:
    from flows.config import compose_config
    from flows.plan import price, show
    from flows.preflight import refuse_unaffordable

    config = compose_config(arguments.settings)
    prices = price(config)
    show(config, prices, console)
    refuse_unaffordable(config, list(prices.estimates.values()))
    words = " ".join(map(word, arguments.settings))
    commands = ["curate", "distill", "evaluate"] if "source" in prices.estimates else []
    commands += ["ground"] if config.expressions.train else []
    steps = (f"{'then' if i else 'Next'}: siglino {command} {words}" for i, command in enumerate(commands))
    say(console, "", *steps)
    return 0


def _inspect(arguments: argparse.Namespace, console: Console) -> int:
    from flows.inspect import inspect

    inspect(arguments.run.rstrip("/"), console)
    return 0


def _verify(arguments: argparse.Namespace, console: Console) -> int:
    from flows.display import Display
    from flows.mend import mend
    from flows.verify import stage_of, verify
    from siglino_core.store import Run

    settings.apply()
    run = Run(arguments.run)
    found = verify(run, arguments.stage, console)
    bad = [v.name for v in found if not v.good]
    if bad and arguments.mend:
        with Display(list(dict.fromkeys(stage_of(name) for name in bad if name != "notes")), console) as display:
            lost = mend(run, found, display)
        say(console, *lost, "")
        bad = [v.name for v in verify(run, arguments.stage, console) if not v.good]
    if bad:
        console.print(f"\nDamaged: {', '.join(bad)}.", highlight=False)
    else:
        console.print("\nEverything is what was written.", highlight=False)
    return 1 if bad else 0


def _compare(arguments: argparse.Namespace, console: Console) -> int:
    from flows.compare import asked, compare

    return compare(asked(arguments), console)


def _reproduce(arguments: argparse.Namespace, console: Console) -> int:
    from flows.config import compose_config
    from flows.reproduce import evaluate_words, judged, show
    from siglino_core.store import Run

    if not arguments.settings:
        show(console)
        return 0
    reference, arguments.settings = evaluate_words(arguments.settings)
    _make("evaluate", arguments, console)
    return judged(Run(compose_config(arguments.settings).run), reference, console)


def _bench(arguments: argparse.Namespace, console: Console) -> int:
    from flows.bench import bench

    return bench(arguments.settings, arguments.json, console)


def _ablate(arguments: argparse.Namespace, console: Console) -> int:
    from flows.ablate import ablate, asked, plan, show

    if not arguments.settings:
        show(console)
        return 0
    settings.apply()
    wanted = asked(arguments)
    if arguments.plan:
        plan(wanted, console)
        return 0
    return ablate(wanted, console, table_only=arguments.table_only)


def _doctor(arguments: argparse.Namespace, console: Console) -> int:
    from flows.config import compose_config
    from flows.doctor import doctor

    return 0 if doctor(compose_config(arguments.settings), console) else 1


def _config(arguments: argparse.Namespace, console: Console) -> int:
    from flows.config import compose_config, experiments, recipes, yaml_with_docs

    print(yaml_with_docs(compose_config(arguments.settings)))
    console.print(f"\n# experiments: {', '.join(experiments())}", highlight=False)
    console.print(f"# recipes: {', '.join(recipes())}", highlight=False)
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
    "evaluate": partial(_make, "evaluate"),
    "ground": partial(_make, "ground"),
    "ground predict": _predict,
    "run": partial(_make, "run"),
    "inspect": _inspect,
    "verify": _verify,
    "compare": _compare,
    "reproduce": _reproduce,
    "ablate": _ablate,
    "report": partial(_make, "curate"),
    "bench": _bench,
    "export": _export,
    "doctor": _doctor,
    "config": _config,
    "pca": _pca,
}
