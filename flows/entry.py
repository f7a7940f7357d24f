"""What `siglino` starts: signals are heeded before anything that takes time is imported."""

import sys
from typing import NoReturn

from flows import signals


def main() -> NoReturn:
    """Run the command that the words of this process ask for, and exit with its code."""
    signals.install()
    try:
        signals.begin()
        from flows.cli import main as command

        sys.exit(command())
    finally:
        signals.over()


if __name__ == "__main__":
    main()
