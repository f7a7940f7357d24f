"""The command line: every command, its words and options, and what each is for."""

import argparse
import sys
from collections.abc import Sequence
from typing import NoReturn

import siglino_core
from siglino_core.foreign import printable

EPILOG = """\
Settings are key=value words: experiment=demo run=s3://bucket/run seed=1 sample.target_size=500
`siglino config` lists every key with its sentence. Errors exit with 1, wrong usage or config with 2.
"""
STAGES = {  # `flows.stages.COMMANDS`, whose import takes longer than a look at --help should
    "curate": "source, embed, cluster, sample, report",
    "distill": "targets, train, export",
    "evaluate": "evaluate",
    "ground": "expressions, ground, answers",
    "run": "source, embed, cluster, sample, report, targets, train, export, evaluate, expressions, ground, answers",
}


GROUNDED = "runs/demo/ground/model"


def parsed(argv: Sequence[str] | None) -> argparse.Namespace:
    """Options and other words in any order: argparse gives up on words that follow an option."""
    parser = _parser()
    typed = list(sys.argv[1:] if argv is None else argv)
    if typed[:2] == ["ground", "predict"]:
        typed[:2] = ["ground predict"]
    arguments, rest = parser.parse_known_args(typed)
    words = getattr(arguments, "settings", getattr(arguments, "places", None))
    if any(word.startswith("-") for word in rest) or (rest and words is None):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if words is not None:
        words += rest
    if arguments.command == "compare" and len(arguments.places) not in (1, 2):
        parser.error("compare takes one run or two")
    return arguments


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:  # it quotes what was typed
        super().error(printable(message))


def _parser() -> argparse.ArgumentParser:
    shared = _Parser(add_help=False)
    shared.add_argument("--debug", action="store_true", help="show tracebacks")
    parser = _Parser(
        prog="siglino",
        description="From a raw image pool to a curated set, and from there to a distilled vision model.",
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
        ("evaluate", "Evaluate: the student beside its teachers, or any networks on any data sets."),
        ("ground", "Ground: fine-tune a student to find what a text refers to, and judge its answers."),
        ("run", "Curate, distil, evaluate, ground: do what is missing of the whole path."),
    ):
        sub = command(name, text)
        sub.add_argument("--from", dest="from_stage", metavar="STAGE", help=f"start there ({STAGES[name]})")
        sub.add_argument("--only", metavar="STAGE", help="run this stage alone")
        sub.add_argument(
            "--redo", action="append", default=[], metavar="STAGE", help="make it anew, and what follows from it"
        )
    predict = command("ground predict", "Find in an image what texts refer to: a picture, and JSON.", settings=False)
    predict.add_argument("image", metavar="IMAGE", help="an image file")
    predict.add_argument("queries", nargs="+", metavar="TEXT", help="what to find, as 'the red bird on the left'")
    predict.add_argument(
        "--model", default=GROUNDED, metavar="FOLDER", help=f"of `siglino ground` (default: {GROUNDED}), or its hub id"
    )
    predict.add_argument("--boxes", action="store_true", help="boxes alone, without masks")
    predict.add_argument("--forced", action="store_true", help="one box for each text, whatever the model finds absent")
    predict.add_argument("--out", metavar="FILE", help="the picture (default: NAME-grounded.png beside here)")
    inspect = command("inspect", "Show a run's stages, rejects, sample, balance and clusters.", settings=False)
    inspect.add_argument("run", help="folder or URL of the run")
    verify = command("verify", "Check every file of a run against what was written.", settings=False)
    verify.add_argument("run", help="folder or URL of the run")
    verify.add_argument("stage", nargs="?", metavar="STAGE", help="this stage alone")
    verify.add_argument("--mend", action="store_true", help="make again what is damaged, and nothing else")
    compare = command("compare", "Compare two runs' results, A the baseline of B; with --gate, judge.", settings=False)
    places = "one or two runs, or folders of one stage: RUN/evaluate, RUN/answers"
    compare.add_argument("places", nargs="*", metavar="RUN", help=places)
    judged = "exit with 1 if B became worse, its sanity rows fail, or results are stale"
    compare.add_argument("--gate", action="store_true", help=judged)
    allowed = "drop that is none (default: 0.5); top1=1 of one metric; may be given again"
    compare.add_argument("--allow", action="append", default=[], metavar="POINTS", help=allowed)
    compare.add_argument("--strict", action="store_true", help="B must be shown to drop by no more than that")
    compare.add_argument("--retention", metavar="SHARE", help="what a student keeps at least of its teachers, as 0.9")
    compare.add_argument("--junit", metavar="FILE", help="write the checks as JUnit XML")
    compare.add_argument("--json", metavar="FILE", help="write everything as JSON")
    reproduce = command(
        "reproduce", "Measure a published figure by its own protocol; without a name, list them.", settings=False
    )
    words = "a reference, or its TOML file, then uri=FOLDER and what else differs on this machine"
    reproduce.add_argument("settings", nargs="*", metavar="NAME key=value", help=words)
    reproduce.set_defaults(from_stage=None, only=None, redo=[])
    ablate = command(
        "ablate",
        "Run a grid of trainings and say what their differences show; without a name, list them.",
        settings=False,
    )
    words = "a grid, or its YAML file, then run=FOLDER and settings for all its arms"
    ablate.add_argument("settings", nargs="*", metavar="NAME key=value", help=words)
    ablate.add_argument("--seeds", type=int, metavar="N", help="trainings of each arm (default: the grid's, 3)")
    ablate.add_argument("--only", metavar="ARM", help="this arm alone")
    ablate.add_argument("--jobs", type=int, default=1, metavar="J", help="runs side by side (default: 1)")
    ablate.add_argument("--plan", action="store_true", help="say what it would take, and do nothing")
    ablate.add_argument("--table-only", action="store_true", help="write the table of what is there, and run nothing")
    report = command("report", "Draw the HTML report of a finished sample again.")
    report.set_defaults(from_stage=None, only="report", redo=["report"])
    bench = command("bench", "Judge a recipe of the curation by what its samples teach.", settings=False)
    bench.add_argument("what", choices=("curation",), help="what is judged")
    words = "a run, or embeddings=x.npy labels=y.npy target=N; then pixels=, levels=, seed=, seeds=, recipe=, settings"
    bench.add_argument("settings", nargs="*", metavar="RUN key=value", help=words)
    bench.add_argument("--json", metavar="FILE", help="write every figure, and what the recipe chooses of all rows")
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
