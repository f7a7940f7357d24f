"""Training steps on a CUDA device: tokens a second, and where the time goes.

    python -m tests.benchmarks.bench_train_gpu [--model siglino-moe-0.3b] [--steps 10] [--not-compiled] [--tiny]
        [--only TEXT ...]   cases with one of these in their names

The student learns from teachers of the published sizes (SigLIP2 so400m NaFlex, DINOv3 ViT-L/16; transformers' own
classes, drawn weights) that run beside it, or from synthetic int8 targets of both. bf16; packs of 4,096 tokens by the
plan, all packs of a step in one forward pass; images of 256^2 pixels at most, and the mixture of 256^2 to 768^2; blocks
computed again in the backward pass or not, compiled or not. Every step has other packs, as in training: a compiler that
starts anew for each of them shows. Reading and decoding of images lie outside. The mark is 20,000 tokens/s, published
for one A100 with the teachers beside the student.

--tiny checks the logic with small networks, on a CPU too; its times say nothing.
"""

import itertools
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor
from transformers import DINOv3ViTConfig, DINOv3ViTModel, Siglip2VisionConfig, Siglip2VisionModel

from siglino_core.config import LossConfig, OptimConfig, PackConfig, Stored
from siglino_core.distillation.optim import build, clip_grad_norm
from siglino_core.distillation.packing import Cost, Mixture, Plan
from siglino_core.distillation.targets.codec import Codec, Quantised
from siglino_core.distillation.targets.phi_s import PhiS
from siglino_core.distillation.targets.statistics import Statistics
from siglino_core.distillation.targets.stored import Fetched
from siglino_core.distillation.training.objective import Objective
from siglino_core.distillation.training.parallel import one_rank, parallelize
from siglino_core.distillation.training.student import new_student
from siglino_core.images.patches import to_floats
from siglino_core.models import PRESETS, HeadConfig, SigLino
from siglino_core.models.routing import rebalance
from siglino_core.models.size import forward_flops
from siglino_core.teachers.dinov3 import PackedDinoV3
from siglino_core.teachers.siglip2 import PackedSigLip2
from siglino_core.teachers.teacher import Targets, Teacher
from tests.benchmarks.record import Record, parser
from tests.siglino_core.distillation.packing.sizes import SMALL, mixed, web

PUBLISHED = 20_000  # tokens a second on an A100
PEAK = {"A100": 312e12, "H100": 989e12, "H200": 989e12, "A10G": 70e12, "L4": 121e12}  # dense bf16, from data sheets
WARM_UP = 3
SIGLIP2 = {"hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27, "num_attention_heads": 16}
DINOV3 = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16}
SMALL_SIGLIP2 = {**SIGLIP2, "hidden_size": 64, "num_hidden_layers": 1}  # a pooling head has 16 heads and 4,304 inside
SMALL_DINOV3 = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}


@dataclass(frozen=True, eq=False, kw_only=True)
class Given:
    """What a loader hands over for a step, in memory that a GPU can fetch from."""

    shapes: list[tuple[int, int]]
    patches_NV: Tensor
    stored: dict[str, Fetched]
    tokens: int


@dataclass
class Clock:
    """Marks between the parts of a step: events on a CUDA device, the time elsewhere."""

    cuda: bool
    marks: list[tuple[str, object]] = field(default_factory=list)

    def __call__(self, name: str) -> None:
        if not self.cuda:
            self.marks.append((name, time.perf_counter()))
            return
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        self.marks.append((name, event))

    def seconds(self) -> dict[str, float]:
        """Of each part, by the name of the mark at its end."""
        if self.cuda:
            torch.cuda.synchronize()
        found: dict[str, float] = {}
        for (_, a), (name, b) in itertools.pairwise(self.marks):
            took = a.elapsed_time(b) / 1e3 if self.cuda else b - a  # type: ignore[attr-defined, operator]
            found[name] = found.get(name, 0.0) + took
        return found


class Bench:
    """The networks and the steps' data, made once."""

    def __init__(self, record: Record, model: str, packs: int, steps: int, device: str, *, tiny: bool) -> None:
        self.record = record
        self.device, self.dtype = device, torch.bfloat16
        siglip2, dinov3 = (SMALL_SIGLIP2, SMALL_DINOV3) if tiny else (SIGLIP2, DINOV3)
        torch.manual_seed(0)
        with torch.device(device):
            text = Siglip2VisionModel(Siglip2VisionConfig(**siglip2, num_patches=256, patch_size=16))
            dense = DINOv3ViTModel(DINOv3ViTConfig(**dinov3, num_register_tokens=4, patch_size=16))
        self.teachers: list[Teacher] = [
            PackedSigLip2(text.to(self.dtype), "drawn"),
            PackedDinoV3(dense.to(self.dtype), "drawn"),
        ]
        cards = [t.card for t in self.teachers]
        shape = PRESETS["siglino-nano" if tiny else model]
        self.shape = replace(shape, teachers=tuple(HeadConfig(name=c.name, dim=c.dim, pooled=c.pooled) for c in cards))
        self.heads = {"siglip2": {k: v.float().cpu() for k, v in self.teachers[0].head.state_dict().items()}}
        phis = {c.name: PhiS.fit([torch.randn(2 * c.dim, c.dim)]) for c in cards}
        self.statistics = {name: Statistics(summary=p, patch=p) for name, p in phis.items()}
        self.codecs = {name: Codec(Stored.INT8, len(p.mean), p) for name, p in phis.items()}
        self.packing = PackConfig(packs_per_step=packs, capacity=512 if tiny else 4096)
        self.warm_up = 1 if tiny else WARM_UP
        self.steps, self.tiny = self.warm_up + steps, tiny
        self._kept: tuple[str, list[Given]] = ("", [])

    def given(self, kind: str, mixture: Mixture) -> list[Given]:
        """Every step's images, by the plan; the last kind's are kept."""
        if self._kept[0] != kind:
            plan = Plan(mixture, self.packing, Cost.of(self.shape))
            self._kept = kind, [self._given(plan, step) for step in range(self.steps)]
        return self._kept[1]

    def _given(self, plan: Plan, step: int) -> Given:
        packs = plan.packs_for(step)
        shapes = [(int(h), int(w)) for pack in packs for h, w in pack.grids_N2]
        patches, images = sum(h * w for h, w in shapes), len(shapes)
        stored = {}
        for card in (t.card for t in self.teachers):
            values = torch.randint(-127, 128, (patches, card.dim), dtype=torch.int8)
            registers = torch.randn(images, card.registers, card.dim).half() if card.registers else None
            stored[card.name] = Fetched(
                self._pinned(torch.randn(images, card.dim).half()),
                Quantised(self._pinned(values), self._pinned(torch.rand(patches).half() / 50)),
                None if registers is None else self._pinned(registers),
            )
        pixels = torch.randint(0, 256, (patches, self.shape.patch_values), dtype=torch.uint8)
        return Given(
            shapes=shapes, patches_NV=self._pinned(pixels), stored=stored, tokens=sum(pack.tokens for pack in packs)
        )

    def _pinned(self, x: Tensor) -> Tensor:
        return x.pin_memory() if self.device == "cuda" else x

    def decoded(self, stored: dict[str, Fetched]) -> dict[str, Targets]:
        """As `StoredTargets.decode`."""
        found = {}
        for name, of in stored.items():
            assert of.patches is not None
            patches = self.codecs[name].on(self.device).dequantise(of.patches)
            registers = None if of.registers_BRC is None else of.registers_BRC.to(self.device).float()
            found[name] = Targets(of.summaries_BC.to(self.device).float(), patches, registers)
        return found

    def run(
        self, kind: str, steps: Sequence[Given], *, online: bool, activation_checkpointing: bool, compiled: bool
    ) -> None:
        """Train, and print a line."""
        cuda = self.device == "cuda"
        torch._dynamo.reset()
        torch._dynamo.utils.counters.clear()
        if cuda:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        model: SigLino = parallelize(
            new_student(self.shape, seed=0, heads=self.heads).train(),
            device=self.device,
            dtype=self.dtype,
            activation_checkpointing=activation_checkpointing,
            compiled=compiled,
        )
        optim = OptimConfig(lr=1e-4)
        optimizers = build(model, optim)
        objective = Objective(config=LossConfig(), statistics=self.statistics)
        total = self.packing.capacity * self.packing.packs_per_step if cuda else None
        taken: list[tuple[int, dict[str, float]]] = []
        for step in steps:
            for optimizer in optimizers:
                optimizer.zero_grad()
            clock = Clock(cuda)
            clock("begin")
            patches_NV = to_floats(step.patches_NV.to(self.device, non_blocking=True))
            if online:
                targets = {t.card.name: t(patches_NV, step.shapes) for t in self.teachers}
            else:
                targets = self.decoded(step.stored)
            clock("teachers" if online else "decoding")
            features = model(patches_NV, model.layout(step.shapes, total))
            clock("student")
            counts = [h * w for h, w in step.shapes]
            loss = objective(features, targets, counts, images=len(counts))
            clock("losses")
            loss.total.backward()
            clock("backward")
            clip_grad_norm(model.parameters(), optim.clip)
            for optimizer in optimizers:
                optimizer.step()
            rebalance(model)
            clock("optimiser")
            taken.append((step.tokens, clock.seconds()))
        self._say(f"{kind}, {_words(online, activation_checkpointing, compiled)}", steps, taken[self.warm_up :], online)

    def _say(
        self, name: str, steps: Sequence[Given], taken: Sequence[tuple[int, dict[str, float]]], online: bool
    ) -> None:
        rates = sorted(tokens / sum(seconds.values()) for tokens, seconds in taken)
        whole = sum(sum(seconds.values()) for _, seconds in taken)
        shares = {part: sum(seconds[part] for _, seconds in taken) / whole for part in taken[0][1]}
        graphs = torch._dynamo.utils.counters["stats"]["unique_graphs"]
        memory, share = "", ""
        if self.device == "cuda":
            memory = f", {torch.cuda.max_memory_allocated() / 2**30:.1f} GB"
            device = torch.cuda.get_device_name()
            if peak := next((flops for known, flops in PEAK.items() if known in device), None):
                share = f", {sum(self._flops(s, online) for s in steps[self.warm_up :]) / whole / peak:.1%} of peak"
        median = statistics.median(rates)
        self.record.ratio(
            f"tokens a second, {name}", "20,000 published for an A100", [r / PUBLISHED for r in rates], "higher"
        )
        print(
            f"{name}: {median:,.0f} tokens/s ({rates[0]:,.0f} to {rates[-1]:,.0f}, {len(rates)} steps), "
            f"{median / PUBLISHED:.2f} of the published 20,000; "
            + ", ".join(f"{part} {x:.0%}" for part, x in shares.items())
            + f"{share}{memory}"
            + (f", {graphs} graphs compiled" if graphs else ""),
            flush=True,
        )

    def _flops(self, step: Given, online: bool) -> float:
        prefix = self.shape.prefix
        found = 3 * sum(forward_flops(self.shape, prefix + h * w) for h, w in step.shapes)
        if online:
            for card in (t.card for t in self.teachers):
                found += sum(card.image_flops(256 * h * w) for h, w in step.shapes)
        return found


def _words(online: bool, activation_checkpointing: bool, compiled: bool) -> str:
    words = ["teachers beside it" if online else "int8 targets"]
    words += ["recomputed"] * activation_checkpointing + ["compiled"] * compiled
    return ", ".join(words)


def main(words: Sequence[str] | None = None) -> None:
    given = parser(__doc__, packs=4, steps=10)
    given.add_argument("--model", default="siglino-moe-0.3b", choices=list(PRESETS))
    given.add_argument("--not-compiled", action="store_true")
    given.add_argument("--only", nargs="*", default=[""], help="cases whose names hold one of these")
    a = given.parse_args(words)
    cuda = torch.cuda.is_available()
    if not cuda and not a.tiny:
        print("skipped: no CUDA device (--tiny checks the logic on a CPU)")
        return
    if a.tiny:
        a.steps = 1
    if not cuda:
        torch.set_num_threads(1)
    device = "cuda" if cuda else "cpu"
    print(f"torch {torch.__version__}, {torch.cuda.get_device_name() if cuda else 'CPU, tiny: the times say nothing'}")
    with one_rank(device, 1):
        _all(
            Bench(Record.of(__file__, a), a.model, a.packs, a.steps, device, tiny=a.tiny),
            compiled=not (a.not_compiled or a.tiny),
            only=a.only,
        )


def _all(bench: Bench, *, compiled: bool, only: Sequence[str]) -> None:
    sizes = {"up to 256^2": web(1 << 14, SMALL), "mixed": mixed(1 << 14)}
    if bench.tiny:
        del sizes["mixed"]
    again_or_not = (False,) if bench.tiny else (False, True)
    ways = itertools.product((True, False), again_or_not, (False, True) if compiled else (False,))
    for (kind, mixture), (online, again, compiles) in itertools.product(sizes.items(), list(ways)):
        name = f"{kind}, {_words(online, again, compiles)}"
        if not any(text in name for text in only):
            continue
        try:
            bench.run(
                kind, bench.given(kind, mixture), online=online, activation_checkpointing=again, compiled=compiles
            )
        except RuntimeError as e:  # out of memory is one
            print(f"{name}: {type(e).__name__}: {str(e).splitlines()[0]}", flush=True)


if __name__ == "__main__":
    main()
