"""An evaluation's folder: all results at once, samples as they are asked for, any other folder refused."""

from pathlib import Path

import pytest

from siglino_core.errors import DataError
from siglino_core.evaluation.results.folder import Evaluation
from siglino_core.evaluation.results.store import results_file, samples_file, write_results, write_samples
from siglino_core.store import Files
from tests.siglino_core.evaluation.made import result, samples


def test_a_folder(tmp_path: Path) -> None:
    files = Files(str(tmp_path))
    files.put(results_file("knn", "cub"), write_results([result(), result(network="t")]))
    files.put(results_file("ridge", "dtd"), write_results([result(task="ridge", dataset="dtd")]))
    table = samples([1, 0])
    files.put(samples_file("knn", "cub"), write_samples(table))
    read = Evaluation.open(files)
    assert read.name == str(tmp_path)
    assert [(r.task, r.network) for r in read.results] == [("knn", "student"), ("knn", "t"), ("ridge", "student")]
    assert read.samples("knn", "cub") == table
    assert read.samples("ridge", "dtd") is None


def test_several_as_one() -> None:
    table, other = samples([1, 0]), samples([1, 1])
    parts = [
        Evaluation.of("a", [result()], {("knn", "cub"): table}),
        Evaluation.of("b", [result(task="grounding_box")], {("grounding_box", "cub"): other}),
    ]
    joined = Evaluation.joined("run", parts)
    assert (joined.name, [r.task for r in joined.results]) == ("run", ["knn", "grounding_box"])
    assert [joined.samples(task, "cub") for task in ("knn", "grounding_box", "ridge")] == [table, other, None]


def test_another_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no results: it is no evaluation"):
        Evaluation.open(Files(str(tmp_path)))
    files = Files(str(tmp_path))
    files.put("results/knn/cub.json", b"{}")
    with pytest.raises(DataError, match=r"results/knn/cub\.json: no file of results"):
        Evaluation.open(files)
