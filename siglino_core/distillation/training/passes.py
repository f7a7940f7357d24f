"""The forward and backward passes of a step on one rank, until its gradients are there.

A pass is as many packs as a device holds the activations of. Relations compare the images of several passes, a *round*:
all but its last pass go forward without a gradient first, for their summaries, and once more in their own turn. So a
round of n passes costs n - 1 forward passes more, which is none where it is one pass, or where relations do not count.
Meanwhile its batches wait on the CPU, as they were read, and teachers that run beside the student are asked once: their
targets wait on the device.

Legend: B images, V packs of a step, V values of a patch (patches_NV), N patches.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from siglino_core.distillation.targets.stored import StoredTargets
from siglino_core.distillation.training.anchor import Anchor
from siglino_core.distillation.training.objective import Loss, Objective, Summaries, Taught
from siglino_core.distillation.training.parallel import exchange_gradients
from siglino_core.distillation.training.reader import Batch
from siglino_core.distillation.training.relations import Linearised, related_packs, rounds
from siglino_core.distillation.training.routes import Chosen, Routes
from siglino_core.encoders.card import Card
from siglino_core.images.patches import to_floats
from siglino_core.models import Features, SigLino
from siglino_core.teachers.teacher import Targets, Teacher


@dataclass(kw_only=True)
class Summed:
    """What the passes of a step came to on this rank.

    Attributes:
        images: of the step over all ranks, divided by the number of ranks.
        taught: the same of teachers that not all images train, by name.
        terms: this rank's part of each term and measure (`Loss.terms`), over the passes.
        seen: the batches, each with its images' own errors.
        waited: seconds for which batches were waited for.
    """

    images: float
    taught: dict[str, float] = field(default_factory=dict)
    terms: dict[str, Tensor] = field(default_factory=dict)
    seen: list[tuple[Batch, Tensor]] = field(default_factory=list)
    waited: float = 0.0

    def add(self, batch: Batch, loss: Loss) -> None:
        """A pass that was learnt from."""
        for name, term in loss.terms.items():
            self.terms[name] = self.terms[name] + term if name in self.terms else term
        self.seen.append((batch, loss.per_image_B))


@dataclass(frozen=True, eq=False)
class _Asked:
    """A batch, and what the teachers that run beside the student say of it: each of the images that train it."""

    batch: Batch
    online: dict[str, Targets]
    chosen: dict[str, Chosen]  # of teachers that not all images train


@dataclass(kw_only=True)
class Passes:
    """A student, what it is compared with, and how its packs are put together.

    Attributes:
        model: `parallelize`d, in training.
        device: its device.
        stored: the teachers' targets, if they are stored.
        teachers: those that run beside the student.
        anchor: of the student's patches, if there is one.
        summarized: teachers whose summaries alone are wanted.
        packs: of a step, over all ranks.
        at_once: packs of a pass, over all ranks.
        total: tokens of a pass, padding included; None: as many as its images have.
        routes: which images train which teacher; None: all of them all.
    """

    model: SigLino
    objective: Objective
    device: str
    stored: StoredTargets | None = None
    teachers: Sequence[Teacher] = ()
    anchor: Anchor | None = None
    summarized: Sequence[str] = ()
    packs: int
    at_once: int
    world: int = 1
    total: int | None = None
    routes: Routes | None = None

    @property
    def rounds(self) -> list[range]:
        """The passes of a step that must know of each other."""
        related = related_packs(self.objective.config, self.packs)
        return rounds(self.packs, related=related, at_once=self.at_once)

    def __call__(
        self, reading: Iterator[Batch], images_V: Sequence[int], taught_V: Mapping[str, Sequence[int]] | None = None
    ) -> Summed:
        """Read a step's batches, and add its gradients to those that the parameters have.

        Args:
            reading: this rank's batches, of this step next.
            images_V: images of each pack of the step, over all ranks.
            taught_V: the same of teachers that not all images train, by name (`Routes.images`).
        """
        taught_V = taught_V or {}
        shares = {name: sum(counts_V) / self.world for name, counts_V in taught_V.items()}
        done = Summed(images=sum(images_V) / self.world, taught=shares)
        for turns in self.rounds:
            earlier: list[_Asked] = []
            summaries: list[Summaries] = []
            for _ in turns[:-1]:
                asked, patches_NV = self._ask(reading, done)
                with torch.no_grad():
                    summaries.append(self._summaries(asked, self._forward(patches_NV, asked.batch)))
                earlier.append(asked)
            last, patches_NV = self._ask(reading, done)
            ready: Features | None = self._forward(patches_NV, last.batch)  # with its graph, so it is learnt from first
            relations: list[Any] = [None for _ in turns]
            if self.objective.config.relates:
                summaries.append(self._summaries(last, ready))
                of_round = slice(turns.start * self.at_once, turns.stop * self.at_once)
                of_teachers = {name: counts_V[of_round] for name, counts_V in taught_V.items()}
                relations = list(
                    self.objective.relations(summaries, images_V[of_round], packs=self.packs, taught_V=of_teachers)
                )
            for asked, relation in [(last, relations[-1]), *zip(earlier, relations, strict=False)]:
                if ready is None:
                    patches_NV = self._pixels(asked.batch)
                features = ready or self._forward(patches_NV, asked.batch)
                ready = None
                loss = self._loss(done, asked, patches_NV, features, relation)
                exchange_gradients(self.model, len(done.seen) + 1 == self.rounds[-1].stop)
                loss.total.backward()
                done.add(asked.batch, loss)
                del features, loss
        return done

    def _ask(self, reading: Iterator[Batch], done: Summed) -> tuple[_Asked, Tensor]:
        """The next batch, and its pixels."""
        began = time.perf_counter()
        batch = next(reading)
        done.waited += time.perf_counter() - began
        patches_NV = self._pixels(batch)
        counts, chosen = [h * w for h, w in batch.shapes], {}
        if self.routes is not None:
            masks = {name: self.routes.taught(name, batch.parts_B) for name in done.taught}
            chosen = {name: Chosen.of(taught_B, counts, self.device) for name, taught_B in masks.items()}
        online = {t.card.name: _told(t, patches_NV, batch.shapes, chosen.get(t.card.name)) for t in self.teachers}
        return _Asked(batch, online, chosen), patches_NV

    def _pixels(self, batch: Batch) -> Tensor:
        return to_floats(batch.patches_NV.to(self.device, non_blocking=True))

    def _forward(self, patches_NV: Tensor, batch: Batch) -> Features:
        return self.model(patches_NV, self.model.layout(batch.shapes, self.total), self.summarized)

    def _summaries(self, asked: _Asked, features: Features) -> Summaries:
        """Of a pass; stored patches are not decoded for them."""
        theirs = {name: fetched.summaries_BC.to(self.device) for name, fetched in asked.batch.targets.items()}
        ours = {name: summaries_BC.detach() for name, summaries_BC in features.summaries.items()}
        for name, chosen in asked.chosen.items():
            ours[name] = ours[name][chosen.rows_B]
            theirs |= {name: theirs[name][chosen.rows_B]} if name in theirs else {}
        theirs |= {name: targets.summaries for name, targets in asked.online.items()}
        return {name: (ours[name], theirs_BC) for name, theirs_BC in theirs.items()}

    def _loss(
        self,
        done: Summed,
        asked: _Asked,
        patches_NV: Tensor,
        features: Features,
        relations: Mapping[str, Linearised] | None,
    ) -> Loss:
        """A pass's part of the step's loss."""
        batch = asked.batch
        targets = asked.online
        if self.stored is not None:
            targets = self.stored.decode(batch.targets, self.device)
            targets |= {name: chosen.targets(targets[name]) for name, chosen in asked.chosen.items()}
        anchor_ND = None if self.anchor is None else self.anchor(patches_NV, batch.shapes, self.total)
        counts = [h * w for h, w in batch.shapes]
        return self.objective(
            features,
            targets,
            counts,
            images=done.images,
            relations=relations,
            anchor_ND=anchor_ND,
            taught={name: Taught(chosen, done.taught[name]) for name, chosen in asked.chosen.items()},
            draws_MB=batch.draws_MB,
        )


def _told(teacher: Teacher, patches_NV: Tensor, shapes: Sequence[tuple[int, int]], chosen: Chosen | None) -> Targets:
    """What a teacher says of the images that train it; it is not asked of others, nor of none."""
    if chosen is None:
        return teacher(patches_NV, shapes)
    if not chosen.counts:
        return _nothing(teacher.card, patches_NV.device)
    return teacher(patches_NV[chosen.patches_N], [shapes[row] for row in chosen.rows_B.tolist()])


def _nothing(card: Card, device: torch.device) -> Targets:
    """Targets of no image."""
    empty_BC = torch.zeros(0, card.dim, device=device)
    registers_BRC = torch.zeros(0, card.registers, card.dim, device=device) if card.registers else None
    return Targets(empty_BC, empty_BC if card.patches else None, registers_BRC)
