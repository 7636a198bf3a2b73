"""What generator_recipe.py tries on the generator: changes to TinyDiT, its batches, its loss and its optimizer."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tinycats.data.augment import jitter_colours, resample
from tinycats.data.feed import Images
from tinycats.data.randomness import RowRandom
from tinycats.distillation.discriminator import AUGMENTATION_NUMBERS, FrozenMaps
from tinycats.generator.network import TinyDiT, TinyDiTConfig
from tinycats.generator.task import FlowMatchingTask
from tinycats.learning.interface import Batch
from tinycats.learning.optimizer import adamw
from tinycats.runtime.params import AugmentationLevel, DitParams, Schedule, Section, TrainParams

TOLD = 10  # numbers that describe an augmentation
TOLD_SHARE = 0.5  # of the pictures are augmented where the network is told: the rest teach it what zero means
DISPERSIVE_WEIGHT = DISPERSIVE_TEMPERATURE = 0.5  # as in the paper
ALIGNMENT_WEIGHT = 0.5  # as in the paper
ALIGNED_TO = "tf_efficientnet_lite0"  # not what judges
ALIGNED_SCALE = 2  # of its maps: as many places as there are tokens, where an image is seen at ALIGNED_SIZE
ALIGNED_SIZE = 16  # px for each token of a side
MUON_LR = 0.02


@dataclass(frozen=True)
class Variant:
    """What is not as in conf/ with dit=nano and train=demo. What is None is as there."""

    # Of DitParams and TrainParams
    patch_size: int | None = None
    width: int | None = None
    heads: int | None = None
    depth: int | None = None
    schedule: Schedule | None = None
    t_mean: float | None = None
    label_dropout: float | None = None
    augmentation: AugmentationLevel | None = None
    # What has no parameter
    told: bool = False  # half of the pictures have the full augmentation, and the network is told which
    prediction: Literal["x", "v"] = "x"
    dropout: float = 0.0  # of what attention and MLP add
    modulation: Literal["per block", "shared"] = "per block"
    positions: Literal["sincos", "sincos+rope"] = "sincos"
    dispersive: bool = False
    repa: bool = False
    muon: bool = False

    def changes(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if value != getattr(Variant, name)}

    def of(self, section: type[Section]) -> dict[str, Any]:
        """The changes to a section of the parameters."""
        return {name: value for name, value in self.changes().items() if name in section.model_fields}


VARIANTS = {
    "base": Variant(),
    "v": Variant(prediction="v"),
    "constant": Variant(schedule="constant"),
    "x_patch16": Variant(patch_size=16),
    "v_patch16": Variant(patch_size=16, prediction="v"),
    "t_mean_-0.4": Variant(t_mean=-0.4),
    "t_mean_0": Variant(t_mean=0.0),
    "label_dropout_0": Variant(label_dropout=0.0),
    "label_dropout_0.25": Variant(label_dropout=0.25),
    "dropout_0.1": Variant(dropout=0.1),
    "dropout_0.25": Variant(dropout=0.25),
    "augment_none": Variant(augmentation="none"),
    "augment_full": Variant(augmentation="full"),
    "augment_told": Variant(told=True),
    "shared_modulation": Variant(modulation="shared"),
    "rope": Variant(positions="sincos+rope"),
    "dispersive": Variant(dispersive=True),
    "repa": Variant(repa=True),
    "wide": Variant(width=256, heads=4),
    "deep": Variant(depth=9),
    "muon": Variant(muon=True),
}


class VelocityDiT(TinyDiT):
    """The network's output is the velocity v; what is returned is the picture that follows, z + (1 - t) v."""

    def forward(self, x: Tensor, t: Tensor, h: Tensor, class_weights: Tensor) -> Tensor:
        return x + (1 - t)[:, None, None, None] * super().forward(x, t, h, class_weights)


class SharedModulation(nn.Module):
    """One matrix for all blocks and a bias of the block's own (Chen et al. 2023, PixArt)."""

    def __init__(self, shared: nn.Linear) -> None:
        super().__init__()
        self.shared = shared
        self.bias = nn.Parameter(torch.zeros(shared.out_features))

    def forward(self, condition: Tensor) -> Tensor:
        return self.shared(condition) + self.bias


class RotaryNorm(nn.Module):
    """The norm of queries and keys (N, heads, T, D), then a rotation by row and column (Su et al. 2021, in two dimensions)."""

    cos: Tensor
    sin: Tensor

    def __init__(self, norm: nn.Module, side: int, dimensions: int, base: float = 100.0) -> None:
        super().__init__()
        self.norm = norm
        omega = base ** -(torch.arange(dimensions // 4) / (dimensions // 4))  # (D/4,)
        angles = torch.arange(side)[:, None] * omega  # (side, D/4)
        rows, columns = angles[:, None].expand(side, side, -1), angles[None].expand(side, side, -1)
        both = torch.cat([rows, columns], dim=2).reshape(side * side, dimensions // 2)  # (T, D/2)
        self.register_buffer("cos", both.cos(), persistent=False)
        self.register_buffer("sin", both.sin(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        normed = self.norm(x)
        first, second = normed.chunk(2, dim=-1)
        turned = torch.cat([first * self.cos - second * self.sin, first * self.sin + second * self.cos], dim=-1)
        return turned.to(normed.dtype)


class ToldEmbedding(nn.Linear):
    """Classes and the description of the augmentation, which is zero where it is not given."""

    def __init__(self, classes: nn.Linear) -> None:
        super().__init__(classes.in_features + TOLD, classes.out_features, bias=False)
        with torch.no_grad():
            self.weight[:, : classes.in_features] = classes.weight

    def forward(self, weights: Tensor) -> Tensor:
        return super().forward(F.pad(weights, (0, self.in_features - weights.shape[1])))


def build(variant: Variant, config: TinyDiTConfig) -> TinyDiT:
    config = config.model_copy(update=variant.of(DitParams))
    model = (VelocityDiT if variant.prediction == "v" else TinyDiT)(config)
    side, width = config.image_size // config.patch_size, config.width
    shared = nn.Linear(width, 6 * width, bias=False)
    nn.init.zeros_(shared.weight)
    for block in cast(list[Any], model.blocks):
        if variant.positions == "sincos+rope":
            block.attention.qk_norm = RotaryNorm(block.attention.qk_norm, side, width // config.heads)
        if variant.modulation == "shared":
            block.modulation = SharedModulation(shared)
        if variant.dropout:
            block.attention = nn.Sequential(block.attention, nn.Dropout(variant.dropout))
            block.mlp = nn.Sequential(block.mlp, nn.Dropout(variant.dropout))
    if variant.told:
        model.class_embedding = ToldEmbedding(model.class_embedding)
    return model


def change_and_describe(pixels: Tensor, seed: int, step: int) -> tuple[Tensor, Tensor]:
    """Full augmentation but for the mirror, of (N, 3, S, S) in [0, 1], and what it was, (N, TOLD): zero for no change.

    It is described by what it does to three points of a plane and to two colours.
    """
    n, _, side, _ = pixels.shape
    unmirrored, area = torch.zeros(n, dtype=torch.bool), (0.45, 1.0)
    random, same = (RowRandom(seed, "told", step, n, range(n), pixels.device) for _ in range(2))
    changed = jitter_colours(resample(pixels, unmirrored, random, area), random)

    axis = (2 * torch.arange(side) + 1) / side - 1
    plane = torch.stack([axis[:, None].expand(side, side), axis[None].expand(side, side), torch.zeros(side, side)])
    middle, off = side // 2, side // 2 + side // 4
    rows, columns = torch.tensor([middle, off, middle]), torch.tensor([middle, middle, off])
    moved = resample(plane.expand(n, -1, -1, -1), unmirrored, same, area) - plane
    colours = torch.tensor([[0.1, 0.1, 0.1], [0.5, 0.4, 0.3]]).T[:, None]  # (3, 1, 2); dark, for none must be clipped
    tinted = jitter_colours(colours.expand(n, -1, -1, -1), same) - colours
    points = moved[:, :2, rows, columns].flatten(1)  # (N, 6)
    return changed, 4 * torch.cat([points, tinted[:, :1, 0, 0], tinted[:, :, 0, 1]], dim=1)


def tell(batch: Batch, seed: int, step: int) -> Batch:
    """Augment a share of the pictures of a batch and add the description behind the class weights."""
    changed, description = change_and_describe((batch["x"] + 1) / 2, seed, step)
    n = len(changed)
    chosen = RowRandom(seed, "told which", step, n, range(n), changed.device).uniform() < TOLD_SHARE
    return {
        **batch,
        "x": torch.where(chosen[:, None, None, None], 2 * changed - 1, batch["x"]),
        "class_weights": torch.cat([batch["class_weights"], description * chosen[:, None]], dim=1),
    }


class ToldTask(FlowMatchingTask):
    """Flow matching on batches of which a share is augmented, and described. For one process: all rows of a batch."""

    def batch(self, step: int, rows: range, images: Images) -> Batch:
        return tell(super().batch(step, rows, images), self.seed, step)


def dispersive_loss(features: Tensor) -> Tensor:
    """Log mean exp(-distance / temperature) over all pairs of (N, ...), itself included (Wang & He 2025); 0 if all are equal.

    The distance is the mean squared difference.
    """
    flat = features.float().flatten(1)
    distances = F.pdist(flat).square() / flat.shape[1]
    all_pairs = torch.cat([distances, distances, distances.new_zeros(len(flat))])
    return (-all_pairs / DISPERSIVE_TEMPERATURE).exp().mean().log()


class Alignment(nn.Module):
    """Draws what a block holds of a noised image to a frozen network's map of the clean one (REPA: Yu et al. 2024)."""

    def __init__(self, config: TinyDiTConfig) -> None:
        super().__init__()
        side = config.image_size // config.patch_size
        self.maps = FrozenMaps(ALIGNED_TO, config.image_size, ALIGNED_SIZE * side, [])
        channels = self.maps.channels[ALIGNED_SCALE]
        hidden = 2 * config.width
        self.projector = nn.Sequential(nn.Linear(config.width, hidden), nn.SiLU(), nn.Linear(hidden, channels))

    def forward(self, tokens: Tensor, images: Tensor) -> Tensor:
        """1 - the mean cosine. tokens (N, T, D); images (N, 3, S, S) in [-1, 1]."""
        with torch.no_grad():
            unchanged = images.new_zeros(len(images), AUGMENTATION_NUMBERS)
            wanted = self.maps(images, unchanged)[ALIGNED_SCALE].flatten(2).transpose(1, 2)  # (N, T, C)
        return 1 - F.cosine_similarity(self.projector(tokens).float(), wanted.float(), dim=2).mean()


def optimizers(variant: Variant, model: nn.Module, training: TrainParams) -> list[torch.optim.Optimizer]:
    """AdamW as the training loop has it; with `muon`, Muon for the matrices of attention and MLP."""
    if not variant.muon:
        return [adamw(model, training, {})]
    named = dict(model.named_parameters())
    matrices = {
        name for name, p in named.items() if name.startswith("blocks.") and p.ndim == 2 and "modulation" not in name
    }
    taken = [named.pop(name) for name in sorted(matrices)]
    rest = list(named.values())
    return [
        torch.optim.AdamW(
            rest,
            lr=training.lr,
            betas=(training.beta1, training.beta2),
            weight_decay=training.weight_decay,
            fused=True,
        ),
        torch.optim.Muon(taken, lr=MUON_LR, weight_decay=training.weight_decay),
    ]
