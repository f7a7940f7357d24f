"""Records of a run: JSON with a hash of itself, so that a damaged one is told from one that says something else."""

import json
from typing import Any

from siglino_core.errors import ConfigError, DamagedError
from siglino_core.hashing import fingerprint

FORMAT = 3  # of run folders; those of another are refused
SEAL = "seal"
MEND = "`siglino verify RUN --mend` makes it again."


def as_json(value: object) -> bytes:
    """As every record is written: its keys in order, so that equal records are equal bytes."""
    return json.dumps(value, indent=1, sort_keys=True, default=str).encode()


def sealed(record: dict[str, Any]) -> bytes:
    """A record as it lies in a store."""
    plain = json.loads(as_json({**record, "format": FORMAT}))
    return as_json({**plain, SEAL: fingerprint(plain)})


def opened(data: bytes, url: str, mend: str = MEND) -> dict[str, Any]:
    """What :func:`sealed` was given.

    Args:
        mend: what to do about a damaged one.

    Raises:
        DamagedError: it is not what was written; the message names ``url``.
        ConfigError: an earlier version wrote it.
    """
    try:
        record = json.loads(data)
        as_json(record)  # of what is nested too deep, to write fails before to read
    except (ValueError, RecursionError):
        record = None
    if not isinstance(record, dict):
        raise DamagedError(f"{url} is damaged: it is no record. {mend}")
    seal = record.pop(SEAL, None)
    if seal is None and record.get("format") != FORMAT:
        raise ConfigError(
            f"{url} was made by an earlier version of this software, whose run folders this version does not read. Use "
            "another run=URL, or --redo the stage to make it again."
        )
    if seal != fingerprint(record) or data != as_json({**record, SEAL: seal}):  # the same words in other bytes, too
        raise DamagedError(f"{url} is damaged: it does not say what was written. {mend}")
    del record["format"]
    return record
