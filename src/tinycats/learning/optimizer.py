"""AdamW (Loshchilov & Hutter 2019) as all training runs use it."""

from __future__ import annotations

import torch
from torch import nn

from tinycats.runtime.params import TrainingParams


def adamw(model: nn.Module, training: TrainingParams) -> torch.optim.AdamW:
    """The optimizer of the trainable parameters. Its memory is taken now: no step fails half-way for want of it."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    matrices = [p for p in parameters if p.ndim >= 2]
    vectors = [p for p in parameters if p.ndim < 2]  # biases and norms are not decayed
    groups = [{"params": matrices, "weight_decay": training.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=training.lr, betas=(0.9, training.beta2), fused=True)
    for parameter in parameters:
        optimizer.state[parameter] = {
            "step": torch.zeros((), dtype=torch.float32, device=parameter.device),
            "exp_avg": torch.zeros_like(parameter, memory_format=torch.preserve_format),
            "exp_avg_sq": torch.zeros_like(parameter, memory_format=torch.preserve_format),
        }
    return optimizer
