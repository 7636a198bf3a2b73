"""The student learns to make images that a discriminator takes for real ones: adversarial distillation in pixels.

After ADD (Sauer et al. 2023) and LADD (2024), with the projected discriminator of discriminator.py. There is one module, one loss
and one optimizer: the module holds the student and the discriminator's heads, and its loss is the heads' hinge loss on images cut
off from the student, plus the student's losses through heads whose parameters are cut off. So one backward pass gives each its
own gradients (simultaneous descent), and accumulation, several processes, clipping, the average and exact resuming are the
training loop's.

What the student is given and asked for. Its samplers take steps of one length 2 ** -level from t = 0 on, so they call it with
starts t that are multiples of h, and follow the straight line to its answer x for h: of the step to t = 1 the result is x itself,
of an earlier one z at t + h = a mixture of noise and x. Rows are noised real images z = t x + (1 - t) e at exactly these pairs
(t, h): a share starts from noise (t = 0), the others at each later time equally often, and h is dealt out among the lengths with
which a sampler can stand at t (at 0 all, at 1/2 those up to 1/2, at 1/4 only 1/4, where that is the shortest). For every h the
discriminator sees x itself, the clean image: a student in one step needs nothing else, and in several the later steps, which are
given less noise, repaint what the first one settled. What h adds is that the network knows whether its x is the last word. The
reconstruction, whose weight grows with t, keeps these later steps from painting another image than they were given.

A share of the later rows starts where the student's own steps lead from noise (backward simulation: Yin et al. 2024, DMD2): given
real images alone, a student learns to sharpen what it is given, and in a sampler sharpens its own images again and again. Of the
teacher's guidance the consistency loss knows, where it is kept beside the adversary. The class the student learns from the heads'
projections and from a probe, a linear classifier of real images by the frozen maps (as StyleGAN-XL has it: Sauer et al. 2022).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from tinycats.data.augment import augment
from tinycats.data.feed import Images
from tinycats.data.pixels import as_tensor, columns, to_float
from tinycats.data.randomness import RowRandom
from tinycats.distillation.collapse import Look, check_collapse, look
from tinycats.distillation.discriminator import AUGMENTATION_NUMBERS, ClassProbe, FrozenMaps, Heads
from tinycats.distillation.task import GRID_STEPS, VALIDATION_STEPS, StudentTask, simulate
from tinycats.generator.network import TinyDiT, one_hot_classes
from tinycats.generator.task import SAMPLES_PER_CLASS
from tinycats.learning.distributed import total
from tinycats.learning.interface import Batch
from tinycats.runtime.history import History
from tinycats.runtime.params import AdversaryParams

MEAN_DECAY = 0.99  # of the running means of the logits, as Tseng et al. have it
PROBE_LR = 100.0  # times lr: a linear layer alone
REAL_PER_CLASS = 16  # real images that the student's are compared with
REAL, MADE = 0, 1


def row_steps(first: int, rows: int, levels: int, start_share: float) -> tuple[Tensor, Tensor]:
    """The starts t, float32, and levels, int64, of `rows` images of the run, from number `first` on: (rows,) on the CPU.

    They are dealt out in turn, and a row's do not depend on who has the others.
    """
    starts, chosen = [], []
    later = 2**levels - 1  # times of a start but 0
    for number in range(first, first + rows):
        before = int(number * start_share + 0.5)  # images that start from noise
        if int((number + 1) * start_share + 0.5) > before:
            place, turn = 0, before
        else:
            turn, place = divmod(number - before, later)
            place += 1
        longest = 0 if place == 0 else levels - (place & -place).bit_length() + 1  # place / 2 ** levels is its multiple
        starts.append(place / 2**levels)
        chosen.append(longest + turn % (levels + 1 - longest))
    return torch.tensor(starts), torch.tensor(chosen)


class Contest(nn.Module):
    """What is trained: the student, the heads of its discriminator, with running means of their logits, and the probe."""

    means: Tensor
    updates: Tensor
    pending: Tensor

    def __init__(self, student: TinyDiT, heads: Heads, probe: ClassProbe | None, adversary: AdversaryParams) -> None:
        super().__init__()
        self.student, self.heads, self.probe, self.adversary = student, heads, probe, adversary
        self.register_buffer("means", torch.zeros(2))  # of the logits of real and of generated images
        self.register_buffer("updates", torch.zeros(()))
        self.register_buffer("pending", torch.zeros(3))  # sums over the images of a step of the same, and their number

    def forward(self, maps: FrozenMaps, batch: Batch, targets: Tensor | None) -> tuple[Tensor, Tensor]:
        """The mean loss, and what the images add to `pending`. `targets`: mean velocities (B, 3, S, S), or None."""
        class_weights = batch["class_weights"]
        made = self.student(batch["z"], batch["t"], batch["h"], class_weights)
        with torch.no_grad():
            real_maps = maps(batch["x"], batch["real_numbers"])
        made_maps = maps(made, batch["made_numbers"])
        discriminator, sums = self._discriminator(real_maps, made_maps, class_weights)

        fixed = {name: parameter.detach() for name, parameter in self.heads.named_parameters()}
        student = -_scores(functional_call(self.heads, fixed, (made_maps, class_weights)))
        error = (made - batch["x"]).square().mean(dim=(1, 2, 3))
        student = student + self.adversary.reconstruction_weight * batch["t"] * batch["of_real"] * error
        if self.probe is not None:
            labels = class_weights.argmax(dim=1)
            discriminator = discriminator + F.cross_entropy(self.probe(real_maps), labels, reduction="none")
            fixed = {name: parameter.detach() for name, parameter in self.probe.named_parameters()}
            logits = functional_call(self.probe, fixed, (made_maps,))
            student = student + self.adversary.class_weight * F.cross_entropy(logits, labels, reduction="none")
        if targets is not None:
            # of the images: that of velocities would make the last steps, which paint details, as blurred as the teacher's
            wanted = batch["z"] + columns(1 - batch["t"]) * targets
            error = (made - wanted).square().mean(dim=(1, 2, 3))
            student = student + self.adversary.consistency_weight * error
        return (discriminator + student).mean(), sums

    def _discriminator(
        self, real_maps: list[Tensor], made_maps: list[Tensor], class_weights: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The loss of the heads by row, (B,), and what the images add to `pending`."""
        rows = len(class_weights)
        both = [torch.cat([real, made.detach()]) for real, made in zip(real_maps, made_maps, strict=True)]
        logits = self.heads(both, torch.cat([class_weights] * 2))
        real, made = zip(*(each.split(rows) for each in logits), strict=True)
        loss = _scores([F.relu(1 - each) for each in real]) + _scores([F.relu(1 + each) for each in made])
        real_sum, made_sum = (_scores(each).detach().sum() for each in (real, made))
        return loss, torch.stack([real_sum, made_sum, torch.full_like(real_sum, rows)])

    @torch.no_grad()
    def begin_step(self) -> None:
        """What changes from step to step and not within one: the running means, and the estimates of spectral norms."""
        rows = self.pending[2]
        weight = torch.maximum(9 / (self.updates + 9), torch.full_like(self.updates, 1 - MEAN_DECAY))
        self.means.lerp_(self.pending[:2] / rows.clamp(min=1), weight * (rows > 0))
        self.updates += rows > 0
        self.pending.zero_()
        self.heads.refresh()


@dataclass
class AdversarialTask(StudentTask):
    """`model` holds the student; `maps` is what its heads look at."""

    model: Contest
    maps: FrozenMaps
    adversary: AdversaryParams

    @property
    def lr_scales(self) -> Mapping[str, float]:
        return {"heads.": self.adversary.head_lr, "probe.": PROBE_LR}

    def student(self, trained: nn.Module) -> TinyDiT:
        assert isinstance(trained, Contest)
        return trained.student

    def batch(self, step: int, rows: range, images: Images) -> Batch:
        """ "level", "opens", whether a row is the first of the step, and "own_steps", how many of the student's own come before,
        are on the CPU: nothing has to be waited for."""
        training, adversary, device = self.training, self.adversary, self.device

        def random(stream: str) -> RowRandom:
            return RowRandom(self.seed, f"adversary/{stream}", step, training.batch_size, rows, device)

        chance = random("rows")
        x = 2 * augment(to_float(images.pixels), training.augmentation, chance, self.mirror) - 1
        first = step * training.batch_size + rows.start
        starts, level = row_steps(first, len(rows), training.levels, adversary.start_share)
        own = RowRandom(self.seed, "adversary/own", step, training.batch_size, rows, torch.device("cpu")).uniform()
        own_steps = torch.where(own < adversary.own_share, starts * 2.0**level, 0.0).long()
        of_real = (own_steps == 0).float()
        t, h, of_real = (values.to(device, non_blocking=True) for values in (starts, 0.5**level, of_real))
        mix, noise = columns(t), chance.noise(*x.shape[1:])
        batch = {
            "x": x,
            "z": mix * x + (1 - mix) * noise,
            "noise": noise,
            "of_real": of_real,
            "own_steps": own_steps,
            "t": t,
            "h": h,
            "level": level,
            "opens": torch.arange(len(rows)) == 0,
            "class_weights": one_hot_classes(images.labels, self.model.student.config.num_classes),
        }
        for name in ("real", "made"):
            seen = random(name)
            batch[f"{name}_numbers"] = torch.stack([seen.uniform() for _ in range(AUGMENTATION_NUMBERS)], dim=1)
        return batch

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        batch = dict(batch)
        level, opens, own_steps, noise = (batch.pop(name) for name in ("level", "opens", "own_steps", "noise"))
        if opens[0]:
            self.model.begin_step()
        own = own_steps.nonzero()[:, 0]
        if len(own):
            places = own.to(self.device)
            h, class_weights = batch["h"][places], batch["class_weights"][places]
            reached = simulate(self.model.student, noise[places], h, own_steps[own], class_weights)
            batch["z"] = batch["z"].index_copy(0, places, reached)
        targets = None
        if self.adversary.consistency_weight:
            order = level.argsort(descending=True, stable=True)
            names = ("z", "t", "h", "class_weights")
            ordered = {"level": level[order], **{name: batch[name][order.to(self.device)] for name in names}}
            targets = self.targets(self.model.student, ordered)[order.argsort().to(self.device)]
        loss, sums = model(self.maps, batch, targets)
        self.model.pending += total(sums)
        return loss

    def inspect(self, done: int, made: Mapping[int, Tensor], history: History) -> None:
        """Log how much the images differ and how many pixels are saturated. Raises UserError where the student has collapsed."""
        looks = {steps: self._look(made[steps]) for steps in {*VALIDATION_STEPS, GRID_STEPS}}
        real, teacher = self._real, self._look(self.reference)
        figures = dict(zip(("logit_real", "logit_made"), self.model.means.tolist(), strict=True))
        for steps in VALIDATION_STEPS:
            if real.spread:
                figures[f"val_diversity_{steps}"] = looks[steps].spread / real.spread
            figures[f"val_saturated_{steps}"] = looks[steps].saturated - real.saturated
        history.log(done, figures)
        check_collapse(done, looks[GRID_STEPS], real, teacher)

    def _look(self, images: Tensor) -> Look:
        """At what sample_classes makes."""
        return look(images.split(SAMPLES_PER_CLASS))

    @cached_property
    def _real(self) -> Look:
        """At images of the training split."""
        labels = range(self.model.student.config.num_classes)
        chosen = ((self.train.labels == label).nonzero()[0][:REAL_PER_CLASS] for label in labels)
        return look(2 * to_float(as_tensor(self.train.images[rows])) - 1 for rows in chosen)


def adversarial_task(student: TinyDiT, **common: Any) -> AdversarialTask:
    """`common`: what the task has besides the student's adversary."""
    training, seed, device = common["training"], common["seed"], common["device"]
    adversary, config = training.adversary, student.config
    maps = FrozenMaps(adversary.network, config.image_size, adversary.feature_size, adversary.augmentation)
    torch.manual_seed(seed)
    heads = Heads(maps.channels, adversary.channels, config.num_classes)
    probe = ClassProbe(maps.channels, config.num_classes) if adversary.class_weight else None
    model = Contest(student, heads, probe, adversary)
    return AdversarialTask(model=model, maps=maps.to(device), adversary=adversary, **common)


def _scores(logits: list[Tensor] | tuple[Tensor, ...]) -> Tensor:
    """Means over places and maps, each map as much as the others: (B,)."""
    return torch.stack([each.mean(dim=1) for each in logits]).mean(dim=0)
