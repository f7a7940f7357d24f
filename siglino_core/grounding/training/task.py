"""The early-fusion model as the loop trains it: its passes over images, texts and masks.

Legend: V packs of a step, N patches.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, astuple, dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from siglino_core.config import PackConfig
from siglino_core.device import Device
from siglino_core.distillation.packing import Cost, Cursor, Mixture, Part, Plan
from siglino_core.distillation.training.anchor import Anchor
from siglino_core.distillation.training.checkpoints import Kept
from siglino_core.distillation.training.loop import Passed, Ranks
from siglino_core.distillation.training.parallel import Units, exchange_gradients, mean_over_ranks, parallelize
from siglino_core.distillation.training.reader import batches
from siglino_core.grounding.model import OF_TEXT, GroundingModel
from siglino_core.grounding.targets import Targets, questions
from siglino_core.grounding.training.batch import Batch
from siglino_core.grounding.training.objective import Counts, Objective
from siglino_core.grounding.training.reader import Asked
from siglino_core.images.patches import to_floats

WORDS = "embedding.weight"


@dataclass(frozen=True, kw_only=True, eq=False)
class Setting:
    """What a training of the model is made of.

    Attributes:
        model: makes it on the CPU, in fp32; every rank makes the same.
        config_json: its shape, as checkpoints keep it.
        asked: the images and what is asked about them.
        part: their grids, for the plan.
        pack: how images are packed; texts are beside the packs.
        objective: the loss.
        anchor: the frozen student of Gram anchoring, if it weighs anything.
        image_lr, word_lr: learning rate of what the student gave, and of the words' vectors, as a share of the others';
            0: they are frozen.
    """

    model: Callable[[], GroundingModel]
    config_json: dict[str, Any]
    asked: Asked
    part: Part
    pack: PackConfig
    objective: Objective
    anchor: Callable[[], Anchor] | None = None
    image_lr: float = 1.0
    word_lr: float = 1.0
    seed: int = 0
    workers: int = 0
    fsdp_size: int = 0
    activation_checkpointing: bool = False
    compiled: bool = False


class Grounding:
    """See `siglino_core.distillation.training.loop.Task`."""

    name = "ground"

    def __init__(self, setting: Setting, device: Device, ranks: Ranks, begin: Kept | None) -> None:
        self.setting, self.device, self.ranks = setting, device, ranks
        self.config_json = setting.config_json
        self.model: GroundingModel = self._model()
        shape = self.model.config.student
        cursor = Cursor(**begin.about["cursor"]) if begin is not None else None
        mixture = Mixture(parts=[setting.part], seed=setting.seed)
        self.plan = Plan(mixture, setting.pack, Cost.of(shape), prefix=shape.prefix, cursor=cursor)
        self.anchor = setting.anchor() if setting.anchor is not None else None
        self._reading: Iterator[Batch] = iter(())
        self._instances = 0.0

    def _model(self) -> GroundingModel:
        torch.manual_seed(self.setting.seed)
        model = self.setting.model().train()
        for name, p in model.named_parameters():
            p.requires_grad_(self.lr_share(name) > 0)
        return parallelize(
            model,
            device=self.device.device,
            dtype=self.device.dtype,
            world=self.ranks.world,
            fsdp_size=self.setting.fsdp_size,
            activation_checkpointing=self.setting.activation_checkpointing,
            compiled=self.setting.compiled,
            units=Units(blocks=list(model.student.layers), pixels=model.student.img_projector),
        )

    def lr_share(self, name: str) -> float:
        """What the student gave, and words' vectors, may be trained more gently."""
        if name == WORDS:
            return self.setting.word_lr
        return self.setting.image_lr if _of_student(name) else 1.0

    def begin(self, start: int, stop: int) -> None:
        """Start the loaders."""
        self._reading = batches(
            self.setting.asked,
            self.plan,
            start=start,
            stop=stop,
            rank=self.ranks.rank,
            world=self.ranks.world,
            workers=self.setting.workers,
            together=self._passes,
            pin=self.device.device == "cuda",
        )

    @property
    def _passes(self) -> int:
        return self.setting.pack.packs_per_step // self.ranks.world

    def gradients(self, step: int) -> Passed:
        """A step's passes. Its batches are read first: how many tokens, instances and masks it has is in them."""
        began = time.perf_counter()
        read = [next(self._reading) for _ in range(self._passes)]
        waited = time.perf_counter() - began
        packs = [self._pack(batch) for batch in read]
        made = list(zip(read, packs, strict=True))
        counts = self._counts([Counts.of(t, batch.masks, len(batch.ids)) for batch, (*_, t) in made])
        terms: dict[str, Tensor] = {}
        for number, (batch, (layout, texts, targets)) in enumerate(made):
            patches_NV = to_floats(batch.patches_NV.to(self.device.device, non_blocking=True))
            states = self.model(patches_NV, layout, texts)
            anchor_ND = None if self.anchor is None else self.anchor(patches_NV, batch.shapes)
            loss = self.setting.objective(
                self.model, states, layout, targets, batch.masks, batch.image_K, counts, anchor_ND
            )
            exchange_gradients(self.model, number + 1 == len(read))
            loss.total.backward()
            for name, term in loss.terms.items():
                terms[name] = terms[name] + term if name in terms else term
        self._instances = counts.instances * self.ranks.world
        return Passed(
            numbers=mean_over_ranks(terms, self.ranks.world),
            waited=waited,
            seen=[i for batch in read for i in batch.ids],
        )

    def _pack(self, batch: Batch) -> tuple[Any, Any, Targets]:
        layout = self.model.layout(batch.shapes)
        return layout, *questions(layout.segments, batch.image_Q, batch.questions)

    def _counts(self, of_passes: Sequence[Counts]) -> Counts:
        """Of the step: over all passes and ranks, divided by the number of ranks."""
        total = torch.tensor([astuple(c) for c in of_passes], dtype=torch.float64).sum(0)
        if self.ranks.world > 1:
            total = total.to(self.device.device)
            dist.all_reduce(total)
            total = total.cpu() / self.ranks.world
        answers, instances, masks, images = total.tolist()
        return Counts(answers=answers, instances=instances, masks=masks, images=images)

    def learnt(self, step: int, passed: Passed) -> None:
        """Nothing to note."""

    def rates(self, step: int, seconds: float) -> dict[str, float]:
        """Images, their tokens, and instances."""
        tokens_V, _, images_V = self.plan.sums(step)
        tokens = float(tokens_V.sum())
        return {
            "images": float(images_V.sum()),
            "instances": self._instances,
            "tokens": tokens,
            "tokens_per_second": tokens / seconds,
        }

    def images(self, passed: Passed) -> Sequence[str]:
        """The ids of a step's images on this rank."""
        return passed.seen

    def state(self) -> dict[str, Tensor]:
        """Nothing beside the model."""
        return {}

    def about(self, step: int) -> dict[str, Any]:
        """The place in the plan."""
        return {"cursor": asdict(self.plan.cursor(step))}


def _of_student(name: str) -> bool:
    return name.startswith("student.") and not OF_TEXT.search(name)
