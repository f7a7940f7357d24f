"""One line of the code, broken."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Mutation:
    """A line of the code, broken.

    Attributes:
        says: what is wrong with it, in a sentence.
        file: from the root of the tree.
        old, new: its text, and what it is replaced with.
        tests: for pytest; one of them must fail.
    """

    says: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]
