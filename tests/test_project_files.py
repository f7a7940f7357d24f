"""The files around the code: they parse, the paths that they name exist, and they say one version."""

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

import siglino_core

ROOT = Path(__file__).resolve().parents[1]
FORMS = sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml"))
TEXTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / ".github").rglob("*.md")])
PARSED = sorted([*(ROOT / ".github").rglob("*.yml"), ROOT / "CITATION.cff"])
GENERATED = {"site", "runs", "dist", "outputs", "build"}  # git ignores them


def read(path: str) -> Any:
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


def named(text: str) -> set[str]:
    """The paths of the repository that a text names: in backticks, from a folder or file at its top."""
    spans = re.findall(r"`([^`\s]+/[^`\s]*)`", re.sub(r"```.*?```", "", text, flags=re.S))
    tops = {p.name for p in ROOT.iterdir()} - GENERATED
    return {s for s in spans if s.split("/")[0] in tops and not re.search(r"[A-Z]{3,}|[*<{]", s)}


@pytest.mark.parametrize("path", PARSED, ids=lambda p: p.name)
def test_files_parse_and_say_what_they_are_for(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.startswith("# ")
    assert isinstance(yaml.safe_load(text), dict)


@pytest.mark.parametrize("path", TEXTS, ids=lambda p: p.name)
def test_paths_that_texts_name_exist(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("```") % 2 == 0
    missing = sorted(p for p in named(text) if not (ROOT / p).exists())
    assert not missing, f"{path.name} names {missing}"
    for link in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", re.sub(r"```.*?```|`[^`]*`(?!\])", "", text, flags=re.S)):
        assert "://" in link or (path.parent / link).exists(), f"{path.name} links to {link}"


def test_paths_are_told_from_other_words() -> None:
    text = "`flows/none.py` `docs/` `runs/demo` `a/b` `tests/PATH.py` `docs/*.md` `x`\n```\n`flows/in_code.py`\n```"
    assert named(text) == {"flows/none.py", "docs/"}


@pytest.mark.parametrize(
    ("name", "when", "command"),
    [("ci", {"push", "pull_request"}, ".ci/run"), ("nightly", {"schedule", "workflow_dispatch"}, "make soak")],
)
def test_workflows_run_what_the_repository_runs_with_least_rights(name: str, when: set[str], command: str) -> None:
    flow = read(f".github/workflows/{name}.yml")
    assert flow["permissions"] == {"contents": "read"}
    assert set(flow[True]) == when  # YAML 1.1 reads `on` as true
    steps = [step for job in flow["jobs"].values() for step in job["steps"]]
    assert [s["run"] for s in steps if "run" in s] == [command]
    assert all(re.fullmatch(r"actions/[\w-]+@v\d+", s["uses"]) for s in steps if "uses" in s)
    assert all("permissions" not in job for job in flow["jobs"].values())


def test_a_change_must_pass_tests_and_documentation() -> None:
    script = (ROOT / ".ci/run").read_text()
    assert re.findall(r"^(?:exec )?make (\w+)$", script, re.M) == ["test", "docs"]
    subprocess.run(["bash", "-n", str(ROOT / ".ci/run")], check=True)


@pytest.mark.parametrize("path", [p for p in FORMS if p.name != "config.yml"], ids=lambda p: p.name)
def test_issue_forms_are_forms(path: Path) -> None:
    form = yaml.safe_load(path.read_text())
    assert {"name", "description", "body"} <= form.keys()
    assert {field["type"] for field in form["body"]} <= {"markdown", "textarea", "input", "dropdown", "checkboxes"}
    fields = [f for f in form["body"] if f["type"] != "markdown"]
    assert all(f["attributes"]["label"] and f["id"] for f in fields)
    assert len({f["id"] for f in fields}) == len(fields)


def test_a_bug_comes_with_the_doctor_the_command_and_the_error() -> None:
    required = {
        f["id"] for f in read(".github/ISSUE_TEMPLATE/bug.yml")["body"] if f.get("validations", {}).get("required")
    }
    assert {"doctor", "command", "error"} <= required


def test_the_citation_is_one_of_this_software_and_of_the_paper() -> None:
    cited = read("CITATION.cff")
    assert cited["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= cited.keys()
    assert cited["license"] == "Apache-2.0"
    (paper,) = cited["references"]
    assert paper["url"].endswith("2512.20157")
    assert len(paper["authors"]) == 9
    assert all({"family-names", "given-names"} == a.keys() for a in paper["authors"])


def test_there_is_one_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == siglino_core.__version__ == read("CITATION.cff")["version"]
    assert f"\n## {project['version']} (" in (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.parametrize("path", ["RELEASE.md", "AGENTS.md", "CONTRIBUTING.md", "SECURITY.md"])
def test_commands_of_the_texts_exist(path: str) -> None:
    from flows.arguments import parsed

    makefile, text = (ROOT / "Makefile").read_text(), (ROOT / path).read_text()
    lines = [line.strip() for block in re.findall(r"```sh\n(.*?)```", text, re.S) for line in block.splitlines()]
    for target in re.findall(r"^make (\w+)", "\n".join(lines), re.M) + re.findall(r"`make (\w+)`", text):
        assert re.search(rf"^{target}:", makefile, re.M), target
    for line in lines:
        words = line.partition("#")[0].split()
        at = next((i for i, w in enumerate(words) if w.rpartition("/")[2] == "siglino"), None)
        if at is not None and words[at + 1] != "--version":
            assert parsed(words[at + 1 :])
