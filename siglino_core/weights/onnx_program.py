"""The encoder as an ONNX program, held against the student before it is believed."""

from pathlib import Path

import torch

from siglino_core.errors import ConfigError, DataError
from siglino_core.models.encoder import SigLino
from siglino_core.weights.program import LARGEST, ImageEncoder, example

ALLOWED = 1e-4  # between ONNX Runtime's features and the student's
MOST_INSIDE = 1 << 30  # bytes of weights within the file, which may have 2 GB; more lie beside it


def require_packages() -> None:
    """Refuse to begin without what ONNX programs are made by.

    Raises:
        ConfigError: the packages for it are not installed.
    """
    try:
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as e:
        raise ConfigError(f"--program onnx needs {e.name}, which is not installed. pip install 'siglino[onnx]'") from e


def save_onnx(model: SigLino, path: Path) -> None:
    """Write the encoder for ONNX runtimes, for any number of images and any grid up to 64 patches a side, and check it.

    The input is ``images``, the outputs are those of :class:`ImageEncoder`. In fp32.

    Raises:
        ConfigError: the packages for it are not installed.
        DataError: ONNX Runtime's features differ from the student's.
    """
    require_packages()
    import onnxruntime

    encoder = ImageEncoder(model.float()).eval()
    images, shape = example(model, None, LARGEST)
    with torch.no_grad():
        wanted = encoder(images)
        program = torch.onnx.export(
            encoder, (images,), dynamic_shapes=(shape,), dynamo=True, verbose=False,
            input_names=["images"], output_names=list(wanted),
        )  # fmt: skip
    assert program is not None
    outside = sum(p.nbytes for p in model.parameters()) > MOST_INSIDE
    program.save(str(path), external_data=outside)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    patch = model.spec.patch_size
    for height, width in ((4, 6), (7, 3)):
        given = torch.rand(3, model.spec.channels, height * patch, width * patch) * 2 - 1
        with torch.no_grad():
            wanted = encoder(given)
        found = session.run(list(wanted), {"images": given.numpy()})
        for (name, theirs), ours in zip(wanted.items(), found, strict=True):
            error = float((theirs - torch.from_numpy(ours)).abs().max() / theirs.abs().max().clamp(min=1))
            if not error <= ALLOWED:
                raise DataError(f"{path.name}: ONNX Runtime's {name} differs from the student's by {error:.2g}")
