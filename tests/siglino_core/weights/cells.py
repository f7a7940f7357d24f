"""The matrix of where an exported student is loaded, and how: what `docs/student.md` shows, and a test runs.

A cell loads the folder in its way, gives the student images, and says how far its features lie from the fp32 ones, as a
share of their length; or what else is to be zero.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from transformers import AutoBackbone, AutoModel

from siglino_core.models import PRESETS, HeadConfig, SigLinoConfig
from siglino_core.models.hf import SigLinoBackbone, SigLinoHFConfig, SigLinoModel
from siglino_core.models.processor import SigLinoImageProcessor
from siglino_core.weights.export import export
from tests.siglino_core.models.tiny import filled

HEADS = (HeadConfig(name="siglip2", dim=64, pooled=True), HeadConfig(name="dinov3", dim=128))
NANO = replace(PRESETS["siglino-nano"], teachers=HEADS)
STUDENTS: dict[str, SigLinoConfig] = {
    "mixture": NANO,
    "dense": replace(NANO, experts=0, top_k=0, expert_hidden=0, hidden=384),
    "micro": replace(PRESETS["siglino-micro"], teachers=HEADS),
}


@dataclass(frozen=True, eq=False)
class Exported:
    """A folder, and what its features are to be."""

    folder: str
    model: SigLinoModel
    images: Tensor
    picture: Image.Image

    @classmethod
    def of(cls, name: str, into: Path) -> "Exported":
        model = filled(SigLinoModel(SigLinoHFConfig.of(STUDENTS[name]))).eval()
        assert isinstance(model, SigLinoModel)
        with torch.no_grad():  # a residual stream as steady as in training: at full size it is chaotic
            for key, p in model.named_parameters():
                p *= 0.2 if key.endswith(("wo.weight", "w2", "w2.weight")) else 1.0
        export(model, str(into / name), source="drawn")
        rng = np.random.default_rng(0)
        picture = Image.fromarray(rng.integers(0, 256, (100, 80, 3), np.uint8))
        picture.save(into / f"{name}.png")
        images = torch.from_numpy(rng.uniform(-1, 1, (2, 3, 64, 96))).float()
        return cls(str(into / name), model, images, picture)

    def error(self, out: Any, parts: Sequence[str] = ("summary_features", "patch_features")) -> float:
        """Of all features: the length of the difference, as a share of theirs."""
        with torch.no_grad():
            wanted = self.model(self.images)
        pairs = [(out[part][k], v) for part in parts for k, v in wanted[part].items()]
        return max(float((a.float() - b).norm() / b.norm()) for a, b in pairs)

    def load(self, **options: Any) -> Any:
        return AutoModel.from_pretrained(self.folder, **options)


def auto_model(of: Exported) -> float:
    return of.error(of.load()(of.images))


def backbone(of: Exported) -> float:
    """Of a local folder `AutoBackbone` loads nothing in some releases of transformers 5 (its own fault)."""
    try:
        loaded = AutoBackbone.from_pretrained(of.folder, out_indices=[1, -1])
    except Exception as e:
        if type(e).__name__ != "HFValidationError":
            raise
        loaded = SigLinoBackbone.from_pretrained(of.folder, out_indices=[1, -1])
    maps, wanted = loaded(of.images).feature_maps, of.model.intermediates(of.images, [0, -1])
    return max(float((a - b).abs().max()) for a, b in zip(maps, wanted, strict=True))


def feature_pipeline(of: Exported) -> float:
    from transformers import pipeline

    made = pipeline("image-feature-extraction", model=of.folder, image_processor=of.folder)
    wanted = of.model(**SigLinoImageProcessor.from_pretrained(of.folder)(of.picture))
    found = [made(x, pool=True) for x in (of.picture, f"{of.folder}.png")]
    tokens = torch.tensor(made(of.picture)) - wanted.last_hidden_state
    return max(float((torch.tensor(x) - wanted.pooler_output).abs().max()) for x in found) + float(tokens.abs().max())


def processor_inputs(of: Exported) -> float:
    processor = SigLinoImageProcessor.from_pretrained(of.folder)
    array = np.asarray(of.picture)
    wanted = of.model(**processor(of.picture)).pooler_output
    forms = (
        f"{of.folder}.png",
        array,
        torch.from_numpy(array.copy()).permute(2, 0, 1),
        array / 255.0,
        [of.picture] * 2,
    )
    return max(float((of.model(**processor(x)).pooler_output - wanted).abs().max()) for x in forms)


def half(dtype: torch.dtype) -> Callable[[Exported], float]:
    """Of patches: rounding sends one token in twenty of the micro to another expert, and a summary may be one token."""
    return lambda of: of.error(of.load(dtype=dtype)(of.images), ["patch_features"])


def device_map(of: Exported) -> float:
    return of.error(of.load(device_map={"": "cpu"})(of.images))


def offloaded(of: Exported) -> float:
    from accelerate import disk_offload

    model = of.load()
    disk_offload(model, f"{of.folder}-offloaded", execution_device=torch.device("cpu"))
    return of.error(model(of.images))


def bits(number: int) -> Callable[[Exported], float]:
    def cell(of: Exported) -> float:
        from transformers import BitsAndBytesConfig

        how = BitsAndBytesConfig(load_in_8bit=number == 8, load_in_4bit=number == 4)
        model = of.load(quantization_config=how)
        assert model.layers[0].attention.wq.weight.dtype in (torch.int8, torch.uint8)
        gates = [m.router.gate.weight.dtype for m in model.modules() if hasattr(m, "router")]
        assert set(gates) <= {torch.float32}
        return of.error(model(of.images))

    return cell


def torchao_int8(of: Exported) -> float:
    from torchao.quantization import Int8WeightOnlyConfig, quantize_

    model = of.load()
    quantize_(model, Int8WeightOnlyConfig())
    return of.error(model(of.images))


def lora(of: Exported) -> float:
    """Adapters that change the features, and learn; merged, the same features. What is to be zero is that last."""
    from peft import LoraConfig, get_peft_model

    found = []
    experts = STUDENTS[Path(of.folder).name].experts
    for options in (
        {"target_modules": ["wq", "wv"]},
        *([{"target_modules": [], "target_parameters": ["experts.w1", "experts.w2"]}] if experts else []),
    ):
        tuned = get_peft_model(of.load(), LoraConfig(init_lora_weights=False, **options))  # type: ignore[arg-type]
        out = tuned(pixel_values=of.images)
        assert of.error(out) > 1e-3
        out.pooler_output.sum().backward()
        assert any(p.grad is not None and p.grad.any() for n, p in tuned.named_parameters() if "lora" in n)
        merged = tuned.merge_and_unload()(of.images)
        found.append(float((merged.pooler_output - out.pooler_output).abs().max() / out.pooler_output.abs().max()))
    return max(found)


def trainer(of: Exported) -> float:
    """Three steps of transformers' Trainer with a head on top, frozen but for it: the student stays as it was."""
    from transformers import Trainer, TrainingArguments

    class Classifier(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.student = of.load().requires_grad_(False)
            self.head = torch.nn.Linear(self.student.config.hidden_size, 3)

        def forward(self, pixel_values: Tensor, labels: Tensor) -> dict[str, Tensor]:
            logits = self.head(self.student(pixel_values).pooler_output)
            return {"loss": torch.nn.functional.cross_entropy(logits, labels), "logits": logits}

    model = Classifier()
    before = model.head.weight.detach().clone()
    data = [{"pixel_values": of.images[i % 2], "labels": torch.tensor(i % 3)} for i in range(6)]
    options = TrainingArguments(
        output_dir=f"{of.folder}-trained", max_steps=3, per_device_train_batch_size=2, report_to=[], save_strategy="no",
        use_cpu=True, disable_tqdm=True,
    )  # fmt: skip
    Trainer(model=model, args=options, train_dataset=data).train()  # type: ignore[arg-type]
    assert not torch.equal(before, model.head.weight)
    return of.error(model.student.eval()(of.images))


def checkpointing(of: Exported) -> float:
    """Gradients with blocks computed again, against those without."""
    grads = []
    for again in (False, True):
        model = of.load().train()
        if again:
            model.gradient_checkpointing_enable()
        model(of.images).pooler_output.sum().backward()
        grads.append(model.layers[0].attention.wq.weight.grad)
    return float((grads[0] - grads[1]).abs().max() / grads[0].abs().max())


def compiled(of: Exported) -> float:
    """In one graph; the compiler's last step is left out, since no C++ compiler need be here."""
    torch.compiler.reset()
    return of.error(torch.compile(of.load(), fullgraph=True, backend="aot_eager")(of.images))


def exported_program(of: Exported) -> float:
    return of.error(torch.export.export(of.load(), (of.images,)).module()(of.images))


def onnx(of: Exported) -> float:
    """`save_onnx` holds ONNX Runtime's features against the student's itself, of other grids and numbers of images."""
    import onnxruntime

    from siglino_core.weights.onnx_program import save_onnx

    path = Path(f"{of.folder}.onnx")
    save_onnx(of.load(), path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [o.name for o in session.get_outputs()]
    found = dict(zip(names, session.run(names, {"images": of.images.numpy()}), strict=True))
    out: dict[str, dict[str, Tensor]] = {"summary_features": {}, "patch_features": {}, "register_features": {}}
    for name, x in found.items():
        part, _, space = name.partition(".")
        out[part][space] = torch.from_numpy(x)
    return of.error(out)


@dataclass(frozen=True)
class Cell:
    """A way to load, and what it may be off by."""

    run: Callable[[Exported], float]
    allowed: float
    needs: str = ""


CELLS: dict[str, Cell] = {
    "AutoModel": Cell(auto_model, 1e-6),
    "AutoBackbone": Cell(backbone, 1e-5),
    "pipeline": Cell(feature_pipeline, 1e-5),
    "processor inputs": Cell(processor_inputs, 1e-5),
    "bf16": Cell(half(torch.bfloat16), 0.05),
    "fp16": Cell(half(torch.float16), 0.02),
    "device_map": Cell(device_map, 1e-6, "accelerate"),
    "offload to disk": Cell(offloaded, 1e-6, "accelerate"),
    "bitsandbytes, 8 bits": Cell(bits(8), 0.15, "bitsandbytes"),
    "bitsandbytes, 4 bits": Cell(bits(4), 1.0, "bitsandbytes"),
    "torchao, int8 weights": Cell(torchao_int8, 0.15, "torchao"),
    "LoRA, attention and experts": Cell(lora, 1e-4, "peft"),
    "Trainer": Cell(trainer, 1e-6, "accelerate"),
    "gradient checkpointing": Cell(checkpointing, 1e-6),
    "torch.compile, one graph": Cell(compiled, 1e-5),
    "torch.export": Cell(exported_program, 1e-5),
    "ONNX": Cell(onnx, 1e-4, "onnxruntime"),
}
