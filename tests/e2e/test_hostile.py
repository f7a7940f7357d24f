"""A pool and a run whose every name is hostile: the commands do their work, and what they print and write is text."""

from pathlib import Path

import pyarrow as pa
import pytest
import yaml

from flows.config import quoted
from siglino_core.store import Run
from tests.e2e.tiny import Tiny
from tests.flows.test_screen import OBEYED, STYLE
from tests.hostile import ALL, FOLDER, file_name
from tests.pictures import picture
from tests.pools import parquet_file, write_files
from tests.siglino_core.report.test_hostile import Elements, tokens

pytestmark = pytest.mark.slow

WORDS = [text.encode("utf-8", "replace").decode() for text in ALL]
BROKEN = b"\xff\xd8 no picture \x1b[31m"


def folders(at: Path) -> Path:
    """Folders are labels."""
    files = {f"{file_name(w)}/{file_name(w)[:60]}{i}.jpg": picture(i, "jpeg") for i, w in enumerate(WORDS * 2)}
    return write_files(
        at / FOLDER, {name: data for name, data in files.items() if name[0] != "."} | {"a/x.jpg": BROKEN}
    )


def tables(at: Path) -> Path:
    n = 2 * len(WORDS)
    columns = {
        "key": [f"{w}{i}" for i, w in enumerate(WORDS * 2)] + ["bad\x1b[31m\n"],
        "image": pa.array([picture(i, "jpeg") for i in range(n)] + [BROKEN], pa.binary()),
        "caption": [*WORDS * 2, "x"],
        "label": [*WORDS * 2, "x"],
    }
    parquet_file(at / FOLDER / f"{FOLDER[:80]}.parquet", columns, row_group_size=24)
    return at / FOLDER


@pytest.mark.parametrize("pool", [folders, tables])
def test_hostile_names_stay_text(tiny: Tiny, pool: object, tmp_path: Path) -> None:
    run = tmp_path / "runs" / FOLDER
    (tmp_path / "runs" / "-a1x").mkdir(parents=True)  # what the name would match as a pattern
    settings = [w for w in tiny.words("x", "sample.target_size=30") if not w.startswith(("run=", "source.uri="))]
    where = [f"run={quoted(str(run))}", f"source.uri={quoted(str(pool(tmp_path)))}"]  # type: ignore[operator]
    for words in (
        ["plan", *settings, *where],
        ["curate", *settings, *where],
        ["curate", *settings, *where],
        ["inspect", str(run)],
        ["verify", str(run)],
        ["report", where[0], "runtime.runner=local"],
    ):
        done = tiny.siglino(*words)
        assert done.returncode == 0, done.stdout + done.stderr
        assert not OBEYED.search(STYLE.sub("", done.stdout + done.stderr)), words[0]
    assert "Reused" in tiny.siglino("curate", *settings, *where).stdout
    target = run / "source/part-00000.parquet"
    target.write_bytes(target.read_bytes()[:-1])
    refused = tiny.siglino("verify", str(run))
    assert refused.returncode == 1
    assert not OBEYED.search(refused.stdout)
    assert next(line for line in refused.stdout.splitlines() if "part-00000.parquet" in line).endswith("were written")
    assert tiny.siglino("verify", str(run), "--mend").returncode == 0

    page = (run / "report/curation.html").read_text(encoding="utf-8")
    tags = [tag for tag, *_ in Elements(page).found]
    assert tags.count("script") == 1
    assert "b" not in tags
    front, _, inside = tokens((run / "sample/README.md").read_text(encoding="utf-8"))
    assert set(front) == {
        "pretty_name",
        "license",
        "size_categories",
        "task_categories",
        "tags",
        "configs",
        "dataset_info",
    }
    assert not inside & {"link_open", "image", "html_inline"}
    assert Run(str(run)).stage("sample").require().facts["kept"] == 30
    assert yaml.safe_dump(front)
