"""The image processor: sizes, order of the numbers, batches, settings."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from transformers import AutoImageProcessor, TensorType
from transformers.image_utils import load_image

import siglino_core.models.hf  # noqa: F401 - what AutoImageProcessor finds it by
from siglino_core.models.patches import unpatchify
from siglino_core.models.processor import SigLinoImageProcessor
from tests.pictures import encode, pixels, png_of

PROCESSOR = SigLinoImageProcessor()


@pytest.mark.parametrize(
    ("height", "width", "wanted"),
    [
        (256, 256, (256, 256)),
        (200, 200, (192, 192)),  # 12.5 patches: halves to even
        (216, 216, (224, 224)),  # 13.5
        (190, 250, (192, 256)),
        (1024, 1024, (256, 256)),
        (512, 1024, (176, 352)),  # 181.0 and 362.0, floored
        (64, 64, (128, 128)),
        (40, 100, (96, 208)),  # scaled up, then ceiled: 80.95 and 202.4
    ],
)
def test_sizes(height: int, width: int, wanted: tuple[int, int]) -> None:
    assert PROCESSOR.target_size(height, width) == wanted


@given(st.integers(16, 4000), st.integers(16, 4000))
def test_sizes_are_whole_patches_within_bounds(height: int, width: int) -> None:
    if max(height, width) > 200 * min(height, width):
        return
    h, w = PROCESSOR.target_size(height, width)
    assert h % 16 == w % 16 == 0
    assert min(h, w) >= 16
    if max(height, width) < 10 * min(height, width):
        assert h * w <= 256**2


def test_pixels_and_order() -> None:
    image = pixels(0, (160, 144))
    patches, shape = PROCESSOR.patches(image)
    assert shape == (9, 10)
    wanted = np.asarray(image, dtype=np.float32) / 127.5 - 1
    assert torch.equal(patches[11], torch.from_numpy(wanted[16:32, 16:32].reshape(-1)))
    assert patches.min() >= -1
    assert patches.max() <= 1


def test_a_batch() -> None:
    batch = PROCESSOR([pixels(1, (160, 144)), np.asarray(pixels(2, (128, 128)))], return_tensors="pt")
    assert batch["pixel_values"].shape == (2, 90, 768)
    assert batch["padding_mask"].sum(1).tolist() == [90, 64]
    assert batch["spatial_shapes"].tolist() == [[9, 10], [8, 8]]
    assert not batch["pixel_values"][1, 64:].any()
    one = PROCESSOR(pixels(1, (512, 512)), max_pixels=512**2)
    assert one["spatial_shapes"].tolist() == [[32, 32]]
    assert PROCESSOR(Image.new("L", (128, 128)))["pixel_values"].shape == (1, 64, 768)


def test_every_way_to_call(tmp_path: Path) -> None:
    image = pixels(1, (160, 144))
    image.save(tmp_path / "a.png")
    wanted = PROCESSOR(image)
    calls: list[Any] = [
        PROCESSOR(images=image),
        PROCESSOR([image]),
        PROCESSOR.preprocess(image),
        PROCESSOR.preprocess(images=[image], return_tensors=TensorType.PYTORCH, max_pixels=None),
        PROCESSOR(tmp_path / "a.png", "pt"),
        PROCESSOR(torch.from_numpy(np.asarray(image).copy())[None]),
        PROCESSOR(load_image(str(tmp_path / "a.png")), return_tensors="pt"),  # as transformers' pipelines do
    ]
    assert all(torch.equal(got[name], wanted[name]) for got in calls for name in PROCESSOR.model_input_names)
    arrays = PROCESSOR(image, return_tensors="np")
    for name, value in arrays.items():
        assert isinstance(value, np.ndarray)
        assert np.array_equal(value, wanted[name].numpy())


def test_load_images_of_transformers_turn_once() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encode(pixels(3, (300, 200)), exif=exif)
    theirs, ours = load_image(Image.open(io.BytesIO(data))), Image.open(io.BytesIO(data))
    assert torch.equal(PROCESSOR(theirs)["pixel_values"], PROCESSOR(ours)["pixel_values"])
    assert PROCESSOR(ours)["spatial_shapes"].tolist() == PROCESSOR(data)["spatial_shapes"].tolist() == [[19, 12]]


def test_other_means_and_deviations() -> None:
    mean, std = [0.48, 0.45, 0.4], [0.22, 0.23, 0.25]
    image = pixels(1, (160, 144))
    raw = torch.from_numpy(np.array(image)).double().reshape(1, -1, 3)
    own = SigLinoImageProcessor(image_mean=mean, image_std=std)
    cases: dict[str, tuple[Any, Any]] = {
        "own": (own(image), (raw / 255 - torch.tensor(mean)) / torch.tensor(std)),
        "for a call": (
            PROCESSOR(image, image_mean=mean, image_std=std),
            (raw / 255 - torch.tensor(mean)) / torch.tensor(std),
        ),
        "a number": (PROCESSOR(image, image_mean=0, image_std=0.5), raw / 255 / 0.5),
        "not normalised": (PROCESSOR(image, do_normalize=False), raw / 255),
        "not rescaled": (PROCESSOR(image, do_rescale=False), (raw - 0.5) / 0.5),
        "neither": (PROCESSOR(image, do_rescale=False, do_normalize=False), raw),
        "another factor": (PROCESSOR(image, rescale_factor=1 / 100), raw / 50 - 1),
    }
    for name, (batch, wanted) in cases.items():
        seen = unpatchify(batch["pixel_values"], (9, 10), 16).permute(0, 2, 3, 1).reshape(1, -1, 3).double()
        torch.testing.assert_close(seen, wanted.double(), atol=2e-5, rtol=2e-6, msg=name)


def test_real_numbers() -> None:
    image = pixels(1, (300, 280))
    real = np.asarray(image) / 255.0
    assert torch.equal(PROCESSOR(real)["pixel_values"], PROCESSOR(image)["pixel_values"])
    standard = (np.asarray(image) / 127.5 - 1).astype(np.float32)
    got = PROCESSOR(standard, do_rescale=False, do_normalize=False)["pixel_values"]
    assert (got - PROCESSOR(image)["pixel_values"]).abs().max() < 0.03  # Pillow rounds between its two passes
    with pytest.raises(ValueError, match=r"image 1: real numbers from -1\.0 to"):
        PROCESSOR([image, standard])


def test_sizes_for_a_call() -> None:
    image = pixels(1, (600, 400))

    def shape(**changes: Any) -> list[int]:
        return PROCESSOR(image, **changes)["spatial_shapes"][0].tolist()

    assert shape() == [13, 19]
    assert shape(max_num_patches=64) == shape(max_pixels=128**2) == [6, 9]
    assert shape(max_num_patches=10) == shape(max_pixels=10 * 256, min_pixels=1) == shape(max_pixels=10 * 256)
    assert shape(max_num_patches=10**4) == [25, 38]
    assert shape(size={"height": 32, "width": 64}) == [2, 4]
    assert shape(size=64) == [4, 4]
    assert SigLinoImageProcessor(max_num_patches=64)(image, max_pixels=256**2)["spatial_shapes"].tolist() == [[13, 19]]
    assert SigLinoImageProcessor(size=64)(image, max_pixels=256**2)["spatial_shapes"].tolist() == [[13, 19]]
    assert PROCESSOR(pixels(1, (32, 48)), do_resize=False)["spatial_shapes"].tolist() == [[3, 2]]
    assert PROCESSOR(pixels(1, (3200, 160)), do_resize=False)["spatial_shapes"].tolist() == [[10, 200]]
    with pytest.raises(
        ValueError, match="image 0: an image of 600 x 407 pixels: without do_resize, in multiples of 16"
    ):
        PROCESSOR(pixels(1, (600, 407)), do_resize=False)


def test_another_filter() -> None:
    image = pixels(1, (600, 400))
    got = PROCESSOR(image, resample=Image.Resampling.NEAREST)["pixel_values"]
    wanted = np.asarray(image.resize((304, 208), Image.Resampling.NEAREST), dtype=np.float32) / 127.5 - 1
    assert torch.equal(unpatchify(got, (13, 19), 16)[0].permute(1, 2, 0), torch.from_numpy(wanted))


@pytest.mark.parametrize("size", [(1, 1), (15, 40), (40, 3), (1, 200), (600, 3)])
def test_a_side_under_one_patch_is_brought_up_to_one(size: tuple[int, int]) -> None:
    batch = PROCESSOR([pixels(1, size), pixels(2, (160, 144))])
    h, w = batch["spatial_shapes"][0].tolist()
    assert min(h, w) >= 1
    assert batch["spatial_shapes"][1].tolist() == [9, 10]
    width, height = (round(side * 16 / min(size)) for side in size)
    assert (16 * h, 16 * w) == PROCESSOR.target_size(height, width)


def test_pad() -> None:
    images = [pixels(1, (160, 144)), pixels(2, (128, 128)), pixels(3, (300, 200))]
    wanted = PROCESSOR(images)
    parts = [PROCESSOR(images[:2]), dict(PROCESSOR(images[2], return_tensors="np"))]
    for name, value in PROCESSOR.pad(parts).items():
        assert torch.equal(value, wanted[name])
    for name, value in PROCESSOR.pad(parts, return_tensors="np").items():
        assert np.array_equal(value, wanted[name].numpy())
    with pytest.raises(ValueError, match="no batches to pad"):
        PROCESSOR.pad([])


def test_saved_and_loaded(tmp_path: Path) -> None:
    own = SigLinoImageProcessor(patch_size=8, image_mean=[0.1, 0.2, 0.3], max_num_patches=100, resample=2)
    own.save_pretrained(tmp_path / "a")
    found = json.loads((tmp_path / "a/preprocessor_config.json").read_text())
    assert found["image_processor_type"] == "SigLinoImageProcessor"
    assert found["image_mean"] == [0.1, 0.2, 0.3]
    assert found["image_std"] == [0.5, 0.5, 0.5]
    assert {k: found[k] for k in ("do_resize", "do_rescale", "do_normalize", "resample")} == {
        "do_resize": True, "do_rescale": True, "do_normalize": True, "resample": 2
    }  # fmt: skip
    assert found["rescale_factor"] == 1 / 255
    assert (found["min_pixels"], found["max_pixels"], found["max_num_patches"]) == (128**2, 256**2, 100)
    loaded = AutoImageProcessor.from_pretrained(tmp_path / "a")
    loaded.save_pretrained(tmp_path / "b")
    assert (tmp_path / "b/preprocessor_config.json").read_text() == (
        tmp_path / "a/preprocessor_config.json"
    ).read_text()
    image = pixels(1, (160, 144))
    assert torch.equal(loaded(image)["pixel_values"], own(image)["pixel_values"])
    changed = AutoImageProcessor.from_pretrained(tmp_path / "a", max_pixels=64**2, do_normalize=False)
    assert (changed.max_pixels, changed.max_num_patches, changed.min_pixels) == (64**2, None, 64**2)
    assert torch.equal(changed(image)["pixel_values"], own(image, max_pixels=64**2, do_normalize=False)["pixel_values"])


def test_a_file_may_say_more_than_there_is(tmp_path: Path) -> None:
    PROCESSOR.save_pretrained(tmp_path)
    path = tmp_path / "preprocessor_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "do_convert_rgb": True, "merge_size": 1}))
    assert SigLinoImageProcessor.from_pretrained(tmp_path).max_pixels == 256**2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"max_pixel": 3},
            "max_pixel: no setting of this image processor; there are images, return_tensors, min_pixels,",
        ),
        ({"videos": [1], "text": "a"}, "videos, text: no setting of this image processor"),
        ({"segmentation_maps": [1]}, "segmentation_maps: no setting"),
        ({"patch_size": 8}, "patch_size: no setting"),
        ({"return_tensors": "tf"}, "return_tensors='tf': 'pt' or 'np'"),
        (
            {"size": {"shortest_edge": 224}},
            r"size=\{'shortest_edge': 224\}: \{\"height\": ..., \"width\": ...\}; min_pixels",
        ),
        ({"size": {"height": 100, "width": 160}}, "size=.*: multiples of the patch, which is 16 pixels"),
        ({"resample": 9}, r"resample=9: 0 \(NEAREST\), 4 \(BOX\)"),
        ({"image_mean": [0.5, 0.5]}, r"image_mean=\[0.5, 0.5\]: one number, or three"),
        ({"image_std": 0}, r"image_std=\[0.0, 0.0, 0.0\]: above 0"),
        ({"max_num_patches": 0}, "max_num_patches=0: at least 1"),
        ({"max_num_patches": 9, "max_pixels": 9}, "max_pixels and max_num_patches are one bound in two units"),
        ({"min_pixels": 512**2}, "min_pixels=262144: above 0, at most max_pixels=65536"),
    ],
)
def test_settings_that_cannot_be(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PROCESSOR(pixels(1), **changes)


def test_refusals() -> None:
    with pytest.raises(ValueError, match="image 1: an image of 15 x 3001 pixels"):
        PROCESSOR([pixels(1), Image.new("RGB", (15, 3001))])
    with pytest.raises(ValueError, match="an aspect of at most 200"):
        PROCESSOR.target_size(16, 3300)
    with pytest.raises(ValueError, match="min_pixels=400: above 0, at most max_pixels=300"):
        SigLinoImageProcessor(min_pixels=400, max_pixels=300)
    with pytest.raises(ValueError, match="max_pixel: no setting of this image processor; there are patch_size,"):
        SigLinoImageProcessor(max_pixel=300)
    with pytest.raises(ValueError, match="image 0: NoneType is no image"):
        PROCESSOR()
    with pytest.raises(ValueError, match="no images"):
        PROCESSOR([])
    with pytest.raises(ValueError, match=r"image 1: .*no\.jpg"):
        PROCESSOR([pixels(1), "no.jpg"])
    with pytest.raises(ValueError, match="image 0: cannot identify image file"):
        PROCESSOR(b"<html>")
    with pytest.raises(ValueError, match=r"image 0: Image size .* exceeds limit"):
        PROCESSOR(png_of(20_000, 20_000))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"min_pixels": "a"}, "min_pixels='a': a whole number"),
        ({"max_num_patches": "5"}, "max_num_patches='5': a whole number"),
        ({"size": {"height": 224.0, "width": 224}}, r"size=224\.0: a whole number"),
        ({"rescale_factor": "x"}, "rescale_factor='x': a number"),
        ({"rescale_factor": float("nan")}, "rescale_factor=nan"),
        ({"image_std": [0.5, float("nan"), 0.5]}, "image_std"),
        ({"resample": "bicubic"}, "resample='bicubic': 0 .NEAREST."),
    ],
)
def test_values_that_are_none(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        SigLinoImageProcessor(**settings)


def test_an_unknown_setting_of_loading_is_refused(tmp_path: Path) -> None:
    SigLinoImageProcessor().save_pretrained(tmp_path)
    for load in (SigLinoImageProcessor, AutoImageProcessor):
        with pytest.raises(ValueError, match="max_pixel: no setting of this image processor"):
            load.from_pretrained(tmp_path, max_pixel=10**6, trust_remote_code=True)
    assert AutoImageProcessor.from_pretrained(tmp_path, max_pixels=10**6, trust_remote_code=True).max_pixels == 10**6


def test_what_cannot_be_scaled_is_told_as_it_is() -> None:
    processor = SigLinoImageProcessor()
    for size in ((1, 201), (201, 1)):
        with pytest.raises(ValueError, match=r"image 0: an image of .* an aspect of at most 200"):
            processor(Image.new("RGB", size))
    with pytest.raises(ValueError, match="hold NaN or infinity"):
        processor(np.full((32, 32, 3), np.nan), do_rescale=False)
    with pytest.raises(ValueError, match="a batch without spatial_shapes"):
        processor.pad([{"pixel_values": torch.zeros(1, 4, 768)}])
    one = processor(Image.new("RGB", (32, 32)))
    assert torch.equal(processor.pad(one)["pixel_values"], one["pixel_values"])
