"""`siglino compare`: the paired table, the gate's verdict as an exit code, its files, and what it refuses."""

import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from flows.cli import main
from siglino_core.store import Identity, Run
from tests.flows.evaluated import answered, answering, answers, digest, evaluated, of_view, writing, written


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.fsync", lambda _: None)


def two(folder: Path, seed: int = 0, drop: float = 0.0) -> tuple[str, str]:
    """Two runs: the second with ``drop`` planted in one of its two views."""
    first, second = answers(seed, drop=drop)
    other, another = answers(seed + 1000)
    a = evaluated(folder / "a", {"siglip2": first, "dinov3": other})
    b = evaluated(folder / "b", {"siglip2": second, "dinov3": another})
    return str(a), str(b)


def test_a_planted_drop_of_three_points_trips_and_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = two(tmp_path, drop=0.03)
    assert main(["compare", a, b, "--gate"]) == 1
    out = capsys.readouterr().out
    assert "k nearest neighbours on cub: top1, n = 2,000" in out
    failed = [line for line in out.splitlines() if line.startswith("  failed:")]
    assert len(failed) == 1
    assert failed[0].startswith("  failed: regression: knn on cub, student siglip2, top1: ")
    assert "regression: 1 of 2 hold" in out
    assert "permuted labels: 1 of 1 hold" in out
    assert out.splitlines()[-1] == "Failed: 1 of 3 checks fail."


@pytest.mark.parametrize("seed", range(5))
def test_no_change_passes(tmp_path: Path, seed: int) -> None:
    a, b = two(tmp_path, seed)
    assert main(["compare", a, b, "--gate"]) == 0


def test_without_the_gate_a_drop_is_told_and_the_exit_code_is_zero(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = two(tmp_path, drop=0.03)
    assert main(["compare", a, b]) == 0
    out = capsys.readouterr().out
    assert "2 compared on the same samples; 0 better and 1 worse by more than chance" in out
    assert "Gate" not in out


def test_what_is_allowed(tmp_path: Path) -> None:
    a, b = two(tmp_path, drop=0.03)
    assert main(["compare", a, b, "--gate", "--allow", "5"]) == 0
    assert main(["compare", a, b, "--gate", "--allow", "top1=5"]) == 0
    assert main(["compare", a, b, "--gate", "--allow", "top5=5", "--allow", "1"]) == 1
    same = str(evaluated(tmp_path / "c", {"siglip2": answers(0)[0]}))
    assert main(["compare", same, same, "--gate"]) == 0
    assert main(["compare", same, same, "--gate", "--strict"]) == 0
    assert main(["compare", same, same, "--gate", "--strict", "--allow", "0"]) == 1


def test_the_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = two(tmp_path, drop=0.03)
    xml, report = tmp_path / "ci/gate.xml", tmp_path / "ci/gate.json"
    assert main(["compare", a, b, "--gate", "--junit", str(xml), "--json", str(report)]) == 1
    suite = ElementTree.parse(xml).getroot()
    assert (suite.get("tests"), suite.get("failures")) == ("3", "1")
    said = json.loads(report.read_text())
    assert said["gate"]["passed"] is False
    assert [pair["key"]["view"] for pair in said["comparison"]["pairs"]] == ["dinov3", "siglip2"]
    assert sorted(p.name for p in xml.parent.iterdir()) == ["gate.json", "gate.xml"]


def test_files_in_this_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = two(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert main(["compare", a, b, "--json", "out.json"]) == 0
    assert json.loads((tmp_path / "out.json").read_text())["gate"] is None
    assert not (tmp_path / ".unfinished").exists()


def test_one_alone_is_judged_by_its_sanity_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = evaluated(tmp_path / "good", {"siglip2": answers(0)[0]})
    leaky = evaluated(tmp_path / "leaky", {"siglip2": answers(0)[0]}, permuted=0.4)
    assert main(["compare", str(good), "--gate"]) == 0
    assert main(["compare", str(leaky), "--gate"]) == 1
    assert "better than chance: something tells the answers" in capsys.readouterr().out


def test_what_a_student_keeps_of_its_teacher(tmp_path: Path) -> None:
    written(tmp_path, [of_view("siglip2", 0.60, 2000), of_view("siglip2", 0.80, 2000, network="siglip2")])
    assert main(["compare", str(tmp_path), "--gate", "--retention", "0.7"]) == 0
    assert main(["compare", str(tmp_path), "--gate", "--retention", "0.9"]) == 1


def test_folders_of_evaluations_under_any_name(tmp_path: Path) -> None:
    a, b = two(tmp_path)
    Path(a, "evaluate").rename(tmp_path / "baseline-v1")
    assert main(["compare", f"{tmp_path}/baseline-v1/", f"{b}/evaluate", "--gate"]) == 0


def test_results_of_another_place_are_no_regression(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What the second lacks fails the gate: a view that is gone hides what became of it."""
    first, second = answers(0)
    a = evaluated(tmp_path / "a", {"siglip2": first, "dinov3": first})
    b = evaluated(tmp_path / "b", {"siglip2": second})
    assert main(["compare", str(a), str(b), "--gate"]) == 1
    assert "the baseline has it, this evaluation does not" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["results/knn/cub.json", "samples/knn/cub.parquet"])
@pytest.mark.parametrize("how", ["changed", "gone"])
def test_a_changed_file_is_not_read(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, how: str) -> None:
    a, b = two(tmp_path)
    file = Path(b, "evaluate", name)
    if how == "gone":
        file.unlink()
    else:
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 1
        file.write_bytes(data)
    assert main(["compare", a, b, "--gate"]) == 1
    said = capsys.readouterr()
    assert f"DamagedError: {b}/evaluate: {name}: not the bytes that were written, or gone." in said.err
    assert "Gate" not in said.out


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["A"], 2, "Give a second run, or --gate to judge one alone"),
        (["A", "B", "--allow", "1"], 2, "--allow: only with --gate"),
        (["A", "B", "--strict", "--junit", "x.xml"], 2, "--strict, --junit: only with --gate"),
        (["A", "B", "--retention", "0.9"], 2, "--retention: only with --gate"),
        (["A", "B", "--gate", "--allow", "half"], 2, "--allow half: give a number from 0 to 100"),
        (["A", "B", "--gate", "--allow", "nan"], 2, "--allow nan: give a number from 0 to 100"),
        (["A", "B", "--gate", "--retention", "90"], 2, "--retention 90: give a number from 0 to 1"),
        (["/nowhere", "--gate"], 1, "/nowhere/evaluate is not finished: run `siglino evaluate"),
    ],
)
def test_what_cannot_be(words: list[str], code: int, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", *words]) == code
    assert says in capsys.readouterr().err


def test_another_stage_is_no_evaluation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stage = Run(str(tmp_path)).stage("export")
    identity = Identity(stage="export", version=1, config={}, inputs={})
    stage.finish(identity, stage.begin(identity, list), facts={})
    assert main(["compare", f"{tmp_path}/export", "--gate"]) == 2
    assert "is no evaluation. Give a run, or the folder evaluate or answers of one." in capsys.readouterr().err


def test_all_that_both_runs_have_finished_is_compared_and_judged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = two(tmp_path)
    answered(Path(a), answering())
    answered(Path(b), answering(found=20))
    report = tmp_path / "gate.json"
    assert main(["compare", a, b, "--gate", "--json", str(report)]) == 1
    out = capsys.readouterr().out
    assert out.startswith(f"First:  {a}\nSecond: {b}\n")
    assert 0 < out.index("k nearest neighbours on cub: top1") < out.index("Boxes of expressions on drawn: accuracy@0.5")
    assert "permuted labels: 1 of 1 hold" in out
    assert "failed: regression: grounding_box on drawn, grounding free, accuracy@0.5: 80.0 to 20.0" in out
    assert "failed: baselines: grounding_box on drawn test, grounding free: 20.0 (" in out
    stored = json.loads(report.read_text())
    assert {pair["key"]["task"] for pair in stored["comparison"]["pairs"]} == {"knn", "grounding_box"}
    assert stored["warnings"] == []


def test_an_allowance_is_of_whatever_is_compared(tmp_path: Path) -> None:
    a, b = two(tmp_path, drop=0.03)
    for run in (a, b):
        answered(Path(run), answering())
    assert main(["compare", a, b, "--gate"]) == 1
    assert main(["compare", a, b, "--gate", "--allow", "top1=5", "--allow", "mean_iou=1"]) == 0
    assert main(["compare", a, b, "--gate", "--allow", "top1=5", "--allow", "miou=1"]) == 1


def test_a_folder_that_is_named_is_taken_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = two(tmp_path, drop=0.03)
    for run in (a, b):
        answered(Path(run), answering())
    for words in ([f"{a}/answers", b], [a, f"{b}/answers/"], [f"{a}/answers", f"{b}/answers"]):
        assert main(["compare", *words, "--gate"]) == 0
        out = capsys.readouterr().out
        assert out.startswith(f"First:  {a}/answers\nSecond: {b}/answers\n")
        assert "k nearest neighbours" not in out
    assert main(["compare", f"{a}/evaluate", b, "--gate"]) == 1
    assert "Boxes" not in capsys.readouterr().out


def test_what_one_run_alone_has_finished_is_said_and_what_the_second_lacks_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = two(tmp_path)
    answered(Path(a), answering())
    report = tmp_path / "gate.json"
    words = f"answers is left out: only the first, {a}, has finished it."
    assert main(["compare", a, b, "--json", str(report)]) == 0
    assert capsys.readouterr().out.startswith(f"Warning: {words}\nFirst:  {a}/evaluate\n")
    assert json.loads(report.read_text())["warnings"] == [words]
    assert main(["compare", a, b, "--gate"]) == 1
    assert "failed: regression: answers: the baseline has finished it, this run has not" in capsys.readouterr().out
    assert main(["compare", b, a, "--gate"]) == 0
    assert f"Warning: answers is left out: only the second, {a}, has finished it." in capsys.readouterr().out


def test_two_that_have_nothing_in_common(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a = evaluated(tmp_path / "a", {"siglip2": answers(0)[0]})
    b = answered(tmp_path / "b", answering())
    for words in ([a, b], [a / "evaluate", b], [a, b / "answers"]):
        assert main(["compare", *map(str, words), "--gate"]) == 2
        assert "there is nothing in common to compare. `siglino ground` makes the first's answers" in (
            capsys.readouterr().err
        )


def test_a_run_alone_is_judged_by_all_that_it_has_finished(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = evaluated(tmp_path, {"siglip2": answers(0)[0]})
    answered(run, answering())
    assert main(["compare", str(run), "--gate"]) == 0
    out = capsys.readouterr().out
    assert "permuted labels: 1 of 1 hold" in out
    assert "baselines: 1 of 1 hold" in out
    answered(run, answering(found=0, shuffled=0, prior=0))
    assert main(["compare", str(run), "--gate"]) == 1
    assert "not shown to be above its best baseline" in capsys.readouterr().out


def ground_again(run: Path, what: bytes) -> str:
    with writing(run, "ground", {}) as out:
        out.put("model/model.safetensors", what)
    return digest(run, "ground")


def test_stale_results_are_told_and_fail_the_gate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = (answered(tmp_path / n, answering(), {"ground": ground_again(tmp_path / n, b"1")}) for n in "ab")
    assert main(["compare", str(a), str(b), "--gate"]) == 0
    assert "Warning" not in capsys.readouterr().out
    made = ground_again(b, b"2")
    words = (
        f"{b}/answers is stale: ground changed since, so that its results are of the former model. "
        f"`siglino ground run={b} --redo answers` makes it anew."
    )
    report = tmp_path / "gate.json"
    for places in ([a, b], [b, a], [b], [b / "answers"], [b, b / "answers"]):
        assert main(["compare", *map(str, places), "--gate", "--json", str(report)]) == 1
        out = capsys.readouterr().out
        assert out.startswith(f"Warning: {words}\n")
        assert out.count("Warning") == 1
        assert f"failed: up to date: {b}/answers: {words}" in out
        assert out.splitlines()[-1].startswith("Failed: 1 of ")
        assert json.loads(report.read_text())["warnings"] == [words]
    assert main(["compare", str(a), str(b)]) == 0
    assert capsys.readouterr().out.startswith(f"Warning: {words}\n")
    Path(b, "answers").rename(tmp_path / "copy")  # without the run around it nothing is known of it
    assert main(["compare", f"{tmp_path}/copy", "--gate"]) == 0
    answered(b, answering(), {"ground": made})
    assert main(["compare", str(a), str(b), "--gate"]) == 0


def test_a_stale_stage_that_is_not_compared_is_nobodys_concern(tmp_path: Path) -> None:
    run = evaluated(tmp_path, {"siglip2": answers(0)[0]})
    answered(run, answering(), {"ground": ground_again(run, b"1")})
    ground_again(run, b"2")
    assert main(["compare", f"{run}/evaluate", "--gate"]) == 0
    assert main(["compare", str(run), "--gate"]) == 1


def test_names_obey_no_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = answers(0, n=200, drop=0.2)
    a = evaluated(tmp_path / "a", {"v\x1b[2J\n": first})
    b = evaluated(tmp_path / "b", {"v\x1b[2J\n": second})
    assert main(["compare", str(a), str(b), "--gate"]) == 1
    out = capsys.readouterr().out
    assert "\x1b[2J" not in out
    assert "v\\x1b[2J\\n" in out


def test_a_nan_cannot_pass(tmp_path: Path) -> None:
    """Not a number is no share that is reached."""
    run = evaluated(tmp_path, {"siglip2": np.ones(100)})
    assert main(["compare", str(run), "--gate", "--retention", "nan"]) == 2
