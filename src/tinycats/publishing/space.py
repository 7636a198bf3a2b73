"""The web page with the published models, as a static Space of the Hugging Face Hub."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import SpaceCardData

from tinycats.publishing.layout import CARD_NAME, SPACE_MODELS
from tinycats.runtime.errors import UserError
from tinycats.runtime.files import scratch_directory

# In public/: models of an earlier run, and those that came with the repository
NOT_OURS = (SPACE_MODELS, "pretrained", ".*")
FIGURES = "experiments/experiments.json"
# Without them WebAssembly has one thread: https://huggingface.co/docs/hub/spaces-config-reference
ISOLATION = {
    "cross-origin-embedder-policy": "require-corp",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "cross-origin",
}


def write_space(space: Path, frontend: Path, models: Path, manifest: Mapping[str, Any]) -> None:
    """Build the page in `frontend` into the empty directory `space`, with `models` as its own copy, and write its README.md.

    The page loads models from where `manifest` says, else from that copy. Raises UserError if it cannot be built.
    """
    with scratch_directory() as public:
        ignored = shutil.ignore_patterns(*NOT_OURS)
        shutil.copytree(
            frontend / "public",
            public,
            ignore=lambda folder, names: ignored(folder, names) if Path(folder) == frontend / "public" else set(),
            dirs_exist_ok=True,
        )
        if not (public / FIGURES).is_file():
            print(
                f"{frontend / 'public' / FIGURES}: not found, so the Space shows no figures; `make experiments` makes it"
            )
        shutil.copytree(models, public / SPACE_MODELS)
        _build(frontend, public, space)
    (space / CARD_NAME).write_text(_card(manifest), encoding="utf-8")


def _build(frontend: Path, public: Path, output: Path) -> None:
    if not (frontend / "node_modules/vite").is_dir():
        raise UserError(
            f"publish.hub.space_id: {frontend} has no packages to build the page with; run `make web` first"
        )
    command = ["node", "build-page.mjs", "--public", str(public.resolve()), "--out", str(output.resolve())]
    try:
        done = subprocess.run(command, cwd=frontend, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise UserError(
            "publish.hub.space_id: the page needs Node, which is not on PATH; run `make web` first"
        ) from None
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines() or [f"exit code {done.returncode}"]
        raise UserError(f"publish.hub.space_id: the page cannot be built: {said[-1].removeprefix('error: ')}")


def _card(manifest: Mapping[str, Any]) -> str:
    hub = manifest["hub"]
    header = SpaceCardData(
        title=manifest["name"],
        emoji="🐈",
        colorFrom="yellow",
        colorTo="indigo",
        sdk="static",
        app_file="index.html",
        pinned=False,
        license=manifest["licence"],
        short_description="Classify and generate cats in the browser",
        models=[hub["repo_id"]] if hub else None,
        custom_headers=ISOLATION,
    )
    version = f", version {manifest['version']}" if manifest["version"] else ""
    if hub:
        link = f"[{hub['repo_id']}](https://huggingface.co/{hub['repo_id']}/tree/{hub['revision']})"
        source = f"Its models are those of {link}; where they cannot be reached, it uses its own copy, in models/."
    else:
        source = "Its models are in models/."
    return f"""---
{header.to_yaml()}
---

# {manifest["name"]}{version}

A page that classifies and generates cats in the browser: no picture is uploaded. {source}

The `publish` stage of a tinycats pipeline wrote this repository; what is changed here is overwritten by the next publication.
"""
