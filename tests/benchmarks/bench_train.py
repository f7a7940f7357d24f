"""Training on packs against the same training on batches padded to their longest image, and on better ones.

    python -m tests.benchmarks.bench_train [--images 16] [--rounds 5] [--steps 30] [--seed 0]

A step is 16 real images of the demo's pool, in arrival order, each scaled to a grid drawn from a mixture of web-like
sizes (256^2 to 768^2 pixels for most, smaller ones as they are: `packing/sizes.py` of the tests), with the
features of the demo's two teachers as targets. Both train a nano student with Muon and AdamW in one thread: forward,
backward, optimiser. Reading, decoding and the teachers lie outside the clock, which counts this process's CPU time.

- packed: best-fit packs of at most 4,096 tokens, one forward and backward each, gradients added up;
- padded: one dense batch [B, T]. SDPA with the padding's keys masked; every block computes on the padding, the patch
  embedding, the heads and the losses do not: the least that a padded trainer has to do;
- sorted: the images sorted by length and cut into the dense batches that take the least time, by dynamic programming on
  a cost fitted to dense batches that were timed before;
- one by one: an image a forward and backward pass.

First all compute the loss and gradients of the same images with the same weights, which have to agree. Then rounds,
each one training step of all on the same images. Then the packed and the padded one train from the same weights on the
same images, 8 a step and of half the side, and their losses are printed.
"""

import copy
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
import torch.nn.functional as F
from torch import Tensor

import flows.demo
from siglino_core.config import LossConfig, OptimConfig, Relation
from siglino_core.distillation.optim import build, clip_grad_norm
from siglino_core.distillation.packing.bestfit import best_fit
from siglino_core.distillation.targets.statistics import Statistics, TeacherMoments
from siglino_core.distillation.training.objective import Objective
from siglino_core.encoders.card import Card
from siglino_core.images.patches import to_floats, to_patches
from siglino_core.images.reasons import BadImage
from siglino_core.models import PRESETS, HeadConfig, SigLino
from siglino_core.models.attention import EXTRA, _sink_key, _with_one
from siglino_core.models.config import SigLinoConfig
from siglino_core.models.encoder import Attention
from siglino_core.models.layout import Layout
from siglino_core.models.moe import MixtureOfExperts
from siglino_core.models.rope import rotate, rotation
from siglino_core.models.size import forward_flops
from siglino_core.networks import load_teacher
from siglino_core.teachers.teacher import Targets
from tests.benchmarks.record import Record, parser
from tests.siglino_core.distillation.packing.sizes import mix, mixed

CAPACITY = 4096
PREFIX = 5  # tokens of an image beside its patches
TIMED = ((1, 261), (1, 1029), (1, 2309), (4, 261), (3, 1029), (8, 517))  # images and tokens of dense batches
Shape = tuple[int, int]


@dataclass(frozen=True, eq=False, kw_only=True)
class Image:
    """One image and what the teachers say of it."""

    shape: Shape
    patches_NV: Tensor
    targets: dict[str, Targets]


class Padded(SigLino):
    """The same student over a dense batch: its tokens are padded to the longest image's, and taken out at the end."""

    def encode(self, patches_NV: Tensor, layout: Layout, states: list[Tensor] | None = None) -> Tensor:
        """As `SigLino.encode`, but for the states between blocks, which nothing here reads."""
        assert states is None
        lengths = layout.segments.lengths
        images, longest = len(lengths), max(lengths)
        real_T = torch.cat([i * longest + torch.arange(n) for i, n in enumerate(lengths)])
        prefix_PD = torch.cat([self.cls_token[0], self.storage_tokens[0]])
        patches_ND = self.img_projector(patches_NV)
        x_XD = patches_ND.new_zeros(images * longest, patches_ND.shape[-1])
        x_XD = x_XD.index_copy(0, real_T[layout.patch_N], patches_ND)
        x_XD = x_XD.index_copy(0, real_T[layout.prefix_BP].flatten(), prefix_PD.repeat(images, 1))
        positions_X2 = torch.zeros(images * longest, 2)
        positions_X2[real_T] = layout.positions_T2
        turn = rotation(positions_X2, self.freqs_cis_golden)
        seen_BT = (torch.arange(longest) < torch.tensor(lengths)[:, None])[:, None, None]
        for block in self.layers:
            x_XD = x_XD + _attention(block.attention, block.attention_norm(x_XD), turn, seen_BT)
            h_XD = block.ffn_norm(x_XD)
            x_XD = x_XD + (block.feed_forward(h_XD) if block.moe is None else _mixture(block.moe, h_XD, real_T))
        return self.norm(x_XD)[real_T]


def _attention(layer: Attention, x_XD: Tensor, turn: tuple[Tensor, Tensor], seen_B11T: Tensor) -> Tensor:
    images, longest = seen_B11T.shape[0], seen_B11T.shape[-1]
    q, k, v = (w(x_XD).unflatten(-1, (layer.heads, -1)) for w in (layer.wq, layer.wk, layer.wv))
    q, k = (rotate(F.rms_norm(x, x.shape[-1:], eps=torch.finfo(torch.float32).eps), turn) for x in (q, k))
    q, k, v = (x.unflatten(0, (images, longest)).transpose(1, 2) for x in (q, k, v))
    scale = q.shape[-1] ** -0.5
    # The sink as one more key, in front of the others, as in siglino_core.models.attention.
    sink_B1 = _sink_key(layer.sinks, scale, q).transpose(0, 1).expand(images, -1, -1, -1)
    k = torch.cat([sink_B1, F.pad(k, (0, EXTRA))], dim=2)
    v = F.pad(v, (0, EXTRA, 1, 0))
    seen = F.pad(seen_B11T, (1, 0), value=True)
    out = F.scaled_dot_product_attention(_with_one(q), k, v, attn_mask=seen, scale=scale)[..., : q.shape[-1]]
    return layer.wo(out.transpose(1, 2).flatten(0, 1).flatten(1))


def _mixture(layer: MixtureOfExperts, x_XD: Tensor, real_T: Tensor) -> Tensor:
    """As `MixtureOfExperts.forward`, where padding lies between images and not behind them all."""
    scores_XE = layer.router(x_XD)
    chosen_Xk = (scores_XE + layer.expert_bias).topk(layer.top_k, dim=-1).indices
    layer.load += torch.bincount(chosen_Xk[real_T].flatten(), minlength=len(layer.load))
    return layer.experts(x_XD, scores_XE.gather(1, chosen_Xk), chosen_Xk)


class Trainer:
    """A student and its optimisers; ``parted`` says which images of a step share a forward pass."""

    def __init__(self, model: SigLino, objective: Objective, optim: OptimConfig, parted: "Parted") -> None:
        self.model, self.objective, self.clip, self.parted = model.train(), objective, optim.clip, parted
        self.optimizers = build(model, optim)

    def gradients(self, images: Sequence[Image]) -> float:
        """The loss of a step's images, whose gradients are then in the parameters."""
        total = 0.0
        for some in self.parted(images):
            shapes = [image.shape for image in some]
            features = self.model(torch.cat([image.patches_NV for image in some]), self.model.layout(shapes))
            counts = [h * w for h, w in shapes]
            loss = self.objective(features, _joined([image.targets for image in some]), counts, images=len(images))
            loss.total.backward()
            total += float(loss.total.detach())
        return total

    def step(self, images: Sequence[Image]) -> float:
        """Train on them; the loss before."""
        for optimizer in self.optimizers:
            optimizer.zero_grad()
        loss = self.gradients(images)
        clip_grad_norm(self.model.parameters(), self.clip)
        for optimizer in self.optimizers:
            optimizer.step()
        return loss


Parted = Callable[[Sequence[Image]], list[Sequence[Image]]]


def tokens_of(image: Image) -> int:
    return PREFIX + len(image.patches_NV)


def packed(images: Sequence[Image]) -> list[Sequence[Image]]:
    """Best-fit packs."""
    tokens_N = np.array([tokens_of(image) for image in images])
    order_N, start_P = best_fit(tokens_N, capacity=CAPACITY, max_images=len(images))
    return [[images[i] for i in pack] for pack in np.split(order_N, start_P[1:])]


@dataclass(frozen=True)
class Cut:
    """Images sorted by length, cut where the dense batches take the least time in all.

    Attributes:
        weights_3: seconds of a batch, of a token, and of a token times the batch's length.
    """

    weights_3: np.ndarray

    @classmethod
    def fitted(cls, trainer: Trainer, images: Sequence[Image], timed: Sequence[Shape]) -> "Cut":
        """To dense batches of the trainer, each made of one image again and again."""
        features, seconds = [], []
        longest = max(images, key=tokens_of)
        for count, tokens in timed:
            side = int((min(tokens, tokens_of(longest)) - PREFIX) ** 0.5)
            one = replace_shape(longest, (side, side))
            features.append(batch_features(count, PREFIX + side * side))
            began = time.process_time()
            trainer.step([one] * count)
            seconds.append(time.process_time() - began)
        features_X3, seconds_X = np.array(features), np.array(seconds)
        weights, *_ = np.linalg.lstsq(features_X3 / seconds_X[:, None], np.ones(len(seconds)), rcond=None)
        return cls(np.maximum(weights, 0))

    def __call__(self, images: Sequence[Image]) -> list[Sequence[Image]]:
        ordered = sorted(images, key=tokens_of)
        best = [0.0]  # of the first images, and below where the last batch of these begins
        start = [0]
        for end in range(1, len(ordered) + 1):
            longest = tokens_of(ordered[end - 1])
            costs = [best[i] + float(batch_features(end - i, longest) @ self.weights_3) for i in range(end)]
            start.append(int(np.argmin(costs)))
            best.append(min(costs))
        batches, end = [], len(ordered)
        while end:
            batches.append(ordered[start[end] : end])
            end = start[end]
        return batches


def batch_features(count: int, tokens: int) -> np.ndarray:
    """What the cost of a dense batch is linear in."""
    return np.array([1.0, count * tokens, count * tokens**2])


def replace_shape(image: Image, shape: Shape) -> Image:
    """The image's first patches, as if it were as small as that; it must be as large."""
    n = shape[0] * shape[1]
    cut = {
        name: Targets(t.summaries, None if t.patches is None else t.patches[:n]) for name, t in image.targets.items()
    }
    return Image(shape=shape, patches_NV=image.patches_NV[:n], targets=cut)


def _joined(parts: Sequence[dict[str, Targets]]) -> dict[str, Targets]:
    found = {}
    for name, one in parts[0].items():
        patches = None if one.patches is None else torch.cat([p[name].patches for p in parts])  # type: ignore[misc]
        found[name] = Targets(torch.cat([p[name].summaries for p in parts]), patches)
    return found


def pictures(seed: int) -> Iterator[bytes]:
    """The pool's labelled images, without planted copies, in a drawn order, again and again."""
    rows = pq.read_table(Path(flows.demo.__file__).with_name("pool.parquet")).to_pylist()
    rows = [row["image"] for row in rows if row["label"] and "~" not in row["key"]]
    while True:
        for i in np.random.default_rng(seed).permutation(len(rows)):
            yield rows[i]


def read(count: int, smaller: int, seed: int) -> tuple[list[Image], Objective, tuple[Card, ...]]:
    """Images in arrival order with their teachers' features, and the loss with the features' statistics.

    Args:
        smaller: what the grids' sides are divided by.
    """
    teachers = [load_teacher(name) for name in ("lite", "lite_text")]
    moments = {t.card.name: TeacherMoments(t.card) for t in teachers}
    grids_N2 = np.maximum(2, mix(mixed(4 * max(256, count), seed), 0)[2].astype(int) // smaller)
    source, images = pictures(seed), []
    while len(images) < count:
        height, width = grids_N2[len(images)].tolist()
        try:
            patches_NV = to_floats(to_patches(next(source), (height, width)))
        except BadImage:
            continue
        told = {t.card.name: t(patches_NV, [(height, width)]) for t in teachers}
        images.append(Image(shape=(height, width), patches_NV=patches_NV, targets=told))
        for name, target in told.items():
            moments[name].update(target)
    fitted: dict[str, Statistics] = {name: m.fit() for name, m in moments.items()}
    # Relations are between the images of one forward pass, of which packs make several: left out on both sides.
    objective = Objective(config=LossConfig(relation=Relation.NONE), statistics=fitted)
    return images, objective, tuple(t.card for t in teachers)


Trainers = dict[str, Trainer]


def trainers(shape: SigLinoConfig, objective: Objective, optim: OptimConfig, seed: int, cut: Parted) -> Trainers:
    """Packed first, then its peers, of equal weights."""
    torch.manual_seed(seed)
    first = SigLino(shape)
    ways: dict[str, tuple[type[SigLino], Parted]] = {
        "packed": (SigLino, packed),
        "padded": (Padded, lambda images: [images]),
        "sorted": (Padded, cut),
        "one by one": (SigLino, lambda images: [[image] for image in images]),
    }
    made: Trainers = {}
    for name, (kind, parted) in ways.items():
        model = kind(shape)
        model.load_state_dict(first.state_dict())
        made[name] = Trainer(model, objective, optim, parted)
    return made


def check(made: Trainers, images: Sequence[Image]) -> None:
    """Equal losses and gradients of the same images. A new student's blocks do nothing, so theirs are drawn."""
    ours, *theirs = (copy.deepcopy(t) for t in made.values())
    torch.manual_seed(1)
    for p in ours.model.parameters():
        if p.ndim > 1:
            torch.nn.init.normal_(p, std=0.04)
    loss, gradient = ours.gradients(images), _gradient(ours)
    for name, other in zip(list(made)[1:], theirs, strict=True):
        other.model.load_state_dict(ours.model.state_dict())
        another = other.gradients(images)
        apart = float((_gradient(other) - gradient).norm() / gradient.norm())
        print(f"same images and weights: loss {loss:.6f} packed, {another:.6f} {name}; gradients {apart:.1e} apart")
        assert abs(loss - another) <= 1e-4 * abs(loss)
        assert apart <= 1e-3


def _gradient(trainer: Trainer) -> Tensor:
    return torch.cat([p.grad.flatten() for p in trainer.model.parameters() if p.grad is not None])


def rounds(record: Record, made: Trainers, images: Sequence[Image], size: int, count: int) -> None:
    """Training steps of all on the same images, in turns; a small one of each goes ahead, and is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in made}
    for trainer in made.values():
        trainer.step(images[:2])
    steps = [images[i * size : (i + 1) * size] for i in range(count)]
    for number, step in enumerate(steps):
        lengths = [tokens_of(image) for image in step]
        names = list(made)
        for name in names[number % len(names) :] + names[: number % len(names)]:
            began = time.process_time()
            made[name].step(step)
            seconds[name].append(time.process_time() - began)
        passes = ", ".join(f"{len(t.parted(step))} {name}" for name, t in made.items())
        print(
            f"  round {number + 1}: {sum(lengths):,} tokens, padding {1 - sum(lengths) / size / max(lengths):.1%}; "
            f"passes: {passes}; " + ", ".join(f"{s[-1]:.2f} s {name}" for name, s in seconds.items()),
            flush=True,
        )
    shape = made["packed"].model.spec
    for name, spec in (("this student", shape), ("siglino-moe-0.3b", PRESETS["siglino-moe-0.3b"])):
        print(f"padded over packed by the count of operations alone, {name}: {_operations(spec, steps):.2f}")
    ours, peers = seconds["packed"], {name: s for name, s in seconds.items() if name != "packed"}
    for name, theirs in peers.items():
        record.ratio("CPU time of a step, packed", name, [a / b for a, b in zip(ours, theirs, strict=True)], "lower")
    best = [a / min(others) for a, *others in zip(ours, *peers.values(), strict=True)]
    record.ratio("CPU time of a step, packed", "the best of the three in each round", best, "lower")


def _operations(shape: SigLinoConfig, steps: Sequence[Sequence[Image]]) -> float:
    """FLOPs of the padded batches over those of the packs, heads on the padding apart, which are computed on none."""
    heads = replace(shape, teachers=())
    ours = theirs = 0.0
    for step in steps:
        tokens = [tokens_of(image) for image in step]
        outside = sum(forward_flops(shape, n) - forward_flops(heads, n) for n in tokens)
        ours += outside + sum(forward_flops(heads, n) for n in tokens)
        theirs += outside + len(tokens) * forward_flops(heads, max(tokens))
    return theirs / ours


def learn(made: Trainers, images: Sequence[Image], size: int, steps: int) -> None:
    """Losses after equal images, packed and padded; each step's are the same for both."""
    pair = (made["packed"], made["padded"])
    curves: tuple[list[float], list[float]] = ([], [])
    for i in range(steps):
        for trainer, curve in zip(pair, curves, strict=True):
            curve.append(trainer.step(images[i * size : (i + 1) * size]))
    some = max(1, steps // 10)
    first, last = ([statistics.fmean(part(c)) for c in curves] for part in (lambda c: c[:some], lambda c: c[-some:]))
    print(
        f"after {steps} steps of {size} images, half the side: loss {last[0]:.4f} packed, {last[1]:.4f} padded "
        f"(at first {first[0]:.4f} and {first[1]:.4f}), ratio {last[0] / last[1]:.4f}"
    )


def main(words: Sequence[str] | None = None) -> None:
    a = parser(__doc__, images=16, rounds=5, steps=30, seed=0).parse_args(words)
    smaller, timed = 1, TIMED
    if a.tiny:
        a.images, a.rounds, a.steps, smaller, timed = 4, 1, 2, 4, ((1, 30), (1, 54), (3, 41))
    torch.set_num_threads(1)
    record, optim = Record.of(__file__, a), OptimConfig(lr=0.02, steps=200, warmup_steps=10)
    images, objective, cards = read(a.images * a.rounds, smaller, a.seed)
    shape = replace(PRESETS["siglino-nano"], teachers=tuple(HeadConfig(name=c.name, dim=c.dim) for c in cards))
    print(f"torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}, one thread, siglino-nano")
    dense = Trainer(Padded(shape), objective, optim, lambda images: [images])
    dense.step(images[:2])
    cut = Cut.fitted(dense, images, timed)
    made = trainers(shape, objective, optim, a.seed, cut)
    check(made, images[:4])
    rounds(record, made, images, a.images, a.rounds)
    if a.steps:
        images, objective, _ = read(a.images // 2 * a.steps, 2 * smaller, a.seed)
        learn(trainers(shape, objective, optim, a.seed, cut), images, a.images // 2, a.steps)


if __name__ == "__main__":
    main()
