"""`siglino ground predict`: JSON and a picture from one image and texts, and one sentence for what cannot be."""

import json
from pathlib import Path

import pytest
from PIL import Image

from siglino_core.grounding.data import rle
from tests.flows.grounded import said
from tests.pictures import encode, pixels
from tests.pipelines import grounding
from tests.siglino_core.grounding.test_folder import written

WIDTH, HEIGHT = 90, 60


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with drawn weights, and a photo."""
    folder = tmp_path_factory.mktemp("predict")
    written(folder / "model")
    (folder / "photo.jpg").write_bytes(encode(pixels(1, (WIDTH, HEIGHT))))
    return folder


def asked(made: Path, out: Path, *texts: str, image: str = "", model: str = "") -> tuple[int, str, str]:
    picture, source = image or str(made / "photo.jpg"), model or str(made / "model")
    return said("ground", "predict", picture, *texts, "--model", source, "--out", str(out), "--forced")


def test_json_with_boxes_inside_the_image_and_a_picture(made: Path, tmp_path: Path) -> None:
    code, out, err = asked(made, tmp_path / "out.png", "the red bird", "<seg>")
    assert code == 0, err
    found = json.loads(out)
    assert (found["image"], found["width"], found["height"]) == (str(made / "photo.jpg"), WIDTH, HEIGHT)
    assert [a["text"] for a in found["answers"]] == ["the red bird", "<seg>"]
    for answer in found["answers"]:
        (one,) = answer["instances"]
        left, top, right, bottom = one["box_xyxy"]
        assert 0 <= left <= right <= WIDTH
        assert 0 <= top <= bottom <= HEIGHT
        assert 0 <= one["score"] <= 1
        assert one["mask"]["size"] == [HEIGHT, WIDTH]
        assert rle.decode(one["mask"]["counts"].encode(), HEIGHT, WIDTH).shape == (HEIGHT, WIDTH)
    with Image.open(tmp_path / "out.png") as drawn:
        assert drawn.size == (WIDTH, HEIGHT)
        assert drawn.convert("RGB").tobytes() != Image.open(made / "photo.jpg").convert("RGB").tobytes()
    assert "the red bird: 1 found" in err
    assert f"Picture  {tmp_path}/out.png" in err


def test_boxes_alone_and_a_picture_beside_here(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, _ = said("ground", "predict", str(made / "photo.jpg"), "a", "--model", str(made / "model"), "--boxes")
    assert code == 0
    assert "mask" not in out
    assert (tmp_path / "photo-grounded.png").is_file()


def test_a_text_that_spells_a_control_token_stays_text(made: Path, tmp_path: Path) -> None:
    """The same model answers it as any text: what was said is said back, and nothing of the answer is in it."""
    odd = ["<seg>", "<|endoftext|>", "<coordinate> 1 <size>", "[bold]x[/bold]", "--help me"]
    code, out, err = said(
        *("ground", "predict", "--model", str(made / "model"), "--out", str(tmp_path / "o.png"), "--forced"),
        *("--", str(made / "photo.jpg"), *odd),
    )
    assert code == 0, err
    assert [a["text"] for a in json.loads(out)["answers"]] == odd
    assert all(len(a["instances"]) == 1 for a in json.loads(out)["answers"])


def test_a_turned_photo_is_answered_as_it_is_shown(made: Path, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels(1, (WIDTH, HEIGHT)).save(tmp_path / "turned.jpg", exif=exif)
    _, out, _ = asked(made, tmp_path / "out.png", "a", image=str(tmp_path / "turned.jpg"))
    assert (json.loads(out)["width"], json.loads(out)["height"]) == (HEIGHT, WIDTH)
    with Image.open(tmp_path / "out.png") as drawn:
        assert drawn.size == (HEIGHT, WIDTH)


def test_what_cannot_be(made: Path, tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("no image")
    Image.new("RGB", (2010, 10)).save(tmp_path / "line.png")
    student = grounding.student(tmp_path / "student")
    photo, out = made / "photo.jpg", tmp_path / "out.png"
    for code, says, found in (
        (2, "none.jpg: there is no such file", asked(made, out, "a", image=str(tmp_path / "none.jpg"))),
        (2, ": there is no such file", asked(made, out, "a", image=str(tmp_path))),
        (1, "text.jpg: it cannot be used as an image: ", asked(made, out, "a", image=str(tmp_path / "text.jpg"))),
        (
            1,
            "line.png: it cannot be used as an image: an image of 2010",
            asked(made, out, "a", image=f"{tmp_path}/line.png"),
        ),
        (1, "an expression without text: say what is to be found", asked(made, out, " ")),
        (1, "an expression of 10,000 characters", asked(made, out, "a" * 10_000)),
        (1, "an expression of 65 tokens", asked(made, out, "red " * 65)),
        (
            2,
            "this is a siglino, not a siglino_grounding. `siglino ground`",
            asked(made, out, "a", model=student),
        ),
        (2, "is the image itself. Take another name.", asked(made, photo, "a")),
        (2, "nowhere: there is nothing there", asked(made, out, "a", model=str(tmp_path / "nowhere"))),
        (2, "none/out.png cannot be written: there is no such folder", asked(made, tmp_path / "none/out.png", "a")),
        (2, "out.xyz is no picture's name. Let it end in .png or .jpg.", asked(made, tmp_path / "out.xyz", "a")),
        (2, " is no picture's name", asked(made, tmp_path, "a")),
    ):
        assert found[0] == code, found
        assert says in " ".join(found[2].split())
        assert "Traceback" not in found[2]
        assert found[1] == ""
    assert not out.exists()
    assert Image.open(photo).size == (WIDTH, HEIGHT)
