"""The app on Modal: one function for each stage that can run there.

`dvc exp run -S compute=modal` deploys it (see tinycats.runtime.compute.deployment) and calls its functions; machines, time
limits, retries, regions, the Volume and secrets come with the call, from `compute` in params.yaml. By hand, from the project's
directory:

    modal run -m tinycats.runtime.compute.modal_app::check_gpu
"""

from __future__ import annotations

import os
from pathlib import Path

import modal

from tinycats.runtime.compute.container import Request, Result, execute

MOUNT = "/tinycats"  # of the Volume in a container

image = (
    modal.Image.debian_slim()  # with the Python version of the caller
    .pip_install_from_requirements("requirements.lock", extra_options="--no-deps --require-hashes")
    .pip_install_from_requirements("torch.lock")  # with what its build needs of CUDA
    .env({"TINYCATS_VOLUME": MOUNT, "PYTHONHASHSEED": "0"})
    .add_local_python_source("tinycats")
)
app = modal.App("tinycats", image=image, include_source=False)


@app.function()
def train_classifier(request: str, volume: str) -> Result:
    """Train the classifier; called by `dvc repro`."""
    return _execute(request, volume)


@app.function()
def train_dit(request: str, volume: str) -> Result:
    """Train the generator; called by `dvc repro`."""
    return _execute(request, volume)


@app.function()
def distill(request: str, volume: str) -> Result:
    """Train the student; called by `dvc repro`."""
    return _execute(request, volume)


@app.function()
def evaluate(request: str, volume: str) -> Result:
    """Evaluate the models; called by `dvc repro`."""
    return _execute(request, volume)


@app.function()
def preprocess(request: str, volume: str) -> Result:
    """Make the processed data; called by `dvc repro`."""
    return _execute(request, volume)


@app.function()
def export_onnx(request: str, volume: str) -> Result:
    """Export the models to ONNX; called by `dvc repro`."""
    return _execute(request, volume)


@app.function()
def quantize(request: str, volume: str) -> Result:
    """Make the int8 models; called by `dvc repro`."""
    return _execute(request, volume)


@app.function(gpu="T4")
def check_gpu(size: int = 4096) -> str:
    """Multiply two matrices of this size on a T4, to see that the image and the GPU work together."""
    import torch

    device = torch.device("cuda")
    product = torch.ones(size, size, device=device) @ torch.ones(size, size, device=device)
    assert float(product[0, 0]) == size
    line = f"torch {torch.__version__} works on {torch.cuda.get_device_name(device)}"
    print(line)
    return line


def _execute(request: str, volume: str) -> Result:
    """`request` is a Request as text (`modal run` knows no other types), `volume` the name of the Volume."""
    try:
        mounted = modal.Volume.from_name(volume)
        mounted.reload()  # this container may have served an earlier call
        call_id = modal.current_function_call_id()
        assert call_id is not None
        return execute(Request.from_text(request), call_id, Path(os.environ["TINYCATS_VOLUME"]), mounted.commit)
    except Exception as error:  # the caller must not take it for an answer of Modal's, which says nothing of the call
        raise RuntimeError(str(error) or type(error).__name__) from error
