"""Break the code line by line, and see that a test notices: `python -m scripts.mutate`, or `make mutate`.

Each mutation of `scripts/mutations/` is applied alone to a copy of the working tree, never to the tree itself, and
its tests run there. A test that fails kills it; one that nobody kills survives, and the exit code is 1. First all the
tests run unbroken: a test that fails anyway would kill everything.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryDirectory

from scripts.mutations import MUTATIONS, Mutation

ROOT = Path(__file__).resolve().parents[1]
SECONDS = 600  # a mutation may make a loop endless: after so long it counts as killed
KILLED, SURVIVED, BROKEN = "killed", "SURVIVED", "BROKEN"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a mutation.

    Attributes:
        verdict: killed; survived; or broken: its tests could not be run, so that nothing is known.
        test: that killed it.
        seconds: that its tests took.
    """

    mutation: Mutation
    verdict: str
    test: str = ""
    seconds: float = 0.0


def copy_tree(root: Path, to: Path) -> Path:
    """What git tracks of a working tree, and what it does not ignore, as it lies there; compiled."""
    command = ["git", "ls-files", "-coz", "--exclude-standard"]
    listed = subprocess.run(command, cwd=root, capture_output=True, check=True)  # noqa: S603
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (root / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, to / name)
    # By hash: a line that is changed twice a second, and keeps its length, would else be taken from the cache.
    compiled = [sys.executable, "-m", "compileall", "-qq", "--invalidation-mode", "checked-hash", str(to)]
    subprocess.run(compiled, check=False)  # noqa: S603
    return to


def run_tests(tree: Path, tests: Sequence[str]) -> tuple[int, str]:
    """pytest's exit code, 1 after ``SECONDS``, and what it said."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "--tb=short", "-p", "no:cacheprovider", *tests]
    env = os.environ | {"PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    try:
        done = subprocess.run(  # noqa: S603
            command, cwd=tree, env=env, capture_output=True, text=True, timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return 1, f"FAILED {tests[0]} - after {SECONDS} s"
    return done.returncode, done.stdout + done.stderr


@contextmanager
def applied(mutation: Mutation, tree: Path) -> Iterator[None]:
    """The mutation in a copy of the tree, for the time of use."""
    path = tree / mutation.file
    text = path.read_text(encoding="utf-8")
    assert text.count(mutation.old) == 1, f"{mutation.file} has {text.count(mutation.old)} times {mutation.old!r}"
    path.write_text(text.replace(mutation.old, mutation.new), encoding="utf-8")
    try:
        yield
    finally:
        path.write_text(text, encoding="utf-8")


def judge(mutation: Mutation, tree: Path) -> Outcome:
    """Run a mutation's tests against it, in a copy of the tree."""
    start = time.monotonic()
    with applied(mutation, tree):
        code, said = run_tests(tree, mutation.tests)
    seconds = time.monotonic() - start
    failed = re.search(r"^(?:FAILED|ERROR) (\S+::\S+)", said, re.MULTILINE)
    if code == 0:
        return Outcome(mutation=mutation, verdict=SURVIVED, seconds=seconds)
    if code == 1 and failed:
        return Outcome(mutation=mutation, verdict=KILLED, test=failed[1], seconds=seconds)
    return Outcome(mutation=mutation, verdict=BROKEN, test=" ".join(said.split())[-200:], seconds=seconds)


def judge_all(mutations: Sequence[Mutation], root: Path, jobs: int = 1) -> Iterator[Outcome]:
    """Every mutation's outcome, in their order, on copies of the tree.

    Raises:
        SystemExit: a test fails on the tree as it is.
    """
    with TemporaryDirectory(prefix="siglino-mutate-") as scratch, ThreadPoolExecutor(jobs) as pool:
        trees: SimpleQueue[Path] = SimpleQueue()
        for job in range(jobs):
            trees.put(copy_tree(root, Path(scratch, str(job))))
        tree = trees.get()
        code, said = run_tests(tree, sorted({test for mutation in mutations for test in mutation.tests}))
        trees.put(tree)
        if code:
            raise SystemExit(f"the tests fail without any mutation:\n{said[-3000:]}")

        def one(mutation: Mutation) -> Outcome:
            tree = trees.get()
            try:
                return judge(mutation, tree)
            finally:
                trees.put(tree)

        yield from pool.map(one, mutations)


def main(arguments: Sequence[str] | None = None, mutations: Sequence[Mutation] = MUTATIONS, root: Path = ROOT) -> int:
    """Print the table; 1 if any mutation survived, or could not be judged."""
    parser = argparse.ArgumentParser(prog="python -m scripts.mutate", description=__doc__.split("\n")[0])
    parser.add_argument("words", nargs="*", help="only mutations whose sentence or file has one of these words")
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1), help="copies of the tree at a time")
    parser.add_argument("--list", action="store_true", help="say what would be broken, and stop")
    chosen = parser.parse_args(arguments)
    wanted = [m for m in mutations if not chosen.words or any(w in f"{m.says} {m.file}" for w in chosen.words)]
    if chosen.list or not wanted:
        print(*(f"{m.file}: {m.says}" for m in wanted), sep="\n")
        return 0 if wanted else 2
    counts = dict.fromkeys((KILLED, SURVIVED, BROKEN), 0)
    start, width = time.monotonic(), max(len(m.says) for m in wanted)
    for outcome in judge_all(wanted, root, chosen.jobs):
        counts[outcome.verdict] += 1
        said = f"{outcome.verdict:8}  {outcome.seconds:5.1f} s  {outcome.mutation.says:{width}}  {outcome.test or '-'}"
        print(said, flush=True)
    total = f"{len(wanted)} mutations in {time.monotonic() - start:.0f} s: "
    print(total + ", ".join(f"{count} {verdict}" for verdict, count in counts.items()))
    return int(counts[KILLED] < len(wanted))


if __name__ == "__main__":
    raise SystemExit(main())
