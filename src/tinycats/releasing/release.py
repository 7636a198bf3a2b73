"""From the published folder to one that is small enough for git: the int8 models, their card, metrics and parameters."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import PIL
from PIL import Image

from tinycats.publishing.card import NAMES, dataset_name, distance_names, features_name, memorised, metric_rows, render
from tinycats.publishing.layout import CARD_NAME, GENERATORS, HEAD_NAME, MANIFEST_NAME
from tinycats.publishing.manifest import list_files
from tinycats.releasing.run import LOCK_NAME, PARAMS_NAME, PUBLISHED, check_run
from tinycats.runtime.errors import UserError
from tinycats.runtime.files import atomic_directory, read_json, write_json
from tinycats.runtime.params import Params, load_params

TEMPLATE = Path(__file__).with_name("card.md.jinja")
MOST_BYTES = 20_000_000


def release(root: Path, output: Path, with_generators: bool = False) -> int:
    """Write `output` from the published run in `root`, the repository; return its bytes. The same run gives the same bytes.

    Raises UserError, leaving `output` as it was, where the run is not published whole (see check_run), `output` is another
    folder, or the release would be larger than MOST_BYTES or contain an image.
    """
    metrics = check_run(root)
    params = load_params(root / PARAMS_NAME)
    published = root / PUBLISHED
    if output.exists() and not all((output / name).is_file() for name in (MANIFEST_NAME, LOCK_NAME, PARAMS_NAME)):
        raise UserError(f"{output}: exists and is no release, which would replace it; name another folder")
    manifest = _reduced(read_json(published / MANIFEST_NAME), tuple(GENERATORS) if with_generators else ())
    with atomic_directory(output) as folder:
        for name in _names(manifest):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(published / name, folder / name)
        (folder / "metrics").mkdir()
        for path in metrics:
            shutil.copyfile(path, folder / "metrics" / path.name)
        for name in (PARAMS_NAME, LOCK_NAME):
            shutil.copyfile(root / name, folder / name)
        _write_card(folder, manifest, params, root / "metrics")
        write_json(folder / MANIFEST_NAME, {**manifest, "files": list_files(folder)})
        return _check(folder, output)


def _reduced(manifest: Mapping[str, Any], generators: Sequence[str]) -> dict[str, Any]:
    """The manifest of int8 files alone, without a place on the Hub: they are to come from where the manifest lies."""
    left_out = {*GENERATORS, "files"} - {*generators}
    kept = {key: value for key, value in manifest.items() if key not in left_out}
    models = {name: {**manifest[name], "files": _int8(manifest[name])} for name in ("classifier", *generators)}
    return {**kept, **models, "adapters": [], "hub": None}


def _int8(model: Mapping[str, Any]) -> dict[str, str]:
    return {"int8": model["files"]["int8"]}


def _names(manifest: Mapping[str, Any]) -> list[str]:
    """What is copied: the page needs a head for its heat map and a recorded run for its check."""
    names = [manifest["classifier"]["files"]["int8"], HEAD_NAME]
    for name in GENERATORS:
        if name in manifest:
            names += [manifest[name]["files"]["int8"], manifest[name]["golden"], f"{name}.sampler.json"]
    return names


def _write_card(folder: Path, manifest: Mapping[str, Any], params: Params, metrics_dir: Path) -> None:
    measured = manifest["metrics"]
    evaluate = measured.get("evaluate", {})
    features = features_name(evaluate)
    names = {**NAMES, **distance_names(features)}
    generators = [name for name in GENERATORS if name in manifest]
    text = render(
        TEMPLATE,
        **manifest,
        dataset=dataset_name(manifest["data"]),
        arch=params.classifier.arch,
        generators=generators,
        features=features,
        generator_rows={name: metric_rows(_without_copying(evaluate.get(name, {})), names) for name in generators},
        memorised=memorised(metrics_dir, evaluate) if generators else None,
        megabytes={path: f"{(folder / path).stat().st_size / 1e6:.2f}" for path in _names(manifest)},
        rows={key: metric_rows(measured.get(key, {}).get("classifier", {})) for key in ("evaluate", "quantize")},
    )
    (folder / CARD_NAME).write_text(text, encoding="utf-8")


def _without_copying(section: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in section.items() if key != "copying"}


def _check(folder: Path, output: Path) -> int:
    """The bytes of all files. Raises UserError where they are too many for git, or some are an image: photos have owners."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    for path in files:
        if _is_image(path):
            raise UserError(f"{output}: would contain an image, {path.relative_to(folder)}; nothing is released")
    total = sum(path.stat().st_size for path in files)
    if total > MOST_BYTES:
        raise UserError(
            f"{output}: would have {total / 1e6:.1f} MB, must be at most {MOST_BYTES / 1e6:.0f}; choose a smaller "
            "classifier, or leave the generators out"
        )
    return total


def _is_image(path: Path) -> bool:
    try:
        with Image.open(path):
            return True
    except PIL.UnidentifiedImageError:
        return False
    except Image.DecompressionBombError:
        return True
