"""The student compared with its teacher, on a finished pipeline: python benchmarks/few_steps.py NAME --root DIR

DIR is a checkout after `dvc repro`: its params.yaml, data/processed and models are read. NAME names the run (default,
oxford_pets). Writes benchmarks/results/few_steps_NAME.json and docs/few-steps-NAME.png.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from machine import ROOT, machine, write_tables
from tinycats.backbones.features import FrozenFeatures, feature_name, features_of
from tinycats.classifier.network import Classifier
from tinycats.data.processed import load_classes, load_split
from tinycats.evaluation.distribution import frechet_distance, kernel_distance
from tinycats.evaluation.few_steps import Way, few_step_grid
from tinycats.evaluation.inference import generate, predict
from tinycats.figures.sheets import save_png
from tinycats.generator.network import TinyDiT
from tinycats.generator.sampler import student_sampler, teacher_sampler
from tinycats.runtime.devices import resolve_device
from tinycats.runtime.errors import one_line_errors
from tinycats.runtime.params import SamplerSettings, load_params

REFERENCE_STEPS = 50
# Steps of the student -> Fréchet distance at most this many times the reference's
AIMS = {4: 1.10, 1: 1.35}
AGREEMENT_AIM = 0.03  # class agreement at most this much lower than the reference's
SHOWN = (("teacher", REFERENCE_STEPS), ("teacher", 4), ("student", 4), ("student", 2), ("student", 1))


@dataclass(frozen=True)
class Measured:
    pictures: np.ndarray  # uint8 [N, S, S, 3]
    evaluations: float  # of the network, for one picture
    fd: float
    kd: float
    agreement: float


def compared(teacher: SamplerSettings) -> dict[tuple[str, int], Way]:
    """By model and steps."""
    steps = sorted({REFERENCE_STEPS, teacher.steps, 4}, reverse=True)
    ways = [Way("", "teacher", teacher.model_copy(update={"steps": each})) for each in steps]
    ways += [Way("", "student", student_sampler(each)) for each in (4, 2, 1)]
    return {(way.model, way.sampler.steps): way for way in ways}


def row(way: Way, found: Measured, reference: Measured) -> list[str]:
    who, steps = way.model, way.sampler.steps
    ratio, higher = found.fd / reference.fd, found.agreement - reference.agreement
    aim = "-"
    if who == "student" and steps in AIMS:
        met = ratio <= AIMS[steps] and higher >= -AGREEMENT_AIM
        aim = f"FD x {AIMS[steps]:.2f}, agreement - {100 * AGREEMENT_AIM:g}: {'met' if met else 'missed'}"
    figures = [f"{found.fd:.3f}", f"{ratio:.2f}", f"{found.kd:.4f}", f"{found.kd / reference.kd:.2f}"]
    return [
        who,
        str(steps),
        f"{found.evaluations:.1f}",
        *figures,
        f"{found.agreement:.1%}",
        f"{100 * higher:+.1f}",
        aim,
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name")
    parser.add_argument("--root", type=Path, default=Path())
    parser.add_argument("--count", type=int, default=40, help="pictures of each class")
    parser.add_argument("--note", default="", help="a sentence for the table: what the pictures look like, for example")
    parser.add_argument("--seed", type=int, default=0, help="of the noise, the same for all")
    arguments = parser.parse_args()
    root: Path = arguments.root
    before, device = machine(), resolve_device("auto")
    params = load_params(root / "params.yaml")
    teacher = teacher_sampler(params.sampler)
    processed = root / "data/processed"
    classes, _ = load_classes(processed)
    classifier = Classifier.from_pretrained(root / "models/classifier").to(device)
    frozen = FrozenFeatures(params.evaluate.features, "").to(device)
    generators = {
        who: TinyDiT.from_pretrained(root / "models" / name).to(device)
        for who, name in (("teacher", "generator"), ("student", "student"))
    }
    test = load_split(processed, "test", generators["teacher"].config.image_size)
    real = features_of(frozen, test.images)
    labels = np.repeat(np.arange(len(classes)), arguments.count)

    def measure(model: TinyDiT, settings: SamplerSettings) -> Measured:
        asked = 0

        def count(_: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
            nonlocal asked
            asked += len(inputs[0])

        hook = model.register_forward_pre_hook(count)
        pictures = generate(model, labels, settings, arguments.seed, device)
        hook.remove()
        features = features_of(frozen, pictures)
        right = predict(classifier, pictures, device)[0].argmax(axis=1) == labels
        distances = frechet_distance(real, features), kernel_distance(real, features)
        return Measured(pictures, asked / len(labels), *distances, float(right.mean()))

    ways = compared(teacher)
    found = {key: measure(generators[way.model], way.sampler) for key, way in ways.items()}
    reference = found["teacher", REFERENCE_STEPS]
    head = ["", "steps", "evaluations a picture", "FD", "x teacher's", "KD", "x teacher's"]
    head += ["class agreement", "points", "aim"]
    notes = (
        f"{len(labels)} pictures ({arguments.count} of each class, the same noise in every row, seed {arguments.seed}) "
        f"against {len(test.images)} test pictures; FD and KD are those of {feature_name(params.evaluate.features)}'s "
        "frozen features. "
        f"The teacher is guided with {teacher.guidance:g} where "
        f"{teacher.guidance_low:g} <= t < {teacher.guidance_high:g}; in {teacher.steps} steps it is sampled by default. "
        f"Ratios and points are against the teacher in {REFERENCE_STEPS} steps. Picture: a row a class, all from the same "
        "noise; the number above each column is that of its steps."
    )
    notes = f"{notes} {arguments.note}".strip()
    picture = f"few-steps-{arguments.name}.png"
    grid = few_step_grid([found[key].pictures for key in SHOWN], [ways[key] for key in SHOWN], classes)
    save_png(grid, ROOT / "docs" / picture)
    write_tables(
        f"few_steps_{arguments.name}",
        before,
        notes,
        [{"head": head, "rows": [row(way, found[key], reference) for key, way in ways.items()]}],
        command=f"few_steps.py {arguments.name}",
        picture=picture,
    )


if __name__ == "__main__":
    with one_line_errors():
        main()
