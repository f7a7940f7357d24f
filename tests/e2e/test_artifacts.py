"""What a run leaves, asked in SQL: every image is accounted for, once, and what is kept leads back to its source."""

import hashlib
import io
import shutil
import tarfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from PIL import Image

from tests.e2e.tiny import TARGET, Tiny

pytestmark = pytest.mark.slow


@pytest.fixture
def ask(undisturbed: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection that sees the run's artifacts as views."""
    db = duckdb.connect()
    folders = {
        "source": "source/part-*",
        "rejects": "source/rejects/*",
        "duplicates": "source/duplicates*/*",
        "embed": "embed/part-*",
        "assignments": "cluster/assignments/*",
        "centroids_1": "cluster/centroids_1/*",
        "centroids_2": "cluster/centroids_2/*",
        "sample": "sample/part-*",
        "clusters": "sample/clusters/*",
        "images": "sample/images/*",
    }
    for name, pattern in folders.items():
        if list(undisturbed.glob(f"{pattern}.parquet")):
            db.sql(
                f"CREATE VIEW {name} AS SELECT * FROM read_parquet('{undisturbed}/{pattern}.parquet', filename=true)"
            )
    yield db
    db.close()


def _one(db: duckdb.DuckDBPyConnection, query: str) -> tuple:
    found = db.sql(query).fetchall()
    assert len(found) == 1, found
    return found[0]


def test_every_row_of_the_pool_is_accounted_for(tiny: Tiny, ask: duckdb.DuckDBPyConnection) -> None:
    (rows,), (rejects,) = _one(ask, "SELECT count(*) FROM source"), _one(ask, "SELECT count(*) FROM rejects")
    assert rows + rejects == tiny.pool.rows
    reasons = dict(ask.sql("SELECT reason, count(*) FROM sample GROUP BY reason").fetchall())
    assert sum(reasons.values()) == rows
    assert reasons["exact_duplicate"] == tiny.pool.exact_duplicates
    assert reasons["near_duplicate"] >= 6, "most of the twelve that were planted"
    assert reasons["kept"] == TARGET
    assert _one(ask, "SELECT count(*) FROM embed") == (rows - tiny.pool.exact_duplicates,)
    assert _one(ask, "SELECT count(*) FROM assignments") == (rows - tiny.pool.exact_duplicates,)


def test_the_broken_files_are_the_rejects(tiny: Tiny, ask: duckdb.DuckDBPyConnection) -> None:
    found = ask.sql("SELECT source_key, reason, error FROM rejects").fetchall()
    assert {key for key, _, _ in found} == tiny.pool.broken_keys
    assert Counter(reason for _, reason, _ in found) == tiny.pool.rejects
    assert all(error for _, _, error in found)


def test_what_is_kept_is_the_target_and_leads_back(ask: duckdb.DuckDBPyConnection) -> None:
    assert _one(ask, "SELECT count(*), count(DISTINCT image_id) FROM sample WHERE kept") == (TARGET, TARGET)
    assert _one(ask, "SELECT count(*), count(DISTINCT image_id) FROM images") == (TARGET, TARGET)
    assert _one(ask, "SELECT sum(kept), sum(candidates) FROM clusters")[0] == TARGET
    back = """
        SELECT count(DISTINCT i.image_id) FROM images i JOIN sample s USING (image_id)
        JOIN source o ON o.image_id = i.image_id AND o.source_uri = i.source_uri AND o.source_key = i.source_key
        WHERE s.kept AND s.reason = 'kept' AND s.repeat = 1 AND o.caption = i.caption AND o.label = i.label
    """
    assert _one(ask, back) == (TARGET,)
    assert _one(ask, "SELECT count(*) FROM sample WHERE kept != (reason = 'kept')") == (0,)


def test_the_bytes_are_the_images(ask: duckdb.DuckDBPyConnection) -> None:
    for table in ("images", "source"):
        for image_id, data, width, height in ask.sql(f"SELECT image_id, bytes, width, height FROM {table}").fetchall():
            assert hashlib.sha256(data).hexdigest()[:32] == image_id
            assert Image.open(io.BytesIO(data)).size == (width, height)


def test_duplicates_name_an_image_that_stands_for_them(ask: duckdb.DuckDBPyConnection) -> None:
    """An exact duplicate names its own id, as its first copy has it; a near one names an image that is none itself."""
    near = """
        SELECT count(*) FROM sample d WHERE reason = 'near_duplicate' AND NOT EXISTS (
            SELECT 1 FROM sample s WHERE s.image_id = d.duplicate_of AND s.duplicate_of IS NULL)
    """
    exact = """
        SELECT count(*) FROM sample d WHERE reason = 'exact_duplicate' AND (duplicate_of != image_id OR NOT EXISTS (
            SELECT 1 FROM sample s WHERE s.image_id = d.duplicate_of AND s.reason != 'exact_duplicate'))
    """
    assert [_one(ask, q) for q in (near, exact)] == [(0,)] * 2
    named = "SELECT count(*) FROM sample WHERE (duplicate_of IS NOT NULL) != (reason LIKE '%duplicate')"
    assert _one(ask, named) == (0,)


def test_the_hierarchy_adds_up(ask: duckdb.DuckDBPyConnection) -> None:
    sizes = """
        SELECT count(*) FROM centroids_1 c LEFT JOIN (SELECT level_1, count(*) n FROM assignments GROUP BY level_1) a
        ON a.level_1 = c.centroid_id WHERE coalesce(n, 0) != size
    """
    parents = """
        SELECT count(*) FROM centroids_2 p LEFT JOIN (SELECT parent_id, sum(size) n FROM centroids_1 GROUP BY parent_id)
        c ON c.parent_id = p.centroid_id WHERE coalesce(n, 0) != size
    """
    agree = """
        SELECT count(*) FROM assignments a JOIN centroids_1 c ON a.level_1 = c.centroid_id WHERE level_2 != parent_id
    """
    assert [_one(ask, q) for q in (sizes, parents, agree)] == [(0,)] * 3


def test_webdataset_shards_hold_the_same_images(tiny: Tiny, undisturbed: Path, tmp_path: Path) -> None:
    run = shutil.copytree(undisturbed, tmp_path / "run")
    tiny.run(run, "--redo=sample", "sample.shards=webdataset")
    kept: dict[str, set[str]] = {}
    for path in sorted(run.glob("sample/images/*.tar")):
        with tarfile.open(path) as tar:
            for member in tar:
                key, _, kind = member.name.partition(".")
                body = tar.extractfile(member)
                assert body is not None
                data = body.read()
                kept.setdefault(key, set()).add(kind)
                if kind in ("jpg", "png"):
                    assert hashlib.sha256(data).hexdigest()[:32] == key
    query = f"SELECT image_id FROM '{undisturbed}/sample/images/*.parquet'"
    assert kept.keys() == {i for (i,) in duckdb.sql(query).fetchall()}
    assert all({"json", "txt"} < kinds and kinds & {"jpg", "png"} for kinds in kept.values())
