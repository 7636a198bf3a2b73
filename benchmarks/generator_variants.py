"""What generator_recipe.py tries on the generator: changes to TinyDiT, its batches, its loss and its optimizer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tinycats.data.augment import jitter_colours, resample
from tinycats.generator.network import TinyDiT, TinyDiTConfig
from tinycats.learning.loop import Batch

TOLD = 10  # numbers that describe an augmentation
TOLD_SHARE = 0.5  # of the pictures are augmented where the network is told: the rest teach it what zero means
DISPERSIVE_WEIGHT = DISPERSIVE_TEMPERATURE = 0.5  # as in the paper
MUON_LR = 0.02


@dataclass(frozen=True)
class Variant:
    """The default is dit=nano, train=demo of conf/."""

    patch_size: int = 8
    prediction: Literal["x", "v"] = "x"
    schedule: Literal["cosine", "constant"] = "cosine"
    t_mean: float = -0.8
    label_dropout: float = 0.1
    dropout: float = 0.0  # of what attention and MLP add
    augmentation: Literal["none", "basic", "full", "told"] = "basic"
    modulation: Literal["per block", "shared"] = "per block"
    positions: Literal["sincos", "sincos+rope"] = "sincos"
    dispersive: bool = False
    muon: bool = False


BASE = Variant()
VARIANTS = {
    "base": BASE,
    "v": replace(BASE, prediction="v"),
    "constant": replace(BASE, schedule="constant"),
    "x_patch16": replace(BASE, patch_size=16),
    "v_patch16": replace(BASE, patch_size=16, prediction="v"),
    "t_mean_-0.4": replace(BASE, t_mean=-0.4),
    "t_mean_0": replace(BASE, t_mean=0.0),
    "label_dropout_0": replace(BASE, label_dropout=0.0),
    "label_dropout_0.25": replace(BASE, label_dropout=0.25),
    "dropout_0.1": replace(BASE, dropout=0.1),
    "dropout_0.25": replace(BASE, dropout=0.25),
    "augment_none": replace(BASE, augmentation="none"),
    "augment_full": replace(BASE, augmentation="full"),
    "augment_told": replace(BASE, augmentation="told"),
    "shared_modulation": replace(BASE, modulation="shared"),
    "rope": replace(BASE, positions="sincos+rope"),
    "dispersive": replace(BASE, dispersive=True),
    "muon": replace(BASE, muon=True),
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
    config = config.model_copy(update={"patch_size": variant.patch_size})
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
    if variant.augmentation == "told":
        model.class_embedding = ToldEmbedding(model.class_embedding)
    return model


def change_and_describe(pixels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Full augmentation but for the mirror, of (N, 3, S, S) in [0, 1], and what it was, (N, TOLD): zero for no change.

    It is described by what it does to three points of a plane and to two colours.
    """
    n, _, side, _ = pixels.shape
    unmirrored, area = torch.zeros(n, dtype=torch.bool), (0.45, 1.0)
    same = torch.Generator()
    same.set_state(generator.get_state())
    changed = jitter_colours(resample(pixels, unmirrored, generator, area), generator)

    axis = (2 * torch.arange(side) + 1) / side - 1
    plane = torch.stack([axis[:, None].expand(side, side), axis[None].expand(side, side), torch.zeros(side, side)])
    middle, off = side // 2, side // 2 + side // 4
    rows, columns = torch.tensor([middle, off, middle]), torch.tensor([middle, middle, off])
    moved = resample(plane.expand(n, -1, -1, -1), unmirrored, same, area) - plane
    colours = torch.tensor([[0.1, 0.1, 0.1], [0.5, 0.4, 0.3]]).T[:, None]  # (3, 1, 2); dark, for none must be clipped
    tinted = jitter_colours(colours.expand(n, -1, -1, -1), same) - colours
    points = moved[:, :2, rows, columns].flatten(1)  # (N, 6)
    return changed, 4 * torch.cat([points, tinted[:, :1, 0, 0], tinted[:, :, 0, 1]], dim=1)


def tell(batch: Batch, generator: torch.Generator) -> Batch:
    """Augment a share of the pictures of a batch and add the description behind the class weights."""
    changed, description = change_and_describe((batch["x"] + 1) / 2, generator)
    chosen = torch.rand(len(changed), generator=generator) < TOLD_SHARE
    return {
        **batch,
        "x": torch.where(chosen[:, None, None, None], 2 * changed - 1, batch["x"]),
        "class_weights": torch.cat([batch["class_weights"], description * chosen[:, None]], dim=1),
    }


def dispersive_loss(features: Tensor) -> Tensor:
    """Log mean exp(-distance / temperature) over all pairs of (N, ...), itself included (Wang & He 2025); 0 if all are equal.

    The distance is the mean squared difference.
    """
    flat = features.float().flatten(1)
    distances = F.pdist(flat).square() / flat.shape[1]
    all_pairs = torch.cat([distances, distances, distances.new_zeros(len(flat))])
    return (-all_pairs / DISPERSIVE_TEMPERATURE).exp().mean().log()


def optimizers(variant: Variant, model: nn.Module, lr: float) -> list[torch.optim.Optimizer]:
    """AdamW as the training loop has it; with `muon`, Muon for the matrices of attention and MLP."""
    named = dict(model.named_parameters())
    matrices = {
        name for name, p in named.items() if name.startswith("blocks.") and p.ndim == 2 and "modulation" not in name
    }
    if not variant.muon:
        matrices = set()
    rest = [p for name, p in named.items() if name not in matrices]
    found: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(rest, lr=lr, betas=(0.9, 0.95), weight_decay=0.0, fused=True)
    ]
    if matrices:
        found.append(torch.optim.Muon([named[name] for name in sorted(matrices)], lr=MUON_LR, weight_decay=0.0))
    return found
