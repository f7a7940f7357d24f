"""The code of a model card, for the teachers of its student; each piece goes on where the first one ended."""

from dataclasses import dataclass

from siglino_core.encoders.spec import Spec
from siglino_core.models.config import SigLinoConfig
from siglino_core.models.encoder import STUDENT
from siglino_core.weights.origin import hub_source

FEATURES = """\
import torch
from PIL import Image
from transformers import AutoImageProcessor, AutoModel

folder = {folder!r}  # where this folder lies, or its id on the Hub
processor = AutoImageProcessor.from_pretrained(folder, trust_remote_code=True)
model = AutoModel.from_pretrained(folder, trust_remote_code=True)

image = Image.open("image.jpg")
with torch.inference_mode():
    out = model(**processor(images=image))
out.summary_features[{name!r}]  # [images, width]
out.patch_features[{name!r}]  # [images, patches, width], row by row
out.spatial_shapes  # each image's (height, width) in patches
out.last_hidden_state, out.pooler_output  # the student's own: all its tokens, and CLS"""
LAYERS = """\
maps = model.intermediates(**processor(images=image), layers={layers})  # of each [images, width, rows, columns]"""
SIGLIP2 = """\
from torch.nn.functional import normalize
from transformers import AutoModel, AutoTokenizer

teacher = {source!r}{note}
siglip2, tokenizer = AutoModel.from_pretrained(teacher), AutoTokenizer.from_pretrained(teacher)
texts = ["a photo of a dog", "a photo of a cat"]
tokens = tokenizer(
    [text.lower() for text in texts],
    padding="max_length",
    padding_side="right",
    max_length=64,
    truncation=True,
    return_tensors="pt",
)
with torch.inference_mode():
    of_texts = siglip2.text_model(input_ids=tokens["input_ids"]).pooler_output
    of_image = model(**processor(images=image), heads=[{name!r}]).summary_features[{name!r}]
    cosines = normalize(of_image, dim=-1) @ normalize(of_texts, dim=-1).mT
    probabilities = torch.sigmoid(cosines * siglip2.logit_scale.exp() + siglip2.logit_bias)  # [images, texts]"""
OTHER_TEXT = """\
from torch.nn.functional import normalize

from siglino_core.teachers import text_tower

tower = text_tower({source!r}){note}
with torch.inference_mode():
    of_image = model(**processor(images=image), heads=[{name!r}]).summary_features[{name!r}]
    cosines = normalize(of_image, dim=-1) @ tower.features(["a photo of a dog", "a photo of a cat"]).mT"""
NEIGHBOURS = """\
known, labels = [image, image.rotate(90), image.rotate(180)], torch.tensor([0, 1, 1])  # yours
asked = [image.rotate(10)]
with torch.inference_mode():
    bank, queries = (
        model(**processor(images=images), heads=[{name!r}], normalize=True).summary_features[{name!r}]
        for images in (known, asked)
    )
cosines, nearest = (queries @ bank.mT).topk(2)  # 20 of many
votes = torch.zeros(len(asked), 2).scatter_add(1, labels[nearest], (cosines / 0.07).exp())
predicted = votes.argmax(1)"""
SEGMENTATION = """\
from torch.nn.functional import cross_entropy, interpolate

classes, pixels = 2, torch.zeros(1, image.height, image.width, dtype=torch.long)  # yours: each pixel's class
head = torch.nn.Linear({width}, classes)
optimizer = torch.optim.AdamW(head.parameters(), lr=1e-3)
with torch.no_grad():
    out = model(**processor(images=image), heads=[{name!r}])
height, width = out.spatial_shapes[0].tolist()
features = out.patch_features[{name!r}][:, : height * width]
logits = head(features).mT.unflatten(2, (height, width))
logits = interpolate(logits, pixels.shape[1:], mode="bilinear")
loss = cross_entropy(logits, pixels, ignore_index=255)
loss.backward()
optimizer.step()"""
PLACEHOLDER = "TEACHER"  # where the card must not say, or does not know, where a teacher lies
OWN_TEXT = ("siglip2", "lite_text")  # teachers whose heads bear their kind's name


@dataclass(frozen=True)
class CardCode:
    """The pieces for a student.

    Attributes:
        specs: of its teachers, in its order; empty: they are not known.
    """

    student: SigLinoConfig
    specs: tuple[str, ...] = ()

    def features(self, folder: str) -> str:
        """Loading, and all that a call gives of an image."""
        return FEATURES.format(folder=folder, name=self._names()[0])

    def layers(self) -> str:
        """Patches after the middle and the last block."""
        last = self.student.layers - 1
        return LAYERS.format(layers=sorted({last // 2, last}))

    def texts(self) -> dict[str, str]:
        """By the name of a teacher that has a text side, its code."""
        return {name: code for name in self._names() if (code := self._text(name))}

    def neighbours(self) -> str:
        """Classes by the nearest summaries."""
        return NEIGHBOURS.format(name=self._dense())

    def segmentation(self) -> str:
        """A step of a linear head's training on patches."""
        widths = {STUDENT: self.student.width, **{t.name: t.dim for t in self.student.teachers}}
        return SEGMENTATION.format(name=self._dense(), width=widths[self._dense()])

    def _names(self) -> list[str]:
        return [t.name for t in self.student.teachers] or [STUDENT]

    def _dense(self) -> str:
        """DINOv3's features where it taught, else the student's own."""
        return "dinov3" if "dinov3" in self._names() else STUDENT

    def _text(self, name: str) -> str:
        kind, source = self._kind(name)
        unknown = "" if source else "  # the folder or hub id of the one that taught this model"
        if kind == "siglip2":
            return SIGLIP2.format(name=name, source=source or PLACEHOLDER, note=unknown)
        if kind == "open_clip":
            return OTHER_TEXT.format(name=name, source=f"{kind}:{source or PLACEHOLDER}", note=unknown)
        return OTHER_TEXT.format(name=name, source=kind, note="") if kind == "lite_text" else ""

    def _kind(self, name: str) -> tuple[str, str]:
        """A teacher's kind and hub id, as far as they are known."""
        by_name = dict(zip(self._names(), self.specs, strict=False)) if len(self.specs) == len(self._names()) else {}
        if name not in by_name:
            return name if name in OWN_TEXT else "", ""
        return Spec.parse(by_name[name], "targets.teachers").kind, hub_source(by_name[name])
