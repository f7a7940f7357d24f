"""Other people's text on its way out: names, labels, addresses and libraries' errors stay text wherever they go.

What leaves for a terminal or a log goes through :func:`printable`, for a page or a card through :func:`shown` (and what
that place quotes by), for a command or a query that is to be copied through :func:`word` and :func:`sql_files`.
"""

import logging
import os
import re
import shlex

LONGEST = 2000  # characters of a line
# What a page should neither show nor obey: controls but tab and newline, what turns the direction of writing, spaces of
# no width, line separators, and what no encoding can write. Joiners stay: emoji and whole scripts are made with them.
HARMFUL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u2028-\u202e\u2060\u2066-\u2069\ufeff\ufff9-\ufffb\ufffe\uffff\ud800-\udfff]"
)
_GLOB = re.compile(r"([*?\[])")


def printable(text: object, limit: int = LONGEST) -> str:
    """One line in which all is visible: what is no printable character stands as an escape, as ``\\x1b`` or ``\\n``.

    No terminal obeys it, and it can neither begin a line, hide a part of itself nor turn the direction of writing.

    Args:
        limit: characters; what is longer loses its middle.
    """
    line = str(text)
    if len(line) > limit:
        line = f"{line[: limit * 2 // 3]} … {line[-(limit // 3) :]}"
    if line.isprintable():
        return line
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)


def shown(text: str) -> str:
    """Text for a page, without what :data:`HARMFUL` names; of one line or several."""
    return HARMFUL.sub("", text)


def word(text: str) -> str:
    """Text as one word of a shell's command, to be copied from a terminal; a leading dash makes it no option."""
    text = f"./{text}" if text.startswith("-") else text
    if text.isprintable():
        return shlex.quote(text)
    return "$'" + "".join(map(_in_shell, text)) + "'"


def _in_shell(c: str) -> str:
    if c.isprintable():
        return f"\\{c}" if c in "\\'" else c
    try:
        data = os.fsencode(c)
    except UnicodeEncodeError:  # half of a character, in no file's name
        data = c.encode("utf-8", "surrogatepass")
    return "".join(f"\\x{byte:02x}" for byte in data)


def sql_files(folder: str, pattern: str) -> str:
    """The files of a folder that match, as a string of DuckDB's, whatever the folder's name holds."""
    literal = _GLOB.sub(r"[\1]", folder.rstrip("/"))
    return "'" + f"{literal}/{pattern}".replace("'", "''") + "'"


def logger(name: str) -> logging.Logger:
    """A logger whose messages are :func:`printable`."""
    log = logging.getLogger(name)
    if _visible not in log.filters:
        log.addFilter(_visible)
    return log


def _visible(record: logging.LogRecord) -> bool:
    record.msg, record.args = printable(record.getMessage()), ()
    return True
