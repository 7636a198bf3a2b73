"""AdamW (Loshchilov & Hutter 2019) as all training runs use it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import torch
from torch import nn

from tinycats.runtime.params import TrainingParams


def adamw(model: nn.Module, training: TrainingParams, lr_scales: Mapping[str, float]) -> torch.optim.AdamW:
    """The optimizer of the trainable parameters. Its memory is taken now: no step fails half-way for want of it.

    A group's `lr_scale` is times the learning rate: that of the prefix in `lr_scales` that its parameters' names have, else 1.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = defaultdict(list)
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            scale = next((scale for prefix, scale in lr_scales.items() if name.startswith(prefix)), 1.0)
            decay = training.weight_decay if parameter.ndim >= 2 else 0.0  # biases and norms are not decayed
            groups[scale, decay].append(parameter)
    optimizer = torch.optim.AdamW(
        [
            {"params": parameters, "weight_decay": decay, "lr_scale": scale}
            for (scale, decay), parameters in groups.items()
        ],
        lr=training.lr,
        betas=(training.beta1, training.beta2),
        fused=True,
    )
    for parameter in (parameter for parameters in groups.values() for parameter in parameters):
        optimizer.state[parameter] = {
            "step": torch.zeros((), dtype=torch.float32, device=parameter.device),
            "exp_avg": torch.zeros_like(parameter, memory_format=torch.preserve_format),
            "exp_avg_sq": torch.zeros_like(parameter, memory_format=torch.preserve_format),
        }
    return optimizer
