"""The model card: README.md with the Hub's YAML header. Every number in it comes from a metrics or a model file.

Its text is card.md.jinja, whose Python runs, in this order, in the published folder.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jinja2
from huggingface_hub import EvalResult, ModelCard, ModelCardData
from torch import nn

from tinycats.classifier.network import Classifier
from tinycats.generator.network import TinyDiT
from tinycats.publishing.figures import figures, show
from tinycats.publishing.layout import CARD_NAME
from tinycats.runtime.files import read_json

MARKUP = re.compile(r"([\\`*_{}\[\]<>#|~$&!])")  # of Markdown, HTML and formulas
TEMPLATE = Path(__file__).with_name("card.md.jinja")
GENERATION = ("unconditional-image-generation", "class-conditional image generation")
# Section of evaluate.json -> (the Hub's task, its name). The card has only what was measured.
TASKS = {
    "classifier": ("image-classification", "image classification"),
    "generator": GENERATION,
    "student": GENERATION,
    "inception": GENERATION,
}
# Section of evaluate.json -> key -> (the Hub's metric type, name for people)
METRICS = {
    "classifier": {
        "top1": ("accuracy", "top-1 accuracy"),
        "top5": ("top5_accuracy", "top-5 accuracy"),
        "macro_f1": ("f1", "macro F1"),
        "cat_or_other": ("accuracy", "cat-or-other accuracy"),
        "ece": ("expected_calibration_error", "expected calibration error"),
    },
    "inception": {
        "fid": ("fid", "FID"),
        "kid": ("kid", "KID"),
        "inception_score": ("inception_score", "Inception Score"),
    },
}
GENERATOR_METRICS = {
    "class_agreement": ("accuracy", "class agreement (the classifier's top-1 against the requested class)")
}
DISTANCES = {  # their keys go on with the name of the features
    "fd": "Fréchet distance",
    "kd": "kernel distance",
    "precision": "precision",
    "recall": "recall",
    "diversity": "diversity (1: generated images differ as much as test images)",
}
NOTEBOOKS = {  # file in notebooks/ -> what it is
    "01_quickstart_classification": "classify your own pictures",
    "02_conditional_generation": "generate cats of a breed",
    "03_training_fine_tuning": "train on your own photos",
}
PAIRS_LISTED = 10
FEW_STEPS_DISTANCES = ("fd", "kd")
NAMES = {key: name for part in METRICS.values() for key, (_, name) in part.items()} | {
    "class_agreement": GENERATOR_METRICS["class_agreement"][1],
    "class_agreement_of_test": "the same of test images of that size",
    "n": "test images",
    "ece_unscaled": "expected calibration error without temperature scaling",
    "n_accepted": 'test images with an answer other than "not sure"',
    "coverage": "their share",
    "accepted_precision": "share of these answers that are right",
    "unlike_test": 'test images that are "unlike the training images"',
    "n_generated": "generated images",
    "n_real": "test images",
    "n_train": "training images",
}


def write_card(
    folder: Path,
    manifest: Mapping[str, Any],
    classifier: Classifier,
    generators: Mapping[str, TinyDiT],
    metrics: Mapping[str, Any],
    gates: Mapping[str, Any],
    repo_id: str | None,
    metrics_dir: Path,
    repository: str | None,
) -> None:
    """Write README.md into `folder`, which has all other files except the manifest.

    metrics: {file name: content} of metrics_dir; gates: as check_gates returns them; repo_id: user/name on the Hub, if
    it is uploaded; repository: owner/name of the code on GitHub, if it is there.
    """
    evaluate = metrics.get("evaluate", {})
    features = features_name(evaluate)
    names = {**NAMES, **distance_names(features)}
    dataset = dataset_name(manifest["data"])
    synthetic = ["synthetic"] if manifest["data"]["synthetic"] else []
    header = ModelCardData(
        license=manifest["licence"],
        library_name="tinycats",
        pipeline_tag="image-classification",
        tags=["image-classification", "image-generation", "diffusion", "onnx", *synthetic],
        model_name=manifest["name"],
        eval_results=_eval_results(evaluate, features, manifest["data"]["source"], dataset) or None,
    )
    text = render(
        TEMPLATE,
        **{**manifest, "metrics": metrics},
        header=header.to_yaml(),
        repo_id=repo_id,
        repository=repository,
        notebooks=NOTEBOOKS,
        dataset=dataset,
        rows={key: metric_rows(evaluate.get(key, {}), names) for key in ("classifier", *generators, "inception")}
        | {key: metric_rows(metrics.get(key, {}), names) for key in ("export", "quantize")},
        few_steps=_few_steps(evaluate, features, manifest),
        features=features,
        gates={name: (show(gate["value"]), show(gate["bound"])) for name, gate in gates.items()},
        example_class=json.dumps(generators["generator"].config.classes[0]),
        arch=classifier.config.arch,
        parameters={name: f"{_count(model):,}" for name, model in (("classifier", classifier), *generators.items())},
        megabytes={path: f"{size / 1e6:.1f}" for path, size in _model_sizes(folder)},
        memorised=memorised(metrics_dir, evaluate),
        samples=sorted(path.name for path in (folder / "samples").iterdir()),
    )
    (folder / CARD_NAME).write_text(str(ModelCard(text)), encoding="utf-8")


def render(template: Path, **values: Any) -> str:
    # ModelCard.from_template would leave out what is undefined instead of failing, and takes no filters
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        trim_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["words"] = lambda counts: ", ".join(
        f"{n} {name.replace('_', ' ')}" for name, n in counts.items()
    )
    environment.filters["plain"] = lambda names: [MARKUP.sub(r"\\\1", name) for name in names]
    return environment.from_string(template.read_text(encoding="utf-8")).render(**values)


def dataset_name(data: Mapping[str, Any]) -> str:
    title = str(data["title"])
    return f"{title} (synthetic)" if data["synthetic"] and "synthetic" not in title.lower() else title


def features_name(evaluate: Mapping[str, Any]) -> str:
    """Of the network whose features the distances were measured with, as their keys say; empty where there are none."""
    return next((key.removeprefix("fd_") for key in evaluate.get("generator", {}) if key.startswith("fd_")), "")


def distance_names(features: str) -> dict[str, str]:
    """Key -> name for people of all that is measured with the features."""
    names = {f"{key}_{features}": f"{name}, {features}" for key, name in DISTANCES.items()}
    for kind in ("fd", "kd"):
        name = names[f"{kind}_{features}"]
        names[f"{kind}_{features}_floor"] = f"{name}: of as many training images"
        names[f"{kind}_{features}_noise"] = f"{name}: of noise"
        names[f"{kind}_{features}_share"] = f"{name}: 0 is that of training images, 1 of noise"
    return names


def _eval_results(evaluate: Mapping[str, Any], features: str, source: str, dataset: str) -> list[EvalResult]:
    generator = GENERATOR_METRICS | {
        f"{key}_{features}": (key, f"{name}, {features}") for key, name in DISTANCES.items()
    }
    student = {key: (kind, f"{name}, student") for key, (kind, name) in generator.items()}
    return [
        EvalResult(
            task_type=TASKS[section][0],
            task_name=TASKS[section][1],
            dataset_type=source,
            dataset_name=dataset,
            dataset_split="test",
            metric_type=metric_type,
            metric_name=name,
            metric_value=evaluate[section][key],
        )
        for section, names in {**METRICS, "generator": generator, "student": student}.items()
        for key, (metric_type, name) in names.items()
        if key in evaluate.get(section, {})
    ]


def metric_rows(section: Mapping[str, Any], names: Mapping[str, str] = NAMES) -> list[tuple[str, str]]:
    """(name, value) of every number in a nested section, for a table; an interval stands with its value."""
    rows = []
    for (*parents, key), value, interval in figures(section):
        name = ": ".join([*(parent.replace("_", " ") for parent in parents), names.get(key, key.replace("_", " "))])
        rows.append((name, f"{value} ({interval})" if interval else value))
    return rows


def _few_steps(evaluate: Mapping[str, Any], features: str, manifest: Mapping[str, Any]) -> list[list[str]]:
    """Rows of teacher and student in many and few steps: who, steps, distances, agreement; none if nothing was measured."""
    keys = [*(f"{key}_{features}" for key in FEW_STEPS_DISTANCES), "class_agreement"]
    teacher, student = (manifest[name]["sampler"]["steps"] for name in ("generator", "student"))
    parts = [
        ("teacher", teacher, evaluate.get("generator", {})),
        ("student", student, evaluate.get("student", {})),
    ]
    for name, measured in evaluate.get("few_steps", {}).items():
        who, steps = name.rsplit("_", 1)
        parts.append((who, int(steps), measured))
    parts.sort(key=lambda part: (part[0] == "student", -part[1]))
    return [
        [who, str(steps), *(show(measured[key]) if key in measured else "" for key in keys)]
        for who, steps, measured in parts
        if measured.keys() & set(keys)
    ]


def memorised(metrics_dir: Path, evaluate: Mapping[str, Any]) -> dict[str, Any] | None:
    """What evaluate found about copies of training images among the student's: figures, and the nearest pairs by features."""
    path = metrics_dir / "evaluate/nearest.json"
    copying = evaluate.get("student", {}).get("copying", {}).get("features")
    if not copying or not path.exists():
        return None
    rows = [row for row in read_json(path) if row["model"] == "student"]
    rows.sort(key=lambda row: row["features_distance"])
    pairs = [(row["class"], row["features_nearest"], show(row["features_distance"])) for row in rows[:PAIRS_LISTED]]
    return {"pairs": pairs, **{key: show(value) for key, value in copying.items()}}


def _count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def _model_sizes(folder: Path) -> Iterator[tuple[str, int]]:
    for pattern in ("*/model.safetensors", "*/*.onnx"):
        for path in sorted(folder.glob(pattern)):
            yield path.relative_to(folder).as_posix(), path.stat().st_size
