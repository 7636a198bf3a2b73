"""params.yaml as one typed object.

Every value comes from params.yaml, which DVC composes from conf/: there are no defaults here, but for what a machine on Modal
has besides its GPUs. An unknown key, a wrong type, a value out of range or an impossible combination is one line, before any
work starts.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

import semver
import yaml
from pydantic import AfterValidator, Field, ValidationError, field_validator, model_validator

from tinycats.runtime.compute_params import LocalCompute, ModalCompute
from tinycats.runtime.errors import UserError
from tinycats.runtime.networks import NetworkName
from tinycats.runtime.section import Count, Fraction, NonNegative, OpenFraction, Positive, Section
from tinycats.runtime.section import DeviceName as DeviceName

ImageSize = Annotated[int, Field(ge=16, le=1024)]
MAX_STEPS, MAX_GUIDANCE = 1000, 100  # of a sampler
Md5 = Annotated[str, Field(pattern="^[0-9a-f]{32}$")]
Precision = Literal["auto", "fp32", "bf16", "fp16"]
AugmentationLevel = Literal["none", "basic", "full"]
Schedule = Literal["constant", "cosine"]
Objective = Literal["consistency", "adversarial"]
Differentiable = Literal["colour", "translation", "cutout"]
Fit = Literal["crop", "stretch"]  # how an image becomes a square: its middle, or all of it with other proportions
View = Literal["photo", "face"]  # what of the data: whole photos, or a square around the face in each
FaceSource = Literal["boxes", "cat_face"]  # heads' boxes that came with the data, or OpenCV's detector of cats' faces


def _check_place(path: str) -> str:
    """A path as it stands: DVC, which watches it, knows neither home folders nor addresses."""
    if not path:
        raise ValueError("must name a folder, tar or zip, got ''")
    if path.startswith("~"):
        raise ValueError(f"~ is not expanded here; write the whole path, for example with $HOME, got {path!r}")
    if "://" in path:
        raise ValueError(f"is an address; download it first and name the file, got {path!r}")
    return path


Place = Annotated[str, AfterValidator(_check_place)]


def check_version(version: str) -> str:
    """Return it. Raise ValueError where it is no version as https://semver.org has it."""
    if not semver.Version.is_valid(version):
        raise ValueError(f"must be MAJOR.MINOR.PATCH, such as 1.2.0, got {version!r}")
    return version


class DataCommon(Section):
    """What fetch makes data/raw of."""

    extra: list[Place]  # further folders, tars or zips of class folders, merged by class name
    watch: str  # a path whose content decides whether fetch runs again


class SyntheticData(DataCommon):
    source: Literal["synthetic"]
    images_per_class: Annotated[int, Field(ge=4)]
    size_px: ImageSize


class Archives(Section):
    """Local copies of the two archives, with md5 sums of their own; all null: download them."""

    images: str | None
    images_md5: Md5 | None
    annotations: str | None
    annotations_md5: Md5 | None

    @model_validator(mode="after")
    def _all_or_none(self) -> Self:
        missing = [name for name, value in self if value is None]
        if 0 < len(missing) < 4:
            raise ValueError(f"{' and '.join(missing)} must be set too")
        return self


class OxfordPetsData(DataCommon):
    source: Literal["oxford_pets"]
    archives: Archives
    other_max: Count  # images of dogs kept as `other`, spread evenly over the breeds


class ImageFolderData(DataCommon):
    source: Literal["image_folder"]
    path: Place  # directory, tar or zip of class/name.jpg or train|valid|test/class/name.jpg

    @field_validator("path")
    @classmethod
    def _is_set(cls, path: str) -> str:
        if path == "???":  # Hydra's word for a value that must be given
            raise ValueError("is not set; name your photos with -S data.path=PATH")
        return path


class PreprocessParams(Section):
    val_fraction: OpenFraction
    test_fraction: OpenFraction
    min_side_px: Count
    max_pixels: Count  # more is treated as a decompression bomb
    fit: Fit
    max_bad_fraction: Fraction
    other_class: str | None  # the class that is not a cat, if the data has one
    features: NetworkName | None  # of this network, by which the data is looked at; null: it is not
    near_duplicates: Literal["drop", "report"]
    face: FaceSource | None  # how the view `face` is made; null: it is not
    min_faces: Count  # in the training split, of a class that the view `face` has

    @model_validator(mode="after")
    def _leaves_some_for_training(self) -> Self:
        if self.val_fraction + self.test_fraction >= 0.9:
            raise ValueError("val_fraction + test_fraction must stay below 0.9, otherwise nothing is left to train on")
        return self

    @model_validator(mode="after")
    def _has_features_for_near_duplicates(self) -> Self:
        if self.features is None and self.near_duplicates == "drop":
            raise ValueError("features: null finds no near-duplicates to drop; use near_duplicates: report as well")
        return self


class TrainingParams(Section):
    """What every training run has: the loop's parameters. The values that most share are in conf/training.yaml."""

    batch_size: Annotated[int, Field(ge=2)]
    accumulation: Count  # micro-batches of a step
    lr: Positive
    schedule: Schedule
    beta1: Annotated[float, Field(ge=0, lt=1)]  # of AdamW's running mean of gradients
    beta2: OpenFraction  # of their squares
    weight_decay: NonNegative
    clip_norm: Positive
    ema_decay: Annotated[float, Field(ge=0, lt=1)] | None  # of the averaged weights; null: no average is kept
    augmentation: AugmentationLevel
    precision: Precision
    compile: bool

    @model_validator(mode="after")
    def _divides(self) -> Self:
        if self.batch_size % self.accumulation:
            raise ValueError(f"accumulation {self.accumulation} does not divide batch_size {self.batch_size}")
        return self


class ClassifierParams(TrainingParams):
    arch: NetworkName
    pretrained: bool  # start from ImageNet weights
    image_size: ImageSize  # of the images that are classified
    source_size: ImageSize | None  # of the images that random crops are cut from; null: image_size
    crop_size: ImageSize | None  # to which the crops that training sees are brought; null: image_size
    epochs: Count
    max_steps: Count | None  # ends the run earlier; null: after `epochs`
    warmup_fraction: Fraction  # of all steps
    head_lr: Positive  # times lr: the learning rate of the linear head, which nothing has trained before
    label_smoothing: Annotated[float, Field(ge=0, lt=1)]
    min_crop: Annotated[float, Field(gt=0, le=1)]  # share of the area that a random crop keeps at least
    small_share: Fraction  # of the images, shown as small ones that were enlarged
    mixup: NonNegative  # alpha of the beta distribution; 0 switches MixUp off
    cutmix: Fraction  # of the batches, with a rectangle of another image in each instead of MixUp
    small_first: Fraction  # of all steps, the first ones, which train at two thirds of the size
    flip_at_test: bool  # average over an image and its mirror image, where `mirror` allows it: takes twice as long
    early_stopping_epochs: Count | None  # epochs without a better validation accuracy; null: never

    @model_validator(mode="after")
    def _crops_are_cut(self) -> Self:
        if self.augmentation != "full" and (self.small_first or self.source_size or self.crop_size):
            raise ValueError("small_first, source_size and crop_size need augmentation: full, which cuts the crops")
        return self


class DitParams(Section):
    """TinyDiT's size, and what it is trained on."""

    view: View
    image_size: ImageSize
    patch_size: Count
    width: Annotated[int, Field(ge=1, le=16_384)]
    depth: Annotated[int, Field(ge=1, le=512)]
    heads: Count

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.image_size % self.patch_size:
            raise ValueError(f"patch_size {self.patch_size} does not divide image_size {self.image_size}")
        if self.width % self.heads:
            raise ValueError(f"heads {self.heads} does not divide width {self.width}")
        if self.width % 4:
            raise ValueError(f"width {self.width} is not a multiple of 4, which the sin-cos positions need")
        return self


class GeneratorTrainingParams(TrainingParams):
    """What the training runs of the generator and its student share."""

    steps: Count
    warmup_steps: Annotated[int, Field(ge=0)]
    gradient_checkpointing: bool


class TrainParams(GeneratorTrainingParams):
    """Training of the generator."""

    label_dropout: OpenFraction
    t_mean: float  # of the logit-normal distribution of t (t=0 noise, t=1 data)
    t_std: Positive


class AdversaryParams(Section):
    """The discriminator of the adversarial objective, and what the student learns beside it."""

    network: NetworkName  # whose frozen features it sees
    feature_size: ImageSize  # of the images as the network sees them
    channels: Count  # of its heads
    head_lr: Positive  # times lr
    augmentation: list[Differentiable]  # of real and generated images alike, before the network sees them
    start_share: OpenFraction  # of the images that start from noise; the others start at later times, equally often
    own_share: Fraction  # of the others, that start where the student's own steps led to
    reconstruction_weight: NonNegative  # times t: how near the image is to the one that was noised
    class_weight: NonNegative  # of the cross-entropy by a linear probe of the class
    consistency_weight: NonNegative  # of the other objective, on the same images


class DistillParams(GeneratorTrainingParams):
    """Training of the student; how the teacher is guided is the sampler's business."""

    objective: Objective
    levels: Annotated[int, Field(ge=1, le=6)]  # the shortest step is 2 ** -levels
    teacher_share: OpenFraction  # of the images that learn the shortest step; for consistency alone
    teacher_steps: Count  # Euler steps of the teacher in the shortest step of the student
    adversary: AdversaryParams | None  # null: the objective has none

    @model_validator(mode="after")
    def _has_its_adversary(self) -> Self:
        if self.objective == "adversarial" and self.adversary is None:
            raise ValueError("objective adversarial needs an adversary; use distill=adversarial, which has one")
        return self


class SamplerSettings(Section):
    """How a generator makes images: steps from noise to data, and guidance, which a student has baked in."""

    method: Literal["euler", "heun"]
    steps: Annotated[int, Field(ge=1, le=MAX_STEPS)]
    guidance: Annotated[float, Field(ge=0, le=MAX_GUIDANCE)]  # 1 is no guidance
    guidance_low: Fraction  # guidance applies where guidance_low <= t < guidance_high
    guidance_high: Fraction

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.guidance_low >= self.guidance_high:
            raise ValueError(f"guidance_low {self.guidance_low} is not below guidance_high {self.guidance_high}")
        return self


class SamplerParams(SamplerSettings):
    """The teacher's sampler, and in how many steps its student makes images."""

    student_steps: Count


class EvaluateParams(Section):
    samples_per_class: Annotated[int, Field(ge=2)]  # on average: classes are as frequent as in the test split
    neighbours: Count  # k of precision and recall
    bootstrap: Annotated[int, Field(ge=50)]  # resamples for the intervals
    features: NetworkName  # of timm, whose frozen features tell how far generated images are from real ones
    inception: bool  # FID, KID and IS too, where the weights are available
    latency_runs: Annotated[int, Field(ge=3)]


class ExportParams(Section):
    opset: Annotated[int, Field(ge=18, le=25)]
    parity_images: Annotated[int, Field(ge=2)]
    classifier_tolerance: Positive  # largest difference of a probability
    generator_tolerance: Positive  # largest difference of a prediction in [-1, 1]


class QuantizeParams(Section):
    calibration_images: Annotated[int, Field(ge=2)]
    samples_per_class: Annotated[int, Field(ge=2)]  # on average, for the Fréchet distance before and after
    sampler_steps: Count
    max_accuracy_drop: Fraction
    max_fd_increase: NonNegative  # as a fraction of the Fréchet distance before


class Gate(Section):
    metric: str  # file.key.key, as in metrics/: evaluate.classifier.top1
    bound: float
    direction: Literal["min", "max"]


class HubParams(Section):
    """The Hugging Face Hub. The token is no parameter: it comes from HF_TOKEN or from `hf auth login`."""

    repo_id: str | None  # user/name; null: nothing is uploaded
    space_id: str | None  # user/name of a Space with the web page; null: there is none
    private: bool  # when a repository is created

    @field_validator("repo_id", "space_id")
    @classmethod
    def _is_a_repo_id(cls, repo_id: str | None) -> str | None:
        if repo_id is not None:
            check_repo_id(repo_id)
        return repo_id


class DataCard(Section):
    """How the model card names the data."""

    title: str
    licence: str  # an SPDX name or words
    attribution: str | None  # whom the licence asks to name, without a full stop at its end


class PublishParams(Section):
    name: str  # of the published models
    repository: str | None  # owner/name on GitHub: where this code is, for the card's links to its notebooks
    version: Annotated[str, AfterValidator(check_version)] | None  # 1.2.0, where a release has one
    data: DataCard
    licence: str  # of the weights
    adapters: list[str]  # directories of adapters of the generator
    hub: HubParams
    gates: list[Gate]


class LoggingCommon(Section):
    every_steps: Count  # steps between two points of the curves


class DvcliveLogging(LoggingCommon):
    backend: Literal["dvclive"]


class WandbLogging(LoggingCommon):
    """DVCLive, and Weights & Biases as well."""

    backend: Literal["wandb"]
    project: str
    entity: str | None  # null: the key's own
    mode: Literal["online", "offline"]


class RunMonitor(Section):
    guard_steps: Count | None  # the loss must have fallen so many steps after the warm-up; null: it is not looked at


class SampledRunMonitor(RunMonitor):
    sample_every: Count  # steps between two sample grids


class MonitorParams(Section):
    """What is looked at while a network trains. Cannot change the network, so no stage depends on it."""

    train_classifier: RunMonitor
    train_dit: SampledRunMonitor
    distill: SampledRunMonitor


class Params(Section):
    seed: Annotated[int, Field(ge=0, lt=2**63)]
    mirror: bool  # whether a mirrored image is still of its class, in augmentation and at test time
    data: Annotated[SyntheticData | OxfordPetsData | ImageFolderData, Field(discriminator="source")]
    preprocess: PreprocessParams
    classifier: ClassifierParams
    dit: DitParams
    train: TrainParams
    distill: DistillParams
    sampler: SamplerParams
    evaluate: EvaluateParams
    export: ExportParams
    quantize: QuantizeParams
    publish: PublishParams
    compute: Annotated[LocalCompute | ModalCompute, Field(discriminator="backend")]
    logging: Annotated[DvcliveLogging | WandbLogging, Field(discriminator="backend")]
    monitor: MonitorParams

    @model_validator(mode="after")
    def _learns_its_steps(self) -> Self:
        learned = [2**level for level in range(self.distill.levels + 1)]
        if self.sampler.student_steps not in learned:
            raise ValueError(
                f"sampler.student_steps: must be one of {learned}, which distill.levels {self.distill.levels} teaches, "
                f"got {self.sampler.student_steps}"
            )
        return self

    @model_validator(mode="after")
    def _makes_its_view(self) -> Self:
        if self.dit.view == "face" and self.preprocess.face is None:
            raise ValueError("dit.view: face needs preprocess.face: boxes or cat_face, got null")
        return self

    @model_validator(mode="after")
    def _judges_with_another_network(self) -> Self:
        network = self.adversary_network
        if network is not None and network.split(".")[0] == self.evaluate.features.split(".")[0]:
            raise ValueError(
                f"evaluate.features: {self.evaluate.features} is distill.adversary.network too, and a student that was trained "
                "against a network is not to be judged by it"
            )
        return self

    @model_validator(mode="after")
    def _lets_the_adversary_win(self) -> Self:
        if self.adversary_network is not None and self.monitor.distill.guard_steps is not None:
            raise ValueError("monitor.distill.guard_steps: must be null, since the loss of an adversary need not fall")
        return self

    @property
    def adversary_network(self) -> str | None:
        """That of the student's adversary, if it has one."""
        adversary = self.distill.adversary
        return adversary.network if self.distill.objective == "adversarial" and adversary else None

    @model_validator(mode="after")
    def _keeps_its_logs(self) -> Self:
        remote = isinstance(self.compute, ModalCompute) and self.compute.machines
        if remote and isinstance(self.logging, WandbLogging) and self.logging.mode == "offline":
            raise ValueError(
                "logging.mode: offline runs would be lost with the container on Modal; use online and compute.secrets"
            )
        return self


def check_repo_id(repo_id: str) -> None:
    """Raise ValueError where the Hugging Face Hub knows no such name for a repository."""
    from huggingface_hub.utils import HFValidationError, validate_repo_id  # slow to import, and seldom needed

    if repo_id.count("/") != 1:
        raise ValueError(f"must be user/name, got {repo_id!r}")
    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        raise ValueError(" ".join(str(error).split())) from None


def parse_params(content: Any, where: str) -> Params:
    """Validate the composed parameters. Raises UserError naming each wrong key, what it got and what it may be."""
    try:
        return Params.model_validate(content)
    except ValidationError as error:
        problems = [_describe(detail) for detail in error.errors(include_url=False)]
        raise UserError(f"{where}: {'; '.join(problems)}") from None


def load_params(path: Path) -> Params:
    """Read and validate params.yaml."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(
            f"{path}: not found; run this from the repository root, or `tinycats params` to make it"
        ) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # of a date that is none, for example
        raise UserError(f"{path}: is not YAML: {' '.join(str(error).split())}") from None
    return parse_params(content, str(path))


def _describe(detail: Any) -> str:
    location = detail["loc"]
    # the union's tag stands second in the location, but is no key
    if location and location[0] in ("data", "compute", "logging"):
        location = (location[0], *location[2:])
    key = ".".join(str(part) for part in location) or "the whole file"
    if detail["type"] == "extra_forbidden":
        return f"{key}: unknown key"
    if detail["type"] == "missing":
        return f"{key}: is missing"
    message = detail["msg"].removeprefix("Value error, ")
    if detail["type"] == "value_error":
        return f"{key}: {message}" if location else message
    got = detail["input"]
    return f"{key}: {message[0].lower()}{message[1:]}" + ("" if isinstance(got, dict) else f", got {got!r}")
