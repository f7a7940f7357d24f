"""Pools as people have them: what tools write, what cameras and warehouses leave, and what goes wrong on the way."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, PngImagePlugin

from tests.pictures import encode, noise, pixels, png_chunk
from tests.pools import parquet_file, tar_bytes, write_files

SIDE = (40, 40)


def picture(seed: int, kind: str = "png") -> bytes:
    return noise(seed, SIDE, kind)


def img2dataset_files(folder: Path) -> Path:
    """What `img2dataset --output_format files` leaves: 18 images in numbered folders, and failed downloads."""
    for shard in range(3):
        rows: list[dict[str, Any]] = []
        for i in range(8):
            key, good = f"{shard:05d}{i:04d}", i % 4 != 3
            status = {"status": "success" if good else "failed_to_download", "error_message": None if good else "404"}
            rows.append({"key": key, "url": f"http://example.invalid/{key}", "caption": f"caption of {key}", **status})
            if good:
                beside = {"jpg": picture(8 * shard + i, "jpeg"), "txt": rows[-1]["caption"].encode()}
                beside["json"] = json.dumps(rows[-1]).encode()
                write_files(folder / f"{shard:05d}", {f"{key}.{end}": data for end, data in beside.items()})
        columns = {name: [r[name] for r in rows] for name in rows[0]}
        parquet_file(folder / f"{shard:05d}.parquet", columns)
        write_files(folder, {f"{shard:05d}_stats.json": b'{"count": 8}'})
    return folder


def img2dataset_parquet(folder: Path) -> Path:
    """40 rows, 16 of them downloads that failed."""
    good = [i % 5 not in (1, 3) for i in range(40)]
    columns = {
        "jpg": pa.array([picture(i, "jpeg") if g else None for i, g in enumerate(good)], pa.binary()),
        "key": [f"{i:09d}" for i in range(40)],
        "caption": [f"caption {i}" for i in range(40)],
        "status": ["success" if g else "failed_to_download" for g in good],
        "error_message": [None if g else "HTTP Error 404: Not Found" for g in good],
    }
    parquet_file(folder / "00000.parquet", columns, row_group_size=10)
    return folder


def split_then_class(folder: Path) -> Path:
    """ImageNet's layout, and that of Hugging Face's image folders: SPLIT/CLASS/image."""
    places = [(s, c, i) for s in ("train", "val") for c in ("crane", "kiwi", "robin") for i in range(4)]
    return write_files(folder, {f"{s}/{c}/{i}.png": picture(n) for n, (s, c, i) in enumerate(places)})


def hugging_face_metadata(folder: Path) -> Path:
    rows = [{"file_name": f"{i:04d}.png", "text": f"caption {i}", "label": "ab"[i % 2]} for i in range(8)]
    write_files(folder / "train", {r["file_name"]: picture(i) for i, r in enumerate(rows)})
    return write_files(folder, {"train/metadata.jsonl": "\n".join(map(json.dumps, rows)).encode()})


def frames_by_time(folder: Path) -> Path:
    """A tar of 22.05.png, 22.05.txt and 22.05.cls: dots that are no suffixes."""
    members = []
    for n, (second, frame) in enumerate((s, f) for s in (21, 22) for f in range(4)):
        key = f"{second}.{frame:02d}"
        members += [(f"{key}.png", picture(n)), (f"{key}.txt", f"frame {key}".encode()), (f"{key}.cls", b"%d" % frame)]
    return write_files(folder, {"frames.tar": tar_bytes(members)})


def scenes_with_masks(folder: Path) -> Path:
    """A tar with a mask and a depth map beside each of six photographs, and a sample without an image."""
    members = []
    for i in range(6):
        key = f"scene{i:04d}"
        members += [
            (f"{key}.jpg", picture(i, "jpeg")),
            (f"{key}.seg.png", picture(i)),
            (f"{key}.depth.png", picture(i)),
        ]
        members.append((f"{key}.json", json.dumps({"caption": f"scene {i}"}).encode()))
    members += [("orphan.json", b'{"caption": "of none"}'), ("orphan.txt", b"of none")]
    return write_files(folder, {"scenes.tar": tar_bytes(members)})


def members_by_kind(folder: Path) -> Path:
    """A tar in which all images come first."""
    images = [(f"{i:04d}.png", picture(i)) for i in range(8)]
    texts = [(f"{i:04d}.txt", f"caption {i}".encode()) for i in range(8)]
    return write_files(
        folder, {"a.tar": tar_bytes(images + texts + [(f"{i:04d}.cls", b"%d" % (i % 2)) for i in range(8)])}
    )


def compressed_tars(folder: Path) -> Path:
    """Twenty images in four tars, three of them compressed, one under a plain tar's name."""
    tars = [tar_bytes([(f"{t}{i}.png", picture(10 * t + i)) for i in range(5)]) for t in range(4)]
    packed = [gzip.compress(t, mtime=0) for t in tars[:3]]
    return write_files(folder, dict(zip(("a.tar", "b.tar.gz", "c.tgz", "d.tar"), [*packed, tars[3]], strict=True)))


def tars_that_cannot_be_read(folder: Path) -> Path:
    """Four tars of twenty images; three of them are cut or other bytes."""
    tars = [tar_bytes([(f"{t}{i:02d}.png", picture(100 * t + i)) for i in range(20)]) for t in range(4)]
    broken = {"1.tar": tars[1][:600], "2.tar": tars[2][:700], "3.tar": b"\x1f\x9d" + tars[3][2:600]}
    return write_files(folder, {"0.tar": tars[0], **broken})


def numbered_tars(folder: Path) -> Path:
    """Five tars of four images, in a folder with a name that shells and parsers mind; `{00000..00002}` names three."""
    tars = {f"{s:05d}.tar": tar_bytes([(f"{s}{i}.png", picture(10 * s + i)) for i in range(4)]) for s in range(5)}
    return write_files(folder / "写真 (2), a=b%20&c [x]", tars)


def links(folder: Path) -> Path:
    """A pool put together with links, one of them to nothing, and a pipe: eleven images and two rejects."""
    pool = write_files(folder / "pool", {f"here/{i}.png": picture(i) for i in range(4)})
    write_files(folder, {f"elsewhere/{i}.png": picture(10 + i) for i in range(6)} | {"single.png": picture(30)})
    (pool / "there").symlink_to(folder / "elsewhere")
    (pool / "there" / "round").symlink_to(pool)
    (pool / "one.png").symlink_to(folder / "single.png")
    (pool / "gone.png").symlink_to(folder / "nothing.png")
    return pool


def dictionaries(folder: Path) -> Path:
    """A warehouse's Parquet: images and labels as dictionaries."""
    images = pa.array([picture(i) for i in range(12)], pa.binary()).dictionary_encode()
    parquet_file(folder / "0.parquet", {"image": images, "label": pa.array(["x", "y"] * 6).dictionary_encode()})
    return folder


def placeholder(folder: Path) -> Path:
    """One picture of 900 kB in 1,500 rows: a file of a megabyte."""
    blank = noise(0, (545, 545))
    images = pa.DictionaryArray.from_arrays(pa.array([0] * 1500), pa.array([blank], pa.binary()))
    folder.mkdir(parents=True)
    pq.write_table(pa.table({"image": images}), folder / "0.parquet", row_group_size=1500, store_schema=False)
    return folder


def urls(folder: Path) -> Path:
    """LAION's table before any download."""
    parquet_file(folder / "0.parquet", {"URL": ["http://example.invalid/1.jpg"], "TEXT": ["t"], "WIDTH": [1.0]})
    return folder


def warehouse(folder: Path) -> Path:
    """Ten images in folders by label, a file of no rows, and what a warehouse leaves beside them."""
    for n, label in enumerate(("cat", "dog")):
        columns = {"content": [picture(10 * n + i) for i in range(5)], "path": [f"dbfs:/x/{i}.png" for i in range(5)]}
        parquet_file(folder / f"label={label}" / "part-0.snappy.parquet", columns)
        write_files(folder / f"label={label}", {".part-0.snappy.parquet.crc": b"crc\0"})
    empty = {"content": pa.array([], pa.binary()), "path": pa.array([], pa.string())}
    parquet_file(folder / "label=cat" / "part-1.snappy.parquet", empty)
    return write_files(folder, {"_SUCCESS": b"", "_metadata": b"PAR1"})


def half_written(folder: Path) -> Path:
    whole = dictionaries(folder) / "0.parquet"
    return write_files(folder, {"1.parquet": whole.read_bytes()[:3000], "2.parquet": b""})


def long_metadata(folder: Path) -> Path:
    """PNGs that every viewer opens: a profile and a text of more than a megabyte."""
    import zlib

    body = zlib.compress(np.random.default_rng(0).integers(32, 96, 1_500_000, dtype=np.uint8).tobytes())
    plain = picture(1)
    head = 8 + 25  # signature and IHDR
    chunks = {"icc": png_chunk(b"iCCP", b"wide\0\0" + body), "ztxt": png_chunk(b"zTXt", b"prompt\0\0" + body)}
    files = {f"{name}.png": plain[:head] + chunk + plain[head:] for name, chunk in chunks.items()}
    return write_files(folder, {"plain.png": picture(2), **files})


def points_that_coincide(folder: Path) -> Path:
    """65 files of four pictures."""
    blocks = [np.random.default_rng(i).integers(0, 256, (6, 6, 3), dtype=np.uint8) for i in range(2)]
    arrays = [np.kron(b, np.ones((12, 12, 1), np.uint8)) for b in blocks]
    arrays += [np.full((72, 72, 3), level, np.uint8) for level in (0, 255)]
    for which, count in enumerate((60, 3, 1, 1)):
        for i in range(count):
            info = PngImagePlugin.PngInfo()
            info.add_text("n", str(i))
            write_files(folder, {f"{which}-{i:02d}.png": encode(Image.fromarray(arrays[which]), "png", pnginfo=info)})
    return folder


def _orientation(number: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = number
    return exif


def odd_encodings(folder: Path) -> Path:
    """One picture as a plain PNG (KEY-ref) and in an encoding that is read wrong easily (KEY-odd)."""
    turned = Image.Transpose.ROTATE_90
    xmp = b'<x:xmpmeta><rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/></x:xmpmeta>'
    best: dict[str, Any] = {"quality": 95, "subsampling": 0}
    cases: dict[str, Callable[[Image.Image, Image.Image], tuple[Image.Image, bytes]]] = {
        "cmyk": lambda im, _: (im.convert("CMYK").convert("RGB"), encode(im.convert("CMYK"), "jpeg", **best)),
        "grey16": lambda im, _: _grey(im, 257, "png"),
        "grey12": lambda im, _: _grey(im, 16, "tiff"),
        "real": lambda im, _: _grey(im, 1 / 255, "tiff", np.float32),
        "exif": lambda im, _: (im, encode(im.transpose(turned), "jpeg", exif=_orientation(6), **best)),
        "exifpng": lambda im, _: (im, encode(im.transpose(turned), "png", exif=_orientation(6))),
        "xmp": lambda im, _: (im, encode(im.transpose(turned), "jpeg", xmp=xmp, **best)),
        "gif": lambda im, other: (
            im.quantize(64).convert("RGB"),
            encode(im.quantize(64), "gif", save_all=True, append_images=[other.quantize(64)]),
        ),
        "webp": lambda im, other: (im, encode(im, "webp", save_all=True, append_images=[other], lossless=True)),
        "pages": lambda im, other: (im, encode(im, "tiff", save_all=True, append_images=[other])),
        "onebit": lambda im, _: (im.convert("1").convert("RGB"), encode(im.convert("1"), "tiff", compression="group4")),
        "jp2": lambda im, _: (im, encode(im, "jp2")),
        "avif": lambda im, _: (im, encode(im, "avif", quality=95)),
        "heic": lambda im, _: (im, encode(im, "heic", quality=95)),
        "jxl": lambda im, _: (im, encode(im, "jxl", lossless=True)),
    }
    for i, (key, make) in enumerate(cases.items()):
        shown, odd = make(pixels(i, (160, 112)), pixels(100 + i, (160, 112)))
        write_files(folder, {f"{key}-ref.png": encode(shown, "png"), f"{key}-odd.jpg": odd})
    return folder


def _grey(im: Image.Image, scale: float, kind: str, dtype: Any = np.uint16) -> tuple[Image.Image, bytes]:
    levels = np.asarray(im.convert("L"))
    return Image.fromarray(levels).convert("RGB"), encode(
        Image.fromarray((levels * np.float64(scale)).astype(dtype)), kind
    )
