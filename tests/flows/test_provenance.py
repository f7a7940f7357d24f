"""What a run says of how it was made is how it was made, whatever is asked for afterwards."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flows.cli import main
from flows.config import compose_config
from flows.stages import CURATE
from siglino_core.config import Match, Shards, to_dict
from siglino_core.report.opening import run_card
from siglino_core.store import Files, Run
from tests.flows.small import HERE, curated
from tests.pools import pictures


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run; not to be changed."""
    return curated(tmp_path_factory.mktemp("provenance"), pictures(45))


@pytest.fixture
def run(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("os.fsync", lambda _: None)
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    return Path(shutil.copytree(made, tmp_path / "run"))


def note(run: Path, name: str = "curate") -> dict[str, Any]:
    return Files(str(run)).read_record(f"{name}.json") or {}


def without_paths(text: str) -> str:
    """A page or card, less its times and where it lies."""
    return "\n".join(line for line in text.splitlines() if "UTC" not in line and "/run" not in line)


def test_settings_that_are_not_given_are_the_runs(run: Path) -> None:
    config = compose_config([f"run={run}"])
    assert (config.seed, config.sample.target_size, config.cluster.num_clusters) == (3, 20, [6, 2])
    assert config.source.uri.endswith("pool.parquet")
    assert config.runtime.runner.value == "ray", "where it ran is not how it was made"
    assert compose_config([f"run={run}", "sample.target_size=7"]).sample.target_size == 7
    assert compose_config(["experiment=demo", f"run={run}"]).sample.target_size == 1500, "an experiment's are given"
    assert main(["curate", f"run={run}", HERE]) == 0


def test_an_earlier_versions_settings_that_are_no_more_are_left_out(run: Path) -> None:
    """So that its student can still be judged; a training that is not done says that its settings differ."""
    pack = {"packs_per_step": 8, "window": 64, "match": "global"}
    Run(str(run)).note({"config": {"train": {"pack": pack}}}, "train")
    found = compose_config([f"run={run}"]).train.pack
    assert (found.packs_per_step, found.match) == (8, Match.STEP)


def test_an_experiments_settings_are_those_of_the_run_that_it_made(
    run: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What was changed by a redo stays changed; another experiment is another command."""
    record = note(run)
    Run(str(run)).note({**record, "experiment": "demo"}, "source")
    assert compose_config(["experiment=demo", f"run={run}"]).sample.target_size == 20
    assert compose_config(["experiment=demo", f"run={run}", "sample.target_size=8"]).sample.target_size == 8
    assert compose_config(["experiment=smoke", f"run={run}"]).sample.target_size != 20
    (run / "curate.json").unlink()
    config = compose_config([f"run={run}"])
    assert (config.seed, config.sample.target_size, config.source.rows_per_shard) == (3, 20, 12), "of the manifests"
    assert compose_config([f"run={tmp_path / 'new'}"]) == replace(compose_config([]), run=str(tmp_path / "new"))


def test_clusters_that_nobody_counted_follow_from_the_sample_when_they_are_made_anew(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("siglino_core.curation.clustering.levels.IMAGES", 7)

    def again(*words: str) -> tuple[list[int], str]:
        assert main(["curate", f"run={run}", HERE, *words]) == 0
        manifests = {name: Run(str(run)).stage(name).require() for name in ("cluster", "sample")}
        return manifests["cluster"].facts["levels"], " ".join(manifests["sample"].facts["warnings"])

    assert again("--redo", "cluster", "sample.target_size=8", "cluster.num_clusters=[]")[0] == [2]
    assert note(run)["config"]["cluster"]["num_clusters"] == []
    levels, warned = again("--redo", "sample", "sample.target_size=24")
    assert levels == [2]
    assert (
        "2 clusters of level 1 are kept from an earlier sample; for 24 images 6 would suit: --redo cluster." in warned
    )
    levels, warned = again("--redo", "cluster", "--redo", "sample")
    assert levels == [6]
    assert "kept from an earlier sample" not in warned
    assert note(run)["config"]["cluster"]["num_clusters"] == [], "it is not noted as if somebody had said it"
    again("--redo", "cluster", "cluster.num_clusters=[4]")
    levels, warned = again("--redo", "cluster", "sample.target_size=8")
    assert levels == [4], "what somebody said stays"


def test_a_report_drawn_again_is_the_same_report(run: Path, made: Path) -> None:
    page = (run / "report/curation.html").read_text(encoding="utf-8")
    for words in ([], ["sample.target_size=9", "seed=7"]):
        code = main(["report", f"run={run}", *words, HERE])
        if words:
            assert code == 2, "settings of a stage that does not run, and was made by others"
        else:
            assert code == 0
    again = (run / "report/curation.html").read_text(encoding="utf-8")
    assert "target_size: 20" in again
    assert "target_size: 9" not in again
    assert len(again) == pytest.approx(len(page), rel=0.05)
    assert note(run)["config"]["sample"] == note(made)["config"]["sample"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--only", "sample", "embed.encoder=lite"], "embed.encoder: ['efficientnet_lite0'] there, ['lite'] here"),
        (["--only", "sample", "cluster.num_clusters=[5,2]"], "cluster.num_clusters: [6, 2] there, [5, 2] here"),
        (["--from", "cluster", "source.max_aspect=3"], "source.max_aspect: 200.0 there, 3.0 here"),
        (["--only", "report", "seed=9"], "cluster.seed: 3 there, 9 here"),
        (["--only", "sample", "embed.precision=bf16"], "embed.precision: 'float32' there, 'bfloat16' here"),
    ],
)
def test_settings_of_stages_that_do_not_run_are_refused(
    run: Path, words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = note(run)
    assert main(["curate", f"run={run}", *words, HERE]) == 2
    said = capsys.readouterr().err
    assert says in said
    assert "Leave these settings out, or make it again: --redo" in said
    assert note(run) == before


def test_a_refused_command_leaves_the_note(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = note(run)
    assert main(["curate", f"run={run}", "sample.target_size=9", HERE]) == 2
    assert "target_size: 20 there, 9 here" in capsys.readouterr().err
    assert note(run)["config"] == before["config"] | {"runtime": note(run)["config"]["runtime"]}
    assert main(["curate", f"run={run}", "--redo", "sample", "sample.target_size=999", HERE]) == 2
    assert note(run)["config"]["sample"]["target_size"] == 20
    assert main(["report", f"run={run}/nothing", HERE]) == 1
    assert not (run / "nothing").exists()


def test_each_stage_is_noted_when_it_begins(run: Path) -> None:
    assert main(["curate", f"run={run}", "--redo", "sample", "sample.target_size=9", HERE]) == 0
    assert note(run)["config"]["sample"]["target_size"] == 9
    assert note(run)["config"]["cluster"] == to_dict(compose_config([f"run={run}"]))["cluster"]
    assert "9 images asked for" in (run / "sample/README.md").read_text(encoding="utf-8")


def test_what_stands_on_something_else_now_is_stale(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["curate", f"run={run}", "--only", "cluster", "--redo", "cluster", "cluster.center=true", HERE]) == 0
    capsys.readouterr()
    assert main(["inspect", str(run)]) == 0
    said = capsys.readouterr().out
    lines = {line.split()[0]: line for line in said.splitlines() if line.split()[:1]}
    assert "done" in lines["cluster"]
    assert "stale: cluster changed since" in lines["sample"]
    assert "stale: cluster, sample changed since" in lines["report"]
    assert Run(str(run)).stage("sample").manifest() is not None


def test_the_runs_card_has_the_samples_columns_and_is_left_to_its_owner(run: Path) -> None:
    card = run / "README.md"
    assert card.read_text() == run_card(Shards.PARQUET, 2)
    assert main(["curate", f"run={run}", HERE, "sample.shards=webdataset", "--redo", "sample"]) == 0
    assert card.read_text() == run_card(Shards.WEBDATASET, 2)
    one = ["cluster.num_clusters=[4]", "sample.shards=parquet", "--redo", "cluster", "--redo", "sample"]
    assert main(["curate", f"run={run}", HERE, *one]) == 0
    assert card.read_text() == run_card(Shards.PARQUET, 1)
    card.write_text(card.read_text() + "mine")
    assert main(["curate", f"run={run}", HERE, "sample.shards=webdataset", "--redo", "sample"]) == 0
    assert card.read_text() == run_card(Shards.WEBDATASET, 1) + "mine"
    assert main(["curate", f"run={run}", HERE, "sample.shards=parquet", "--redo", "sample"]) == 0
    card.write_text("mine")
    assert main(["curate", f"run={run}", HERE, "sample.target_size=8", "--redo", "sample"]) == 0
    assert card.read_text() == "mine"
    card.unlink()
    card.mkdir()  # whatever stands there, the stage is done
    assert main(["curate", f"run={run}", HERE, "sample.target_size=7", "--redo", "sample"]) == 0
    card.rmdir()
    assert main(["curate", f"run={run}", HERE]) == 0
    assert card.read_text() == run_card(Shards.PARQUET, 1)


def test_the_card_of_a_redo_has_the_redos_command(run: Path) -> None:
    assert main(["curate", f"run={run}", HERE, "sample.target_size=8", "--redo", "sample"]) == 0
    card = (run / "sample/README.md").read_text()
    assert "sample.target_size=8" in card
    assert "sample.target_size=20" not in card


def test_a_card_makes_the_set_again_without_its_run(run: Path, tmp_path: Path) -> None:
    assert main(["curate", f"run={run}", HERE, "sample.target_size=8", "--redo", "sample"]) == 0
    card = (run / "sample/README.md").read_text()
    assert "`siglino curate experiment=again.yaml run=FOLDER`" in card
    (tmp_path / "again.yaml").write_text(card.partition("```yaml\n")[2].partition("```")[0])
    words = [f"experiment={tmp_path / 'again.yaml'}", f"run={tmp_path / 'anew'}", HERE]
    assert main(["curate", *words]) == 0
    digests = [[Run(str(r)).stage(s).require().digest for s in CURATE[:-1]] for r in (run, tmp_path / "anew")]
    assert digests[0] == digests[1]
