"""TinyDiT: a small diffusion transformer that predicts the clean image.

After DiT (Peebles & Xie 2023), with x-prediction on large patches (Li & He 2025), qk-norm and RMSNorm. t=0 is noise, t=1 is
data. The second time h is the length of the step that the prediction is for; 0 asks for the instantaneous prediction, which is
all that the teacher learns. The student learns the others (distillation/task.py).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from tinycats.learning.pretrained import ModelConfig, PretrainedModel
from tinycats.runtime.params import DitParams, View


class TinyDiTConfig(ModelConfig, DitParams):
    model_type: Literal["tinycats-generator"] = "tinycats-generator"
    view: View = "photo"
    few_step: bool = False  # a student: wants the length of the sampler's step as h, and has guidance baked in


def patchify(images: Tensor, patch_size: int) -> Tensor:
    """(N, C, H, W) -> (N, T, patch_size * patch_size * C), patches in row-major order."""
    n, c, height, width = images.shape
    p = patch_size
    x = images.reshape(n, c, height // p, p, width // p, p)
    return x.permute(0, 2, 4, 3, 5, 1).reshape(n, (height // p) * (width // p), p * p * c)


def unpatchify(tokens: Tensor, patch_size: int, image_size: int) -> Tensor:
    """The inverse of patchify: (N, T, patch_size * patch_size * C) -> (N, C, image_size, image_size)."""
    n, _, d = tokens.shape
    p, side = patch_size, image_size // patch_size
    x = tokens.reshape(n, side, side, p, p, d // (p * p))
    return x.permute(0, 5, 1, 3, 2, 4).reshape(n, d // (p * p), image_size, image_size)


def overlap_add(pictures: Tensor, shift: int) -> Tensor:
    """(N, 4 C, H, W) -> (N, C, H, W): the sum of four pictures, moved by `shift` pixels up-left, up-right, down-left, down-right.

    What moves out of the frame is lost. With unpatchified pictures and half a patch as shift, every token paints a square of
    two patches' side that overlaps its neighbours', as a transposed convolution does.
    """
    height, width = pictures.shape[2:]
    moved = []
    for part, (dy, dx) in zip(pictures.chunk(4, dim=1), product((-shift, shift), repeat=2), strict=True):
        padded = F.pad(part, (shift + dx, shift - dx, shift + dy, shift - dy))
        moved.append(padded[:, :, shift : shift + height, shift : shift + width])
    return torch.stack(moved).sum(dim=0)


def sincos_positions(width: int, side: int) -> Tensor:
    """Two-dimensional sine-cosine positions (He et al. 2022, MAE), float32 (side * side, width)."""
    omega = 1 / 10000 ** (torch.arange(width // 4, dtype=torch.float64) / (width // 4))  # (width/4,)
    angles = torch.arange(side, dtype=torch.float64)[:, None] * omega  # (side, width/4)
    axis = torch.cat([angles.sin(), angles.cos()], dim=1)  # (side, width/2)
    rows = axis[:, None].expand(side, side, -1)
    columns = axis[None].expand(side, side, -1)
    return torch.cat([rows, columns], dim=2).reshape(side * side, width).float()


def one_hot_classes(labels: Sequence[int] | Tensor, num_classes: int) -> Tensor:
    """Class weights, float32 (B, num_classes + 1), with all weight on one class; label num_classes is the null class."""
    return F.one_hot(torch.as_tensor(labels, dtype=torch.int64), num_classes + 1).float()


def null_classes(class_weights: Tensor) -> Tensor:
    """Class weights of as many rows (B, K + 1) with all weight on the null class."""
    null = torch.zeros_like(class_weights)
    null[:, -1] = 1
    return null


class TimeEmbedding(nn.Module):
    """Sinusoids of a time in [0, 1], then an MLP: (B,) -> (B, width)."""

    def __init__(self, width: int, frequencies: int = 128) -> None:
        super().__init__()
        self.omega: Tensor
        omega = 1000 * torch.exp(-math.log(10000) * torch.arange(frequencies) / frequencies)
        self.register_buffer("omega", omega, persistent=False)
        self.hidden = nn.Linear(2 * frequencies, width)
        self.out = nn.Linear(width, width)

    def forward(self, time: Tensor) -> Tensor:
        angles = time[:, None] * self.omega  # (B, frequencies)
        return self.out(F.silu(self.hidden(torch.cat([angles.cos(), angles.sin()], dim=1))))


class Attention(nn.Module):
    """Multi-head self-attention with qk-norm."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.qk_norm = nn.RMSNorm(width // heads, eps=1e-6, elementwise_affine=False)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        n, t, d = x.shape
        qkv = self.qkv(x).reshape(n, t, 3, self.heads, d // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # (N, heads, T, D/heads) each
        q, k = self.qk_norm(q), self.qk_norm(k)
        if x.is_cuda:
            x = F.scaled_dot_product_attention(q, k, v)  # (N, heads, T, D/heads)
        else:  # a few hundred tokens on a CPU: the fused kernel's backward takes three times as long as this
            scores = q * (d // self.heads) ** -0.5 @ k.transpose(2, 3)  # (N, heads, T, T)
            x = scores.softmax(3).to(v.dtype) @ v
        return self.out(x.transpose(1, 2).reshape(n, t, d))


class Block(nn.Module):
    """A transformer block with AdaLN-Zero conditioning."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.RMSNorm(width, eps=1e-6, elementwise_affine=False)
        self.attention = Attention(width, heads)
        self.norm2 = nn.RMSNorm(width, eps=1e-6, elementwise_affine=False)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.modulation = nn.Linear(width, 6 * width)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        # x (N, T, D), condition (N, D)
        shift1, scale1, gate1, shift2, scale2, gate2 = self.modulation(condition)[:, None].chunk(6, dim=2)  # (N, 1, D)
        x = x + gate1 * self.attention(self.norm1(x) * (1 + scale1) + shift1)
        return x + gate2 * self.mlp(self.norm2(x) * (1 + scale2) + shift2)


class TinyDiT(PretrainedModel):
    config_type = TinyDiTConfig
    config: TinyDiTConfig

    def __init__(self, config: TinyDiTConfig) -> None:
        super().__init__(config)
        width, patch_values = config.width, 3 * config.patch_size**2
        self.gradient_checkpointing = False
        self.patch_embedding = nn.Linear(patch_values, width)
        positions = sincos_positions(width, config.image_size // config.patch_size)
        self.register_buffer("positions", positions, persistent=False)
        self.t_embedding = TimeEmbedding(width)
        self.h_embedding = TimeEmbedding(width)
        self.class_embedding = nn.Linear(config.num_classes + 1, width, bias=False)
        self.blocks = nn.ModuleList(Block(width, config.heads) for _ in range(config.depth))
        self.final_norm = nn.RMSNorm(width, eps=1e-6, elementwise_affine=False)
        self.final_modulation = nn.Linear(width, 2 * width)
        self.final = nn.Linear(width, 4 * patch_values)
        self.initialize()

    def initialize(self) -> None:
        """Xavier for the matrices; zero where the network must start as the identity.

        The patches start smaller: next to them the positions and the class must be heard from the first step, or a short
        training never learns what belongs where (tests/unit/test_flow_matching.py fails without it).
        """
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        nn.init.xavier_uniform_(self.patch_embedding.weight, gain=0.3)
        nn.init.normal_(self.class_embedding.weight)
        modulations = [module.modulation for module in self.modules() if isinstance(module, Block)]
        for linear in (*modulations, self.final_modulation, self.final, self.h_embedding.out):
            nn.init.zeros_(linear.weight)

    def forward(self, x: Tensor, t: Tensor, h: Tensor, class_weights: Tensor) -> Tensor:
        """Predict the clean picture.

        x (N, 3, H, W) noisy picture; t (N,) in [0, 1], 0 is noise; h (N,) in [0, 1], length of the step; class_weights
        (N, K + 1), the last column is the null class. Returns (N, 3, H, W), in [-1, 1] where it is sure.
        """
        condition = self.t_embedding(t) + self.h_embedding(h) + self.class_embedding(class_weights)  # (N, D)
        condition = F.silu(condition)
        tokens = self.patch_embedding(patchify(x, self.config.patch_size)) + self.positions  # (N, T, D)
        for block in self.blocks:
            if self.gradient_checkpointing and torch.is_grad_enabled():
                tokens = checkpoint(block, tokens, condition, use_reentrant=False)
            else:
                tokens = block(tokens, condition)
        shift, scale = self.final_modulation(condition)[:, None].chunk(2, dim=2)
        patches = self.final(self.final_norm(tokens) * (1 + scale) + shift)  # (N, T, 4 * 3 P P)
        pictures = unpatchify(patches.float(), self.config.patch_size, self.config.image_size)  # (N, 4 * 3, H, W)
        return overlap_add(pictures, self.config.patch_size // 2)
