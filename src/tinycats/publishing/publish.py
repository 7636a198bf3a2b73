"""Gates, then the folder for the Hugging Face Hub, its upload and the web page's copy: whole or not at all."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tinycats.adapters.adapter import ADAPTER_CONFIG_NAME, ADAPTER_WEIGHTS_NAME, check_base, read_adapter
from tinycats.classifier.network import Classifier
from tinycats.generator.network import TinyDiT
from tinycats.generator.sampler import load_sampler, save_sampler
from tinycats.learning.pretrained import CONFIG_NAME, WEIGHTS_NAME
from tinycats.publishing.card import write_card
from tinycats.publishing.gates import check_gates
from tinycats.publishing.hub import Repository, upload
from tinycats.publishing.layout import GENERATORS, HEAD_NAME, MANIFEST_NAME
from tinycats.publishing.manifest import describe, describe_adapter, describe_classifier, describe_generator, list_files
from tinycats.publishing.revision import tag_name
from tinycats.publishing.space import write_space
from tinycats.runtime.errors import UserError
from tinycats.runtime.files import atomic_directory, scratch_directory, write_json
from tinycats.runtime.params import PublishParams
from tinycats.runtime.track import progress, track

METRICS = ("fetch", "preprocess", "evaluate", "export", "quantize")
MODEL_FILES = (CONFIG_NAME, WEIGHTS_NAME)
ONNX_FILES = ("classifier.onnx", *(f"{name}.onnx" for name in GENERATORS))


def publish(
    *,
    settings: PublishParams,
    source: str,
    classifier_dir: Path,
    generator_dirs: Mapping[str, Path],
    onnx_dir: Path,
    onnx_int8_dir: Path,
    metrics_dir: Path,
    output: Path,
    web: Path,
    frontend: Path,
    revision: str | None,
) -> dict[str, Any]:
    """Write `output` (the Hub repository) and `web` (what the page loads); return {"gates", "files", "bytes"}.

    `source`: of the data; the card says if it is "synthetic". `generator_dirs` has the keys of layout.GENERATORS, each
    directory with its sampler's settings next to it. settings.adapters go into `output` too. If settings.hub names a
    repository, `output` is uploaded to it before it appears, and {"hub": {"repo_id", "revision", "commit"}} returned too; if
    it names a Space, the page of `frontend` is built with the models and uploaded after them, and {"space"} returned alike.

    The same inputs give the same bytes. Raises UserError, leaving both as they were, if a gate fails, a file is missing or
    broken, an adapter was made for another generator, the page cannot be built, or an upload fails.
    """
    results = check_gates(settings.gates, metrics_dir)
    metrics = _read_metrics(metrics_dir)
    classifier = Classifier.from_pretrained(classifier_dir)
    generators = {name: TinyDiT.from_pretrained(generator_dirs[name]) for name in GENERATORS}
    samplers = {name: load_sampler(generator_dirs[name]) for name in GENERATORS}
    for generator_name, generator in generators.items():
        if unknown := [name for name in generator.config.classes if name not in classifier.config.classes]:
            raise UserError(
                f"{generator_dirs[generator_name]}: has a class {unknown[0]!r} that {classifier_dir} has not; train it again"
            )
    with atomic_directory(output) as hub, atomic_directory(web) as page, scratch_directory() as space:
        for folder in track((hub, page), "copying models"):
            _copy(onnx_dir, ONNX_FILES, folder / "onnx")
            _copy(onnx_int8_dir, ONNX_FILES, folder / "onnx_int8")
            _copy(onnx_dir, tuple(GENERATORS.values()), folder)
            (folder / HEAD_NAME).write_bytes(classifier.head.weight.detach().numpy().astype("<f4").tobytes())
        _copy(classifier_dir, MODEL_FILES, hub / "classifier")
        for generator_name, directory in generator_dirs.items():
            _copy(directory, MODEL_FILES, hub / generator_name)
            save_sampler(samplers[generator_name], hub / generator_name)
        _copy_samples(metrics_dir, hub / "samples")
        manifest = describe(
            name=settings.name,
            version=settings.version,
            licence=settings.licence,
            revision=revision,
            data={**settings.data.model_dump(), "source": source, "synthetic": source == "synthetic"},
            classifier=describe_classifier(classifier.config, hub, classifier.head.in_features),
            generators={
                key: describe_generator(key, generator.config, samplers[key], hub)
                for key, generator in generators.items()
            },
            adapters=_copy_adapters([Path(path) for path in settings.adapters], generator_dirs["generator"], hub),
            metrics=metrics,
        )
        repo_id, space_id = settings.hub.repo_id, settings.hub.space_id
        with progress("writing the model card"):
            write_card(
                hub, manifest, classifier, generators, metrics, results, repo_id, metrics_dir, settings.repository
            )
        files = list_files(hub)
        address = (
            {"repo_id": repo_id, "revision": tag_name(revision, {**manifest, "files": files})} if repo_id else None
        )
        for folder in (hub, page):
            write_json(folder / MANIFEST_NAME, {**manifest, "hub": address, "files": list_files(folder)})
        total = sum(file["bytes"] for file in files) + (hub / MANIFEST_NAME).stat().st_size
        summary = {"gates": results, "files": len(files) + 1, "bytes": total}
        if space_id:  # built before anything is uploaded
            with progress("building the page of the Space"):
                write_space(space, frontend, page, {**manifest, "hub": address})
        if repo_id and address:
            with progress(f"uploading {total / 1e6:.0f} MB to {repo_id}", lines_only=True):
                commit = upload(hub, Repository(repo_id), address["revision"], settings.hub.private, settings.version)
            summary["hub"] = {**address, "commit": commit}
        if space_id:
            tag = tag_name(revision, list_files(space))
            with progress(f"uploading the page to {space_id}", lines_only=True):
                commit = upload(space, Repository(space_id, "space"), tag, settings.hub.private, settings.version)
            summary["space"] = {"space_id": space_id, "revision": tag, "commit": commit}
    return summary


def _read_metrics(directory: Path) -> dict[str, Any]:
    """The existing metrics files. Raises UserError if one holds NaN or infinity, which the manifest cannot."""
    paths = {name: directory / f"{name}.json" for name in METRICS}
    metrics = {}
    for name, path in paths.items():
        if path.exists():
            try:
                metrics[name] = json.loads(path.read_bytes(), parse_constant=_refuse)
            except ValueError as error:
                raise UserError(f"{path}: {error}") from None
    return metrics


def _refuse(constant: str) -> None:
    raise ValueError(f"holds {constant}, which is not a number in JSON")


def _copy(source: Path, names: Sequence[str], target: Path) -> None:
    target.mkdir(exist_ok=True)
    for name in names:
        try:
            shutil.copyfile(source / name, target / name)
        except FileNotFoundError:
            raise UserError(f"{source / name}: not found; run the stages before this one (`dvc repro`)") from None


def _copy_adapters(adapters: Sequence[Path], generator_dir: Path, hub: Path) -> list[dict[str, Any]]:
    """Copy each to adapters/NAME in `hub`, where NAME is its directory's; return what the manifest says about them."""
    described = []
    for path in adapters:
        adapter = read_adapter(path)
        check_base(adapter, generator_dir)
        target = hub / "adapters" / path.resolve().name
        if target.exists():
            raise UserError(f"publish.adapters: two directories are called {target.name}; rename one")
        target.parent.mkdir(exist_ok=True)
        _copy(path, (ADAPTER_CONFIG_NAME, ADAPTER_WEIGHTS_NAME), target)
        described.append(describe_adapter(adapter, target.relative_to(hub).as_posix()))
    return described


def _copy_samples(metrics_dir: Path, target: Path) -> None:
    """The images of the evaluation, and the last grid that was sampled during training."""
    target.mkdir()
    for path in sorted((metrics_dir / "evaluate").glob("*.png")):
        shutil.copyfile(path, target / path.name)
    grids = sorted((metrics_dir / "generator").rglob("*.png"))
    if grids:
        shutil.copyfile(grids[-1], target / "training.png")
