"""What makes the student better on few photos: one change of distill=adversarial at a time, judged on validation photos.

    python benchmarks/student_recipe.py CLONE [--only NAME ...] [--steps 200]

CLONE is a clone in which the pipeline ran with data=oxford_pets: its photos, generator and classifier are read; the test split is
not. Variants that are in the result already are not run again, so that it can be stopped and repeated. Writes
benchmarks/results/student_recipe.json and docs/student_recipe.png.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from machine import ROOT, machine, write_tables
from tinycats.backbones.features import WITHOUT, FrozenFeatures, feature_name, features_of
from tinycats.classifier.network import Classifier
from tinycats.data.processed import load_classes, load_split
from tinycats.distillation.training import distill_generator
from tinycats.evaluation.comparison import distances, reference_marks
from tinycats.evaluation.distribution import labels_in_proportion
from tinycats.evaluation.inference import generate, noise_images, predict
from tinycats.figures.sheets import class_grid, save_png
from tinycats.generator.network import TinyDiT
from tinycats.generator.sampler import student_sampler, teacher_sampler
from tinycats.runtime.errors import one_line_errors
from tinycats.runtime.run_settings import RunSettings
from training import composed

CPU = torch.device("cpu")
RESULT, PICTURE = ROOT / "benchmarks/results/student_recipe.json", "student_recipe.png"
SEED = 0
STEPS = (4, 2, 1)
IMAGES_PER_CLASS = 20
FEWEST_RESAMPLES = 50  # that the parameter may be


@dataclass(frozen=True)
class Variant:
    about: str
    changes: Sequence[str] = ()  # of distill.adversary, as overrides


VARIANTS = {
    "base": Variant("conf/distill/adversarial.yaml"),
    "consistency 0": Variant("none beside the adversary", ["consistency_weight=0"]),
    "consistency 8": Variant("a third of its weight", ["consistency_weight=8"]),
    "consistency 48": Variant("twice its weight", ["consistency_weight=48"]),
    "consistency 96": Variant("four times its weight", ["consistency_weight=96"]),
    "no reconstruction": Variant("none towards the images that were noised", ["reconstruction_weight=0"]),
    "reconstruction 12": Variant("four times its weight", ["reconstruction_weight=12"]),
    "no own steps": Variant("later times start from noised images alone", ["own_share=0"]),
    "own steps alone": Variant("later times start where the student leads alone", ["own_share=1"]),
    "no probe": Variant("the class from the heads alone", ["class_weight=0"]),
    "probe 1": Variant("more of the probe", ["class_weight=1"]),
    "weak heads": Variant("a quarter of the channels at half of the rate", ["channels=16", "head_lr=0.5"]),
    "no augmentation": Variant("of what the discriminator sees", ["augmentation=[]"]),
}


class Judge:
    """The validation photos of a clone, and the networks that compare generated images with them."""

    def __init__(self, clone: Path) -> None:
        params = composed("data=oxford_pets")
        self.processed, size = clone / "data/processed" / params.dit.view, params.dit.image_size
        self.classes, _ = load_classes(self.processed)
        # Of the intervals nothing is shown
        self.settings = params.evaluate.model_copy(update={"bootstrap": FEWEST_RESAMPLES})
        self.features = feature_name(self.settings.features)
        self.frozen = FrozenFeatures(self.settings.features, WITHOUT)
        real, train = (load_split(self.processed, name, size) for name in ("val", "train"))
        self.real = features_of(self.frozen, real.images)
        self.labels = labels_in_proportion(real.labels, IMAGES_PER_CLASS * len(self.classes))
        noise = noise_images(SEED, len(self.labels), size)
        of_train, of_noise = (features_of(self.frozen, images) for images in (train.images, noise))
        self.marks = reference_marks(self.real, of_train, of_noise, SEED)
        self.classifier = Classifier.from_pretrained(clone / "models/classifier").eval()

    def __call__(self, images: np.ndarray) -> dict[str, float]:
        found = distances(self.features, self.real, features_of(self.frozen, images), self.marks, self.settings, SEED)
        predicted = predict(self.classifier, images, CPU)[0].argmax(axis=1)
        names = np.array(self.classifier.config.classes)[predicted]
        return {
            "fd_share": found[f"fd_{self.features}_share"],
            **{key: found[f"{key}_{self.features}"] for key in ("kd", "precision", "recall", "diversity")},
            "agreement": float((names == np.array(self.classes)[self.labels]).mean()),
        }


def run(name: str, judge: Judge, clone: Path, steps: int) -> tuple[dict[str, Any], np.ndarray]:
    """Train and judge one variant: its figures, and an image of each class in four steps."""
    changes = (f"distill.adversary.{change}" for change in VARIANTS[name].changes)
    params = composed("data=oxford_pets", f"distill.steps={steps}", *changes)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch:
        output = Path(scratch, "student")
        distill_generator(
            judge.processed, clone / "models/generator", output, Path(scratch, "metrics"),
            seed=SEED, mirror=params.mirror, guidance=teacher_sampler(params.sampler), training=params.distill,
            run=RunSettings(Path(scratch, "runs"), device="cpu"),
        )  # fmt: skip
        took_s = time.perf_counter() - started
        model = TinyDiT.from_pretrained(output).eval()
    by_steps = {str(count): judge(generate(model, judge.labels, student_sampler(count), SEED, CPU)) for count in STEPS}
    shown = generate(model, range(len(judge.classes)), student_sampler(STEPS[0]), SEED, CPU)
    return {"seconds": took_s, "by_steps": by_steps}, shown


def write(before: dict[str, Any], found: dict[str, Any], judge: Judge, steps: int) -> None:
    figures = {
        "FD share": ("fd_share", ".3f"),
        "KD": ("kd", ".2f"),
        "precision": ("precision", ".2f"),
        "recall": ("recall", ".2f"),
        "diversity": ("diversity", ".2f"),
        "class agreement": ("agreement", ".0%"),
    }
    rows = [
        [name, of["about"], f"{of['seconds']:.0f}"]
        + [" / ".join(format(of["by_steps"][str(n)][key], form) for n in STEPS) for key, form in figures.values()]
        for name, of in found.items()
    ]
    notes = (
        f"{steps} steps from the teacher of the run on Oxford-IIIT Pet, one seed. {len(judge.labels)} images beside the "
        f"{len(judge.real)} faces of the validation split, by the features of {judge.features}; each figure in "
        f"{' / '.join(map(str, STEPS))} steps. Few real images: differences of a few hundredths are chance. The machine "
        "had other work at times (probe 1)."
    )
    if gone := [name for name in found if name not in VARIANTS]:
        notes += f" {', '.join(gone)}: options that were not worth their code, and are gone from it."
    table = {"head": ["variant", "", "seconds", *figures], "rows": rows}
    write_tables("student_recipe", before, notes, [table], picture=PICTURE)
    content = json.loads(RESULT.read_text())
    RESULT.write_text(json.dumps({**content, "measured": found}, indent=2) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clone", type=Path)
    parser.add_argument("--only", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--images", type=Path, default=ROOT / ".tinycats/student_recipe", help="where images are kept")
    arguments = parser.parse_args()
    before = machine()
    arguments.images.mkdir(parents=True, exist_ok=True)
    judge = Judge(arguments.clone)
    for name in arguments.only:
        found = json.loads(RESULT.read_text())["measured"] if RESULT.exists() else {}
        if name in found:
            continue
        figures, shown = run(name, judge, arguments.clone, arguments.steps)
        np.save(arguments.images / f"{name}.npy", shown)
        found[name] = {"about": VARIANTS[name].about, **figures}
        rows = {name: np.load(path) for name in found if (path := arguments.images / f"{name}.npy").exists()}
        save_png(class_grid(np.concatenate([*rows.values()]), [*rows]).quantize(256), ROOT / "docs" / PICTURE)
        write(before, found, judge, arguments.steps)


if __name__ == "__main__":
    with one_line_errors():
        main()
