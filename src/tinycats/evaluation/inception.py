"""FID, KID and Inception Score: torchmetrics on the features of the original Inception network.

Only what comes from those weights may be called so. The weights (91 MB) are taken from torch's hub cache or downloaded
into it; without them there is a reason instead of numbers.
"""

from __future__ import annotations

import http.client
import os
import pickle
import socket
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import tinycats.runtime.vision  # noqa: F401  # torch_fidelity and torchmetrics import torchvision, which needs this first

# isort: split
import numpy as np
import torch
import torch_fidelity.feature_extractor_inceptionv3 as fidelity
from torch import Tensor, nn

from tinycats.data.pixels import as_tensor
from tinycats.runtime.errors import first_line
from tinycats.runtime.files import file_hash
from tinycats.runtime.track import progress, track

CONNECT_TIMEOUT_S = 10.0
KID_SUBSETS = 20
KID_SUBSET_SIZE = 1000
MIN_IMAGES = 20  # the Inception Score is a mean over ten splits


class InceptionUnavailableError(Exception):
    """Why there are no Inception features here, in one line."""


class Features(nn.Module):
    """Hands features that are already computed to torchmetrics, so that one pass serves all three metrics."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        return features


def load_inception(timeout_s: float = CONNECT_TIMEOUT_S) -> nn.Module:
    """The Inception network: uint8 [N, 3, H, W] -> (pooled features [N, 2048], logits without bias [N, 1008]).

    Raises InceptionUnavailableError where the weights are unavailable, or are not the right ones.
    """
    path = Path(torch.hub.get_dir()) / "checkpoints" / Path(fidelity.URL_INCEPTION_V3).name
    sha256_prefix = path.stem.rsplit("-", 1)[1]
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            with _socket_timeout(timeout_s), progress("downloading the Inception weights, 91 MB"):
                torch.hub.download_url_to_file(fidelity.URL_INCEPTION_V3, str(path), sha256_prefix, progress=False)
        if not file_hash(path).startswith(sha256_prefix):
            raise InceptionUnavailableError(f"{path} does not match the hash in its name; delete it")
        with _weights_only():
            return fidelity.FeatureExtractorInceptionV3(
                "inception-v3-compat", ["2048", "logits_unbiased"], feature_extractor_weights_path=str(path)
            )
    except (OSError, http.client.HTTPException, pickle.UnpicklingError, RuntimeError) as error:
        raise InceptionUnavailableError(f"the Inception weights are unavailable ({first_line(error)})") from None


def inception_metrics(
    network: nn.Module, real: np.ndarray, generated: np.ndarray, seed: int, batch_size: int = 32
) -> dict[str, float]:
    """fid, kid, kid_std, inception_score, inception_score_std, n_real, n_generated, all by torchmetrics.

    real, generated: uint8 [N, H, W, 3]; network: as load_inception returns it. FID is biased upwards on few images
    and customary on tens of thousands: compare it at equal n only. Raises InceptionUnavailableError below 20 images.
    """
    # Here, since it takes a second and is for nothing where there are no weights
    from torchmetrics.image import FrechetInceptionDistance, InceptionScore, KernelInceptionDistance

    n_real, n_generated = len(real), len(generated)
    if min(n_real, n_generated) < MIN_IMAGES:
        raise InceptionUnavailableError(f"they need {MIN_IMAGES} images in each set, got {n_real} and {n_generated}")
    real_features, _ = _features(network, real, batch_size)
    generated_features, generated_logits = _features(network, generated, batch_size)
    identity, subset_size = Features(real_features.shape[1]), min(KID_SUBSET_SIZE, n_real, n_generated)
    with warnings.catch_warnings(action="ignore"):  # that features are kept in memory: they are
        fid = FrechetInceptionDistance(feature=identity)
        kid = KernelInceptionDistance(feature=identity, subsets=KID_SUBSETS, subset_size=subset_size)
        score = InceptionScore(feature=Features(generated_logits.shape[1]))
    for metric in (fid, kid):
        metric.update(real_features, real=True)
        metric.update(generated_features, real=False)
    score.update(generated_logits)
    with torch.random.fork_rng(devices=[]):  # torchmetrics draws its subsets and splits from the global generator
        torch.manual_seed(seed)
        (kid_mean, kid_std), (score_mean, score_std) = kid.compute(), score.compute()
    return {
        "fid": float(fid.compute()),
        "kid": float(kid_mean),
        "kid_std": float(kid_std),
        "inception_score": float(score_mean),
        "inception_score_std": float(score_std),
        "n_real": n_real,
        "n_generated": n_generated,
    }


@torch.inference_mode()
def _features(network: nn.Module, images: np.ndarray, batch_size: int) -> tuple[Tensor, Tensor]:
    """Features and logits of uint8 [N, H, W, 3], float64 on the CPU."""
    device = next((parameter.device for parameter in network.parameters()), torch.device("cpu"))
    parts = []
    for start in track(range(0, len(images), batch_size), "Inception features, batches"):
        batch = as_tensor(images[start : start + batch_size]).permute(0, 3, 1, 2)
        parts.append([output.double().cpu() for output in network(batch.to(device))])
    features, logits = zip(*parts, strict=True)
    return torch.cat(features), torch.cat(logits)


@contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


@contextmanager
def _weights_only() -> Iterator[None]:
    """torch_fidelity asks torch.load to unpickle anything; torch's own switch overrides that."""
    name = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        del os.environ[name]
        if before is not None:
            os.environ[name] = before
