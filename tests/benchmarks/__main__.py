"""All benchmarks, one after another: `make bench`.

    python -m tests.benchmarks [--tiny] [--no-record] [NAME ...]

Each runs in a process of its own, but with --tiny, which checks the logic: there one process pays for the imports. One
that fails does not keep the others from running. NAME: only those whose names begin so, without `bench_`.
"""

import importlib
import subprocess
import sys
import time
from pathlib import Path

from tests.benchmarks.record import parser


def main() -> int:
    made = parser(__doc__)
    made.add_argument("names", nargs="*")
    a = made.parse_args()
    words = ["--tiny"] * a.tiny + ["--no-record"] * a.no_record
    failed: list[str] = []
    for path in sorted(Path(__file__).parent.glob("bench_*.py")):
        if not path.stem.removeprefix("bench_").startswith(tuple(a.names) or ""):
            continue
        print(f"\n== {path.stem}", flush=True)
        module, began = f"tests.benchmarks.{path.stem}", time.process_time()
        if a.tiny:
            importlib.import_module(module).main(words)
            print(f"({time.process_time() - began:.1f} s of CPU time)", flush=True)
        elif subprocess.run([sys.executable, "-m", module, *words]).returncode:
            failed.append(path.stem)
    if failed:
        print(f"\nfailed: {', '.join(failed)}")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
