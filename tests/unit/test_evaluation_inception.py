from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tinycats.evaluation import inception
from tinycats.evaluation.distribution import frechet_distance, kernel_distance
from tinycats.evaluation.inception import InceptionUnavailableError, inception_metrics, load_inception
from tinycats.runtime.files import file_hash


class TinyNetwork(nn.Module):
    """Stands in for Inception's weights only: uint8 pictures to features and logits."""

    def __init__(self) -> None:
        super().__init__()
        weight = torch.randn(3 * 8 * 8, 12, generator=torch.Generator().manual_seed(0))
        self.weight = nn.Parameter(weight / 50)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        assert images.dtype == torch.uint8
        assert images.shape[1:] == (3, 8, 8)
        features = images.float().flatten(1) / 255 @ self.weight
        return features, 5 * features[:, :4]


def pictures(n: int, low: int, high: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(low, high, (n, 8, 8, 3), dtype=np.uint8)


def features(images: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return TinyNetwork()(torch.from_numpy(images).permute(0, 3, 1, 2))[0].double().numpy()


def test_torchmetrics_agrees_with_our_own_frechet_and_kernel_distance():
    real, generated = pictures(90, 0, 256, 0), pictures(90, 60, 200, 1)
    metrics = inception_metrics(TinyNetwork(), real, generated, seed=0)
    assert metrics["fid"] == pytest.approx(frechet_distance(features(real), features(generated)), rel=1e-6)
    assert metrics["fid"] > 1e-3
    # Equal n: its subsets are the whole sets. It averages the pairs (x_i, y_i) in just as we do.
    assert metrics["kid"] == pytest.approx(kernel_distance(features(real), features(generated)), rel=1e-6)
    assert 1 <= metrics["inception_score"] <= 4
    assert (metrics["n_real"], metrics["n_generated"]) == (90, 90)


def test_identical_sets_give_zero_and_the_seed_decides_the_rest():
    real = pictures(60, 0, 256, 0)
    metrics = inception_metrics(TinyNetwork(), real, real, seed=0)
    assert metrics["fid"] == pytest.approx(0, abs=1e-6)
    generated = pictures(80, 0, 256, 1)
    state = torch.random.get_rng_state()
    first, again = (inception_metrics(TinyNetwork(), real, generated, seed=3) for _ in range(2))
    assert first == again
    assert torch.equal(state, torch.random.get_rng_state())


def test_permutation_changes_nothing_and_a_shift_gives_more():
    real, generated = pictures(60, 0, 200, 0), pictures(60, 0, 200, 1)
    order = np.random.default_rng(2).permutation(60)
    distances = [
        inception_metrics(TinyNetwork(), real, x, seed=0) for x in (generated, generated[order], generated + 50)
    ]
    assert distances[1]["fid"] == pytest.approx(distances[0]["fid"])
    assert distances[1]["kid"] == pytest.approx(distances[0]["kid"])
    assert distances[2]["fid"] > 2 * distances[0]["fid"]
    assert distances[2]["kid"] > 2 * abs(distances[0]["kid"])


def test_the_inception_score_of_known_logits():
    """1 where every picture gets the same answer, K where each of K answers is sure and equally frequent."""

    class Logits(TinyNetwork):
        def __init__(self, sure: float) -> None:
            super().__init__()
            self.sure = sure

        def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
            return super().forward(images)[0], self.sure * torch.eye(4)[images[:, 0, 0, 0].long() % 4]

    generated = pictures(400, 0, 256, 1)
    generated[:, 0, 0, 0] = np.arange(400)
    assert inception_metrics(Logits(0.0), generated, generated, seed=0)["inception_score"] == pytest.approx(1)
    assert inception_metrics(Logits(50.0), generated, generated, seed=0)["inception_score"] == pytest.approx(
        4, rel=0.05
    )


def test_too_few_pictures_are_no_numbers():
    with pytest.raises(InceptionUnavailableError, match="got 19 and 30"):
        inception_metrics(TinyNetwork(), pictures(19, 0, 9, 0), pictures(30, 0, 9, 1), seed=0)


@pytest.fixture
def weights_path(home: Path) -> Path:
    return home / ".cache/torch/hub/checkpoints/weights-inception-2015-12-05-6726825d.pth"


def test_without_weights_and_network_there_is_one_line_and_no_file(weights_path, monkeypatch):
    monkeypatch.setattr(inception.fidelity, "URL_INCEPTION_V3", "https://127.0.0.1:1/" + weights_path.name)
    with pytest.raises(InceptionUnavailableError, match="are unavailable") as caught:
        load_inception(timeout_s=1)
    assert "\n" not in str(caught.value)
    assert not weights_path.exists()


def test_wrong_weights_are_refused_before_they_are_read(weights_path, monkeypatch):
    weights_path.parent.mkdir(parents=True)
    weights_path.write_bytes(b"not the weights")
    monkeypatch.setattr(torch.hub, "download_url_to_file", lambda *_, **__: pytest.fail("the file is already there"))
    with pytest.raises(InceptionUnavailableError, match="does not match the hash in its name"):
        load_inception()


def save_under_own_hash(content: object, weights_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights_path.parent.mkdir(parents=True)
    torch.save(content, weights_path)
    renamed = weights_path.with_name(f"weights-inception-{file_hash(weights_path)[:8]}.pth")
    weights_path.rename(renamed)
    monkeypatch.setattr(inception.fidelity, "URL_INCEPTION_V3", "https://127.0.0.1:1/" + renamed.name)


def test_nothing_is_unpickled_from_the_weights(weights_path, monkeypatch):
    sprung = weights_path.parent / "sprung"

    class Trap:
        def __reduce__(self):
            return Path.touch, (sprung,)

    save_under_own_hash({"weight": Trap()}, weights_path, monkeypatch)
    with pytest.raises(InceptionUnavailableError):
        load_inception()
    assert not sprung.exists()


def test_the_network_loads_from_its_file_and_gives_features_and_logits(weights_path, monkeypatch):
    untrained = inception.fidelity.FeatureExtractorInceptionV3
    with monkeypatch.context() as patch:
        patch.setattr(untrained, "load_state_dict", lambda *_: None)
        patch.setattr(inception.fidelity, "load_state_dict_from_url", lambda *_, **__: {})
        state = untrained("untrained", ["2048"]).state_dict()
    save_under_own_hash(state, weights_path, monkeypatch)
    pooled, logits = load_inception()(torch.zeros(2, 3, 8, 8, dtype=torch.uint8))
    assert pooled.shape == (2, 2048)
    assert logits.shape == (2, 1008)
