"""The site's pages: every setting and column is on them, and what they lead to exists."""

import dataclasses
import html
import importlib
import inspect
import json
import os
import pkgutil
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pyarrow as pa
import pytest
import yaml

from scripts.docs import api_pages, benchmarks_page, experiments_page, links, schema_page, settings_page, site
from siglino_core import config, schema
from siglino_core.config import Config, setting

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    return site.pages()


def rows(page: str) -> list[list[str]]:
    """The cells of all tables of a page, as a reader sees them."""
    lines = [html.unescape(line[2:-2]) if "&#124;" not in line else line[2:-2] for line in page.splitlines()]
    cells = [line.split(" | ") for line in lines if " | " in line]
    return [[html.unescape(cell).strip("`") for cell in row] for row in cells]


def setting_classes() -> list[type]:
    """Every dataclass of the config's modules that holds settings, or groups of them."""
    found = [importlib.import_module(f"{config.__name__}.{m.name}") for m in pkgutil.iter_modules(config.__path__)]
    classes = {v for m in found for v in vars(m).values() if inspect.isclass(v) and dataclasses.is_dataclass(v)}
    return sorted(classes, key=lambda c: c.__name__)


def test_every_setting_of_every_config_is_on_the_page_with_its_sentence(pages: dict[str, str]) -> None:
    shown = {(row[0].rpartition(".")[2], row[-1]) for row in rows(pages["settings.md"])}
    wanted = {
        (f.name, f.metadata["doc"]) for c in setting_classes() for f in dataclasses.fields(c) if "doc" in f.metadata
    }
    assert len(wanted) > 90
    assert wanted <= shown, wanted - shown


def test_a_setting_is_shown_with_type_default_range_and_whether_it_shapes_the_bytes(pages: dict[str, str]) -> None:
    found = {row[0]: row[1:5] for row in rows(pages["settings.md"])}
    assert found["source.rows_per_shard"] == ["a whole number", "1024", "1 to 65,536", "yes"]
    assert found["sample.quota"][0] == "one of grouped, global, hierarchical"
    assert found["runtime.device"] == ["text", '"auto"', "", "no"]
    assert found["train.optim.ema"] == ["a number or none", "null", "0 to 1", "yes"]
    assert "train.parts[].ratio" in found


def test_a_setting_without_a_sentence_is_an_error() -> None:
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Bare:
        """A group."""

        told: int = setting(1, "what it is")
        bare: int = 1

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Silent:
        told: int = setting(1, "what it is")

    with pytest.raises(ValueError, match=r"Bare\.bare: a setting without a sentence"):
        settings_page.settings_page(Bare)
    with pytest.raises(ValueError, match="Silent: a group of settings without a sentence"):
        settings_page.settings_page(Silent)


def test_no_setting_of_the_config_lacks_a_sentence() -> None:
    reached = settings_page.settings_page(Config)
    for cls in setting_classes():
        assert all(
            f.metadata.get("doc") or dataclasses.is_dataclass(f.default_factory) for f in dataclasses.fields(cls)
        )
        told = [c for c in setting_classes() if issubclass(c, cls) and (c.__doc__ or "").splitlines()[0] in reached]
        assert told, f"{cls.__name__} cannot be reached from Config"  # itself, or what has its settings


def test_every_column_of_every_schema_is_on_the_page_with_type_and_sentence(pages: dict[str, str]) -> None:
    shown = {(row[0], row[1], row[3]) for row in rows(pages["artifacts.md"])}
    names = set()
    for name, value in vars(schema).items():
        if inspect.isfunction(value) and inspect.signature(value).return_annotation is pa.Schema:
            asked = inspect.signature(value).parameters
            value = value(*(schema_page.ARGUMENTS[p][0] for p in asked))
        if not isinstance(value, pa.Schema):
            continue
        names.add(name)
        for column in value:
            cells = (column.name, str(column.type), column.metadata[b"doc"].decode())
            assert cells in shown, f"{name}.{column.name}"
    assert names == set(schema_page.schemas())
    assert {"SOURCE", "embed", "targets_index"} <= names
    assert all(f"`{p}" in pages["artifacts.md"] for p in ("source/part-", "cluster/centroids_L/", "targets/index/"))


def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> ModuleType:
    name = f"stand_in_{abs(hash(text))}"
    (tmp_path / f"{name}.py").write_text(f"import pyarrow as pa\n{text}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    return importlib.import_module(name)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('X = pa.schema([pa.field("a", pa.int32())])\n"""``x/``: a row."""', r"X\.a: a column without a sentence"),
        ('X = pa.schema([pa.field("a", pa.int32())])', "X: its docstring should be"),
        ('def x(odd: int) -> pa.Schema:\n    """``x/``: a row."""', "x: give odd a value"),
    ],
)
def test_a_schema_that_is_not_told_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        schema_page.schema_page(module(tmp_path, monkeypatch, text))


def test_every_experiment_is_on_the_page_with_its_commands(pages: dict[str, str]) -> None:
    for path in (ROOT / "flows/conf/experiment").glob("*.yaml"):
        section = pages["experiments.md"].partition(f"## `{path.stem}`\n")[2].partition("\n## ")[0]
        assert "- **What**: " in section
        assert "- **Hardware**: " in section
        assert "```sh\nsiglino " in section
        assert "```yaml\n" in section


def test_an_experiments_head_is_read_by_words_and_lines() -> None:
    head = experiments_page.header(
        "# @package _global_\n# What:   one\n#     two\n# Command: a\n#          b\nrun: x\n# No: z"
    )
    assert head == {"What": ["one", "two"], "Command": ["a", "b"]}


def test_the_benchmarks_history_may_be_absent_empty_or_there(tmp_path: Path) -> None:
    path = tmp_path / "benchmarks.jsonl"
    for text in (None, "", "\n"):
        if text is not None:
            path.write_text(text)
        assert benchmarks_page.NONE in benchmarks_page.benchmarks_page(path)
    path.write_text(
        '{"benchmark": "pack|ing", "ratio": 4.43219, "on": {"cores": 2}}\n{"benchmark": "pack|ing", "ratio": 5}\n'
    )
    found = rows(benchmarks_page.benchmarks_page(path))
    assert found == [["ratio", "on.cores"], ["---", "---"], ["5", ""], ["4.432", "2"]]
    path.write_text('{"benchmark": "one"}\n[1]\n')
    with pytest.raises(ValueError, match=r"benchmarks\.jsonl, line 2: not a JSON object"):
        benchmarks_page.benchmarks_page(path)


def test_every_public_package_and_module_has_its_place_in_the_api(pages: dict[str, str]) -> None:
    for top in ("siglino_core", "pipelines"):
        for path in (ROOT / top).rglob("*.py"):
            names = path.relative_to(ROOT).with_suffix("").parts
            if names[-1] == "__init__":
                assert f"# `{'.'.join(names[:-1])}`" in pages[f"api/{'.'.join(names[:-1])}.md"]
            elif not names[-1].startswith("_"):
                assert f"\n::: {'.'.join(names)}\n" in pages[f"api/{'.'.join(names[:-1])}.md"]
    shown = [page for item in site.api_navigation() for page in item.values()]
    assert sorted(shown) == [p for p in pages if p.startswith("api/")]
    assert "\n        - run\n" in pages["api/pipelines.train.md"], "a package's own functions"


def test_the_same_sources_give_the_same_pages_without_anything_heavy(pages: dict[str, str]) -> None:
    code = (
        "import json, sys\nfrom scripts.docs.site import pages\nprint(json.dumps(list(pages().items())))\n"
        "assert not {'torch', 'ray', 'prefect', 'hydra', 'mkdocs'} & sys.modules.keys()"
    )
    for seed in ("1", "2"):  # of the order that sets are in
        env = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
        done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == [list(item) for item in pages.items()]


def test_links_of_the_pages_lead_to_pages(pages: dict[str, str]) -> None:
    for page, text in pages.items():
        for target in links.links(text):
            place = links.in_repository(target, page)
            assert place in pages or (ROOT / "docs" / place).is_file(), f"{page}: {target}"


def test_a_link_that_leads_nowhere_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "README.md").write_text("[one](docs/none.md)")
    with pytest.raises(ValueError, match=r"README\.md: it links to docs/none\.md, which does not exist"):
        site.pages(tmp_path)


def test_links_are_changed_outside_of_code_alone() -> None:
    text = "[`a`](b.md#c) ![p](q.png) `[x](y)` [w](https://e.org) [h](#here)\n```\n[i](j)\n```\n[k](l)"
    assert links.links(text) == ["b.md#c", "q.png", "l"]
    assert links.rewrite("[`a`](b.md) `[x](y)`", str.upper) == "[`a`](B.MD) `[x](y)`"
    assert links.in_repository("../infra/docker/Dockerfile#x", "docs/tour.md") == "infra/docker/Dockerfile"
    assert links.relative("tour.md", "files/flows/NOTICE.md.md") == "../../tour.md"
    with pytest.raises(ValueError, match="out of the repository"):
        links.in_repository("../x", "README.md")


def test_linked_files_have_pages_and_linked_modules_a_place_in_the_api(pages: dict[str, str]) -> None:
    assert "](contributing.md)" in pages["index.md"]
    assert "](images/report.png)" in pages["index.md"]
    assert "```python" in pages["files/docs/examples/own_teacher.py.md"]
    near = "siglino_core/curation/dedup/near.py"
    assert f"[`{near}`](api/siglino_core.curation.dedup.md#siglino_core.curation.dedup.near)" in pages["tour.md"]


def test_every_text_of_the_documentation_is_in_the_navigation() -> None:
    class Loader(yaml.SafeLoader):
        """YAML without MkDocs' own tags."""

    project = yaml.load((ROOT / "mkdocs.yml").read_text(), Loader)
    assert project["strict"] is True
    assert project["theme"]["font"] is False
    assert "extra" not in project or "analytics" not in project["extra"]
    text = (ROOT / "mkdocs.yml").read_text()
    for page in site.pages():
        if not page.startswith(("api/", "files/")):
            assert f": {page}\n" in text, page


def test_a_warning_ends_the_build() -> None:
    (command,) = re.findall(r"^\t.*-m mkdocs build(.*)$", (ROOT / "Makefile").read_text(), re.M)
    assert not {"-q", "--quiet", "--no-strict"} & set(command.split()), "MkDocs counts no warning that it doesn't print"


def test_the_tours_names_exist_where_it_says() -> None:
    table = (ROOT / "docs/tour.md").read_text().partition("## Where is it done?")[2].partition("\n## ")[0]
    questions = re.findall(r"^\| (Where .*?\?) \| .*?\[`(.*?)`\]\((.*?)\).*? \| (.*?) \|$", table, re.M)
    assert len(questions) >= 15
    assert len(questions) == sum(line.startswith("| Where ") for line in table.splitlines())
    for question, path, target, names in questions:
        assert target == f"../{path}", question
        text = (ROOT / path).read_text()
        for name in re.findall(r"`(.*?)`", names):
            assert re.search(rf"\b{name.rpartition('.')[2]}\b", text), f"{question} {path} has no {name}"


def test_the_tour_walks_through_every_room_of_the_core() -> None:
    tour = (ROOT / "docs/tour.md").read_text()
    for room in sorted(p.parent for p in (ROOT / "siglino_core").glob("*/__init__.py")):
        assert f"| [`siglino_core/{room.name}/`](../siglino_core/{room.name}) |" in tour, room.name


def test_docstrings_are_handed_over_as_the_site_can_show_them() -> None:
    griffe = pytest.importorskip("griffe")
    from scripts.docs.docstrings import one_each, plain

    assert griffe.Extension
    assert plain("See :func:`~a.b` and ``c``.") == "See `a.b` and `c`."
    given = "What.\n\nArgs:\n    low, high: bounds of\n        both.\n    mean: one."
    wanted = "What.\n\nArgs:\n    low: bounds of\n        both.\n    high: bounds of\n        both.\n    mean: one."
    assert one_each(given) == wanted


def test_places_are_found_in_any_tree(tmp_path: Path) -> None:
    for name in ("siglino_core/__init__.py", "siglino_core/new/__init__.py", "siglino_core/new/room.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text('"""What it is for."""\ndef one(): ...\ndef _two(): ...\n')
    (tmp_path / "siglino_core/new/_private.py").touch()
    assert api_pages.places(tmp_path) == {
        "siglino_core": "api/siglino_core.md",
        "siglino_core/__init__.py": "api/siglino_core.md",
        "siglino_core/new": "api/siglino_core.new.md",
        "siglino_core/new/__init__.py": "api/siglino_core.new.md",
        "siglino_core/new/room.py": "api/siglino_core.new.md#siglino_core.new.room",
    }
    page = api_pages.api_pages(tmp_path)["api/siglino_core.new.md"]
    assert "| [`room`](#siglino_core.new.room) | What it is for. |" in page
    assert "- one\n" in page
    assert "_two" not in page
