"""The mutations fit the code as it is, and the runner tells what survives from what is killed."""

import ast
import re
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from scripts.mutate import BROKEN, KILLED, SURVIVED, judge_all, main
from scripts.mutations import MUTATIONS, Mutation

ROOT = Path(__file__).resolve().parents[2]


def test_there_are_enough_and_each_says_something_else() -> None:
    assert len(MUTATIONS) >= 40
    assert not [says for says, count in Counter(m.says for m in MUTATIONS).items() if count > 1]
    places = Counter((m.file, m.old) for m in MUTATIONS)
    assert max(places.values()) == 1


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda m: m.says)
def test_it_fits_its_file_and_its_tests_are_there(mutation: Mutation) -> None:
    text = (ROOT / mutation.file).read_text(encoding="utf-8")
    assert text.count(mutation.old) == 1, f"{mutation.file} was rewritten: rewrite the mutation, too"
    changed = text.replace(mutation.old, mutation.new)
    assert ast.dump(ast.parse(changed)) != ast.dump(ast.parse(text))
    assert mutation.tests
    for test in mutation.tests:
        path, _, name = test.partition("::")
        assert not name or re.search(rf"^def {name}\(", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE), test


def toy(folder: Path) -> Path:
    """A tree of one function and its tests, one of which proves nothing."""
    (folder / "sums.py").write_text("def add(a, b):\n    return a + b\n")
    (folder / "test_sums.py").write_text(
        "from sums import add\n\n\ndef test_adds():\n    assert add(2, 3) == 5\n\n\n"
        "def test_nothing():\n    assert add(0, 0) == 0\n"
    )
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    return folder


def of_sums(new: str, test: str) -> Mutation:
    return Mutation(says=new, file="sums.py", old="a + b", new=new, tests=(f"test_sums.py::{test}",))


TOYS = (of_sums("a - b", "test_adds"), of_sums("a * b", "test_nothing"), of_sums("a +", "test_adds"))


def test_it_tells_what_survives(tmp_path: Path) -> None:
    tree = toy(tmp_path)
    before = (tree / "sums.py").read_bytes()
    killed, survived, broken = judge_all(TOYS, tree)
    assert (killed.verdict, killed.test) == (KILLED, "test_sums.py::test_adds")
    assert (survived.verdict, survived.test) == (SURVIVED, "")
    assert broken.verdict == BROKEN
    assert (tree / "sums.py").read_bytes() == before
    assert sorted(p.name for p in tree.iterdir()) == [".git", "sums.py", "test_sums.py"]


def test_the_table_and_the_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tree = toy(tmp_path)
    assert main(["--jobs", "1", "a - b"], TOYS, tree) == 0
    assert main(["--jobs", "2", "a - b", "a * b"], TOYS, tree) == 1
    printed = capsys.readouterr().out
    assert re.search(r"^killed +\d+\.\d s  a - b +test_sums\.py::test_adds$", printed, re.MULTILINE)
    assert re.search(r"^SURVIVED +\d+\.\d s  a \* b +-$", printed, re.MULTILINE)
    assert re.search(r"^2 mutations in \d+ s: 1 killed, 1 SURVIVED, 0 BROKEN$", printed, re.MULTILINE)
    assert main(["none of them"], TOYS, tree) == 2
    assert main(["--list", "a - b"], TOYS, tree) == 0


def test_a_tree_whose_tests_fail_anyway_proves_nothing(tmp_path: Path) -> None:
    tree = toy(tmp_path)
    (tree / "sums.py").write_text("def add(a, b):\n    return a + b + 1\n")
    with pytest.raises(SystemExit, match=r"the tests fail without any mutation:\n(.|\n)*test_adds"):
        list(judge_all(TOYS, tree))
