"""The set whose level is known: which pictures belong to it, and under which label."""

import csv
import json
from pathlib import Path

from scripts.evaluation import fluent
from siglino_core.config import DatasetConfig
from siglino_core.evaluation.data.open import open_split
from tests.pictures import picture

EMOJI = [
    {"hexcode": "1F600", "label": "grinning face", "group": 0, "subgroup": 1},
    {"hexcode": "1F415-200D-1F9BA", "label": "service dog", "group": 3, "subgroup": 2},
    {"hexcode": "2600", "label": "sun", "group": 3, "subgroup": 3},  # its file is of another code
    {"hexcode": "1F1E6", "label": "regional indicator A"},  # of no group
]


def packages(folder: Path) -> dict[str, Path]:
    """Both packages in miniature, by short name."""
    assets, data = folder / "fluent/package/assets", folder / "emojibase/package"
    for path in (assets, data / "en", data / "meta"):
        path.mkdir(parents=True)
    for i, name in enumerate(["1f600", "1f415-200d-1f9ba", "2600-fe0f", "1f1e6", "1f600-1f3fb"]):
        (assets / f"{name}.webp").write_bytes(picture(i, "webp"))
    (data / "en/data.json").write_text(json.dumps(EMOJI))
    groups, subgroups = {"0": "smileys", "3": "animals"}, {"1": "face", "2": "mammal", "3": "sky"}
    (data / "meta/groups.json").write_text(json.dumps({"groups": groups, "subgroups": subgroups}))
    return {"fluent": folder / "fluent", "emojibase": folder / "emojibase"}


def test_a_concept_has_a_picture_of_its_whole_code_and_a_group(tmp_path: Path) -> None:
    found = fluent.concepts(packages(tmp_path))
    assert [(c.name, c.group, c.subgroup) for c in found] == [
        ("grinning face", "smileys", "face"),
        ("service dog", "animals", "mammal"),
    ]


def test_the_files_are_a_data_set_with_labels_and_captions(tmp_path: Path) -> None:
    files = fluent.write(fluent.concepts(packages(tmp_path)), tmp_path / "out")
    labels = {name: [row["label"] for row in csv.DictReader(path.open())] for name, path in files.items()}
    assert labels == {"groups": ["smileys", "animals"], "subgroups": ["face", "mammal"]}
    split = open_split(DatasetConfig(annotations=str(files["groups"])))
    (unit,) = split.units()
    samples = list(split.read(unit))
    assert [split.classes[s.label] if isinstance(s.label, int) else s.label for s in samples] == labels["groups"]
    assert [s.captions for s in samples] == [("grinning face",), ("service dog",)]


def test_the_command_asks_for_the_nearest_first(tmp_path: Path) -> None:
    words = fluent.words({"groups": tmp_path / "a b.csv"}, tmp_path / "run")
    assert words[-1] == "evaluate.k=[1,20]"
    assert f'[{{name: groups, annotations: "{tmp_path / "a b.csv"}", tasks: [knn]}}]' in words[2]
