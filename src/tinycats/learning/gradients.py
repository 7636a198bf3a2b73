"""One step of the optimizer by one batch, in as many parts as memory allows."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from tinycats.learning import distributed
from tinycats.learning.interface import Batch, Task
from tinycats.learning.precision import autocast
from tinycats.runtime.params import TrainingParams
from tinycats.runtime.processes import world_size


class GradientStep:
    """Its state, which a checkpoint keeps, is that of the scaler of fp16."""

    def __init__(
        self,
        task: Task,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        training: TrainingParams,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        """`model`: what is called, task.model compiled or wrapped; `dtype`: of autocast."""
        self.task, self.model, self.optimizer, self.training = task, model, optimizer, training
        self.device, self.dtype = device, dtype
        self.scaler = torch.amp.GradScaler(device.type, enabled=dtype == torch.float16)
        self.parts = min(training.accumulation, distributed.smallest_part(training.batch_size))

    def state_dict(self) -> dict[str, Any]:
        return self.scaler.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.scaler.load_state_dict(state)

    def __call__(self, step: int, batch: Batch, lr: float) -> tuple[Tensor, Tensor]:
        """Change the parameters. Returns this process's share of the mean loss of the whole batch, and the gradient's norm.

        A GPU without enough memory gets the batch, and all to come, in smaller parts.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = lr * group["lr_scale"]
        while True:
            try:
                loss = self.accumulate(batch)
                self.scaler.unscale_(self.optimizer)
                norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.training.clip_norm)
                self.scaler.step(self.optimizer)
                break
            except torch.OutOfMemoryError:
                if self.parts * 2 > len(next(iter(batch.values()))) or world_size() > 1:
                    raise
                self._halve()
                print(
                    f"{self.task.name}: out of memory at step {step + 1}; continues with {self.parts} micro-batches a step"
                )
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        return loss, norm

    def accumulate(self, batch: Batch) -> Tensor:
        """Add up the gradients of this process's micro-batches; return its share of the mean loss of the whole batch.

        Every process has as many micro-batches, so that batch norms which wait for each other do so equally often.
        """
        split = {name: tensor.tensor_split(self.parts) for name, tensor in batch.items()}
        mean = torch.zeros((), device=self.device)
        for number in range(self.parts):
            part = {name: tensors[number] for name, tensors in split.items()}
            size = len(next(iter(part.values())))
            model, more = self.model, number + 1 < self.parts
            # gradients are averaged once, at the end
            alone = model.no_sync() if more and isinstance(model, DistributedDataParallel) else nullcontext()
            with alone:
                with autocast(self.device, self.dtype):
                    loss = self.task.loss(model, part) * (size / self.training.batch_size)
                self.scaler.scale(loss * world_size()).backward()  # they are averaged, and must be added up
            mean += loss.detach()
        return mean

    def _halve(self) -> None:
        """Take parts half as large, with a scaler that has seen nothing of the step under way."""
        self.parts *= 2
        self.optimizer.zero_grad(set_to_none=True)
        fresh = torch.amp.GradScaler(self.device.type, enabled=self.scaler.is_enabled())
        fresh.load_state_dict(self.scaler.state_dict())
        self.scaler = fresh
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
