"""Names, labels and captions as nobody should give them: what terminals, pages, patterns and queries would obey."""

from hypothesis import strategies as st

ESCAPES = ("\x1b[31m", "\x1b]8;;http://evil.example\x1b\\link\x1b]8;;\x07", "\x9b2J", "\x1b[2K\rdone", "\x07\b")
TURNS = ("\u202egpj.exe", "\u2066x\u2069", "\u200b", "\ufeff", "\u2028line", "\u2029")
MARKUP = ("[red]", "[/]", ":smile:", "[link=http://evil.example]x[/link]")
PAGES = ("</script><script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "<!--", "]]>", "&lt;", "<b>")
CARDS = ("`", "```", "|", "---", "# x", "[a](http://evil.example)", "![](x)", "\n---\nlicense: mit\n", "\nx: y")
QUERIES = ("'; DROP TABLE x; --", '"', "'", "\\", "\\'")
PATTERNS = ("a[1]*", "?", "**", "[!a]", "{x,y}", "${oc.env:HOME}", "{{7*7}}", "%s", "{0}", "$(id)", "`id`", "!x")
OTHERS = (
    "-rf",
    "--help",
    "~",
    "a b",
    " ",
    "..",
    "日本語",
    "👩‍👩‍👧",
    "é",
    "\x00",
    "\ud800",
    "\udcff",
    "\n",
    "\t",
    "\r\n",
)
ALL = (*ESCAPES, *TURNS, *MARKUP, *PAGES, *CARDS, *QUERIES, *PATTERNS, *OTHERS)


def texts(longest: int = 6) -> st.SearchStrategy[str]:
    """Any text, with these in it."""
    return st.lists(st.one_of(st.sampled_from(ALL), st.text(st.characters(), max_size=5)), max_size=longest).map(
        "".join
    )


def file_name(text: str, *, utf8: bool = True) -> str:
    """A text as the name of a file: at most 255 bytes, with neither a slash nor a NUL."""
    errors = "ignore" if utf8 else "surrogateescape"
    name = text.replace("/", "∕").replace("\0", "").encode("utf-8", errors)[:255].decode("utf-8", errors)
    return name if name.strip(".") else f"x{name}"


# A folder's name with a part of each kind, that a file system allows.
FOLDER = file_name("-a[1]*?{x}'\"`$(id)\\ \x1b[31m\n\u202e[red][/]<script>&%20#;|é👩‍👩‍👧")
