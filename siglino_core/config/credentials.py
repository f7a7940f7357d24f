"""Addresses that carry a password, a key or a signature: refused as settings, and never shown."""

import re
from typing import Any

HIDDEN = "***"
MEND = (
    "Leave it out: credentials come from the store's own means (for S3 AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a "
    "profile in ~/.aws, or a role; for Google GOOGLE_APPLICATION_CREDENTIALS; for HTTP ~/.netrc)."
)
SECRET = re.compile(
    r"sig|token|key|secret|passw|pwd|credential|auth|security|session|expires|policy|jwt|access", re.IGNORECASE
)
LONG = 24  # characters: a value as long as that may be a secret, whatever its name
NAMES = ("abfs", "abfss", "wasb", "wasbs", "ssh", "sftp")  # here a name before the @ is no secret
_URL = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://\S+")
_SLIP = re.compile(
    r"\b(s3a?|gs|gcs|az|abfss?|wasbs?|https?|ftps?|sftp|ssh|hdfs):(/?)(?!/)[^\s:@/]+:[^\s@]+@", re.IGNORECASE
)
_IPV6 = re.compile(r"^\[[0-9A-Fa-f:.]+\]")
_PARTS = re.compile(r"([^:]+)://([^/?#]*)([^?#]*)(\?[^#]*)?(#.*)?$", re.DOTALL)


def redacted(text: str) -> str:
    """The text, with whatever may be a secret in its addresses hidden."""
    return _SLIP.sub(rf"\1:\2{HIDDEN}@", _URL.sub(lambda found: _redacted(found.group()), text))


def _redacted(url: str) -> str:
    parts = _PARTS.match(url)
    if parts is None:
        return url
    scheme, place, path, query, fragment = (part or "" for part in parts.groups())
    rest = url.partition("://")[2]
    if _is_user(scheme, place, rest):  # a password may hold any sign: the host comes after the last @
        return f"{scheme}://{HIDDEN}@{rest.rpartition('@')[2]}"
    query = "".join(_parameter(p) for p in re.findall(r"[?&][^&]*", query))
    fragment = f"#{HIDDEN}" if "=" in fragment or len(fragment) > LONG else fragment
    return f"{scheme}://{place}{path}{query}{fragment}"


def _is_user(scheme: str, place: str, rest: str) -> bool:
    """Whether a user or a password stands before the host."""
    if "@" in place:
        return scheme.lower() not in NAMES or ":" in place.rpartition("@")[0]
    port = _IPV6.sub("", place).partition(":")[2]
    return "@" in rest and bool(port) and not port.isdigit()  # user:pass/word@host


def _parameter(text: str) -> str:
    """One of a query, ``?name=value`` or ``&name=value``."""
    name, equals, value = text[1:].partition("=")
    if not SECRET.search(name) and len(value or name) < LONG:
        return text
    return f"{text[0]}{name}={HIDDEN}" if equals else f"{text[0]}{HIDDEN}"


def faults(values: Any, key: str = "") -> list[str]:
    """One line for every setting, however deep, that carries a secret; none shows it."""
    if isinstance(values, dict):
        return [fault for k, v in values.items() for fault in faults(v, f"{key}.{k}" if key else str(k))]
    if isinstance(values, list | tuple):
        return [fault for i, v in enumerate(values) for fault in faults(v, f"{key}[{i}]")]
    if not isinstance(values, str) or redacted(values) == values:
        return []
    return [f"{key}: {redacted(values)} has a password, a key or a signature in it. {MEND}"]
