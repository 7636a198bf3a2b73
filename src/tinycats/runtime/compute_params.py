"""`compute` in params.yaml: where and how the stages run. Cannot change a result, so no stage depends on it."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tinycats.runtime.section import Count, DeviceName, NonNegative, Positive, Section

# Can run on Modal; fetch reads this machine's files, and publish needs its git and its token for the Hub
RemoteStage = Literal["train_classifier", "train_dit", "distill", "evaluate", "preprocess", "export_onnx", "quantize"]
TRAININGS = ("train_classifier", "train_dit", "distill")  # share a machine's GPUs
CORES_ONLY = ("preprocess", "export_onnx", "quantize")  # use no GPU; evaluate uses one
GpuType = Literal[
    "T4", "L4", "A10", "A10G", "L40S", "A100", "A100-40GB", "A100-80GB", "RTX-PRO-6000", "H100", "H100!", "H200", "B200", "B200+"
]  # fmt: skip
ModalName = Annotated[str, Field(pattern=r"^[a-zA-Z0-9._-]{1,64}$")]
AppName = Annotated[str, Field(pattern=r"^[a-zA-Z0-9._-]{1,48}$")]  # what is deployed adds a hash to it
# A part of the world, or one in it
Region = Annotated[str, Field(pattern=r"^(us|eu|ap|uk|ca|jp|me|sa|af|mx|il)(-[a-z]+)?(-?[0-9]+)?$")]


class ComputeCommon(Section):
    device: DeviceName
    processes: Count | None  # that share a training run; null: one for each GPU
    checkpoint_every_s: Positive


class LocalCompute(ComputeCommon):
    backend: Literal["local"]


class ModalMachine(Section):
    """The machine of one stage on Modal. Without a request a container has an eighth of a core: hence the defaults here."""

    gpu: GpuType | None  # null: none
    count: Annotated[int, Field(ge=1, le=8)]  # of GPUs
    cpu: Annotated[float, Field(ge=0.125, le=64)] = 4.0  # physical cores
    memory_mb: Annotated[int, Field(ge=512, le=344_064)] = 16_384

    @model_validator(mode="after")
    def _exists(self) -> Self:
        if self.gpu in ("A10", "A10G") and self.count > 4:
            raise ValueError(f"count {self.count}: Modal has at most 4 {self.gpu} in a machine")
        if self.gpu is None and self.count != 1:
            raise ValueError(f"count {self.count} without a gpu: must be 1")
        return self

    @property
    def gpus(self) -> int:
        return 0 if self.gpu is None else self.count

    def __str__(self) -> str:
        return f"{self.cpu:g} cores" if self.gpu is None else f"{self.count} x {self.gpu}"


class ModalCompute(ComputeCommon):
    """The stages in `machines` run on Modal, the others here. Names are those of the Modal workspace."""

    backend: Literal["modal"]
    app: AppName  # the name on Modal has a hash of the sources as well
    environment: ModalName | None  # null: the workspace's own
    volume: ModalName  # for inputs, checkpoints and outputs
    secrets: list[ModalName]  # whose variables the jobs see, WANDB_API_KEY for example
    regions: list[Region]  # empty: wherever there is a machine
    timeout_s: Annotated[int, Field(ge=1, le=24 * 3600)]  # of one attempt
    retries: Annotated[int, Field(ge=0, le=10)]
    connection_timeout_s: Positive  # without a connection for so long, this end gives up waiting
    machines: dict[RemoteStage, ModalMachine]
    usd_per_hour: dict[GpuType, NonNegative]  # of one GPU, for the estimate of what a run costs

    @model_validator(mode="after")
    def _is_priced(self) -> Self:
        for stage, machine in self.machines.items():
            if machine.gpu is not None and machine.gpu not in self.usd_per_hour:
                raise ValueError(f"usd_per_hour has no price for {machine.gpu}, the GPU of {stage}")
        return self

    @model_validator(mode="after")
    def _uses_its_machines(self) -> Self:
        """Whether each stage can run on its machine, and uses all that is paid for."""
        for stage, machine in self.machines.items():
            if machine.gpu is None:
                if self.device == "cuda" and stage not in CORES_ONLY:
                    raise ValueError(f"machines.{stage} has no gpu, and device is cuda; use device: auto")
                continue
            if stage in CORES_ONLY:
                raise ValueError(f"machines.{stage}.gpu {machine.gpu}: {stage} uses no GPU; use gpu: null and cpu")
            if self.device == "cpu":
                raise ValueError(
                    f"device: cpu would leave the {machine} of {stage} idle; use device: auto or gpu: null"
                )
            if stage not in TRAININGS and machine.count > 1:
                raise ValueError(f"machines.{stage}.count {machine.count}: {stage} uses one GPU at most")
            if stage in TRAININGS and self.processes not in (None, machine.count):
                raise ValueError(
                    f"processes {self.processes} on the {machine} of {stage}: must be {machine.count}, or null for one a GPU"
                )
        return self
