"""The errors that a user can act on: each names the thing, its value, and the mend."""

from siglino_core.foreign import printable

WARNING = "warning\t"  # a note that begins so, of work that goes on, is shown whatever comes after it


class SiglinoError(Exception):
    """Base of all errors shown without a traceback; ``exit_code`` is the CLI's.

    Every argument is a line of the message. What a line quotes, a name or a library's error, can neither begin another
    nor reach a terminal raw: as text an error is `siglino_core.foreign.printable`.
    """

    exit_code = 1

    def __init__(self, *lines: str) -> None:
        super().__init__(*lines)

    def __str__(self) -> str:
        return "\n".join(map(printable, self.args))


class ConfigError(SiglinoError):
    """What was asked for cannot be: an unknown key, an impossible value, a run made with another config."""

    exit_code = 2


class DataError(SiglinoError):
    """What was read is not what it should be: wrong format or schema, too many rejects, NaN."""


class UnreadableError(DataError):
    """A file of the pool that is no regular file, or may not be read."""


class StoreError(SiglinoError):
    """Storage did not do its part: missing, unreachable, refused, or full."""


class UnreachableStoreError(StoreError):
    """A store had no good answer for as long as was waited; the same may go well later."""


class DamagedError(StoreError):
    """A record or a file holds other bytes than were written."""


class WorkerError(SiglinoError):
    """A worker process or node died; what it had committed stays."""
