from __future__ import annotations

import json

import pytest
import torch

from tinycats.generator.network import (
    TinyDiT,
    TinyDiTConfig,
    one_hot_classes,
    overlap_add,
    patchify,
    sincos_positions,
    unpatchify,
)
from tinycats.runtime.errors import UserError

CONFIG = TinyDiTConfig(classes=["a", "b", "c"], image_size=32, patch_size=8, width=32, depth=2, heads=2)


def random_model() -> TinyDiT:
    """A model whose zero-initialised parts are random too, as after training."""
    torch.manual_seed(0)
    model = TinyDiT(CONFIG)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return model.eval()


def inputs(n: int = 2) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(n, 3, 32, 32, generator=generator), torch.full((n,), 0.4), torch.zeros(n)


def test_unpatchify_inverts_patchify() -> None:
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(unpatchify(patchify(images, 8), 8, 32), images)


def test_a_patch_holds_the_pixels_of_one_square() -> None:
    images = torch.zeros(1, 3, 32, 32)
    images[:, :, 8:16, 24:32] = 1  # second row, fourth column
    assert patchify(images, 8).sum(2).nonzero()[:, 1].tolist() == [7]


def test_overlapping_squares_are_a_transposed_convolution() -> None:
    """A token paints 2 x 2 patches, centred on its own."""
    pictures = torch.randn(2, 12, 32, 32)
    quadrants = patchify(pictures, 8).reshape(2, 16, 8, 8, 4, 3)  # (N, T, P, P, quadrant, C)
    rows = torch.cat([quadrants[..., 0::2, :], quadrants[..., 1::2, :]], dim=3)  # left and right: (N, T, P, 2 P, 2, C)
    squares = torch.cat([rows[..., 0, :], rows[..., 1, :]], dim=2)  # upper and lower: (N, T, 2 P, 2 P, C)
    columns = squares.permute(0, 4, 2, 3, 1).reshape(2, 3 * 16 * 16, 16)
    expected = torch.nn.functional.fold(columns, 32, kernel_size=16, stride=8, padding=4)
    torch.testing.assert_close(overlap_add(pictures, 4), expected)


def test_positions_are_all_different() -> None:
    positions = sincos_positions(32, 4)
    distances = torch.cdist(positions, positions) + 10 * torch.eye(16)
    assert positions.shape == (16, 32)
    assert distances.min() > 0.1


def test_a_fresh_model_predicts_zero() -> None:
    x, t, h = inputs()
    assert torch.equal(TinyDiT(CONFIG)(x, t, h, one_hot_classes([0, 1], 3)), torch.zeros(2, 3, 32, 32))


def test_permuting_tokens_changes_the_output() -> None:
    model, (x, t, h) = random_model(), inputs()
    permutation = torch.randperm(16, generator=torch.Generator().manual_seed(3))
    shuffled = unpatchify(patchify(x, 8)[:, permutation], 8, 32)
    weights = one_hot_classes([0, 1], 3)
    straight = patchify(model(x, t, h, weights), 8)[:, permutation]
    assert not torch.allclose(patchify(model(shuffled, t, h, weights), 8), straight, atol=1e-3)


def test_each_class_and_the_null_class_give_another_picture() -> None:
    model, (x, t, h) = random_model(), inputs(4)
    pictures = model(x[:1].expand(4, -1, -1, -1), t, h, one_hot_classes([0, 1, 2, 3], 3))
    distances = torch.cdist(pictures.flatten(1), pictures.flatten(1)) + 10 * torch.eye(4)
    assert distances.min() > 0.01


def test_classes_can_be_mixed() -> None:
    model, (x, t, h) = random_model(), inputs(3)
    weights = torch.tensor([[1.0, 0, 0, 0], [0, 1.0, 0, 0], [0.5, 0.5, 0, 0]])
    first, second, mixed = model(x[:1].expand(3, -1, -1, -1), t, h, weights)
    assert not torch.allclose(mixed, first, atol=1e-3)
    assert not torch.allclose(mixed, second, atol=1e-3)


@pytest.mark.parametrize("which", ["t", "h"])
def test_both_times_are_inputs(which: str) -> None:
    model, (x, t, h) = random_model(), inputs()
    weights = one_hot_classes([0, 1], 3)
    before = model(x, t, h, weights)
    after = model(x, t + 0.3, h, weights) if which == "t" else model(x, t, h + 0.3, weights)
    assert not torch.allclose(before, after, atol=1e-4)


def test_every_picture_is_predicted_on_its_own() -> None:
    model, (x, t, h) = random_model(), inputs(3)
    weights = one_hot_classes([0, 1, 2], 3)
    torch.testing.assert_close(model(x, t, h, weights)[1:2], model(x[1:2], t[1:2], h[1:2], weights[1:2]))


def test_saved_and_loaded_is_the_same(tmp_path) -> None:
    model, (x, t, h) = random_model(), inputs()
    model.save_pretrained(tmp_path / "model")
    loaded = TinyDiT.from_pretrained(tmp_path / "model")
    weights = one_hot_classes([2, 3], 3)
    assert loaded.config == CONFIG
    assert not loaded.config.few_step
    assert torch.equal(loaded(x, t, h, weights), model(x, t, h, weights))


def test_what_a_model_is_sampled_as_is_saved_with_it(tmp_path) -> None:
    TinyDiT(CONFIG.model_copy(update={"few_step": True})).save_pretrained(tmp_path / "student")
    assert TinyDiT.from_pretrained(tmp_path / "student").config.few_step
    config = tmp_path / "student/config.json"
    content = json.loads(config.read_text())
    del content["few_step"]  # as of models that were saved before there were students
    config.write_text(json.dumps(content))
    assert TinyDiT.from_pretrained(tmp_path / "student").config == CONFIG


def test_weights_that_do_not_fit_the_config_are_refused(tmp_path) -> None:
    random_model().save_pretrained(tmp_path / "model")
    config = tmp_path / "model" / "config.json"
    config.write_text(config.read_text().replace('"width": 32', '"width": 64'))
    with pytest.raises(UserError, match=r"does not fit config.json: .* is \["):
        TinyDiT.from_pretrained(tmp_path / "model")


def test_missing_and_truncated_weights_are_refused(tmp_path) -> None:
    random_model().save_pretrained(tmp_path / "model")
    weights = tmp_path / "model" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(UserError, match="not an intact safetensors file"):
        TinyDiT.from_pretrained(tmp_path / "model")
    weights.unlink()
    with pytest.raises(UserError, match="not found"):
        TinyDiT.from_pretrained(tmp_path / "model")


def test_gradient_checkpointing_gives_the_same_gradients_for_less_than_half_of_the_memory() -> None:
    def run(checkpointing: bool) -> tuple[list[torch.Tensor], int]:
        torch.manual_seed(0)
        model = TinyDiT(CONFIG.model_copy(update={"depth": 6, "width": 64}))
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.05)
        model.gradient_checkpointing = checkpointing
        x, t = torch.randn(4, 3, 32, 32), torch.rand(4)
        weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
        kept: dict[int, int] = {}

        def pack(tensor: torch.Tensor) -> torch.Tensor:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in weights:
                kept[storage.data_ptr()] = storage.nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            out = model(x, t, torch.zeros(4), one_hot_classes([0, 1, 2, 0], 3))
        out.square().mean().backward()
        return [parameter.grad for parameter in model.parameters() if parameter.grad is not None], sum(kept.values())

    (plain, all_bytes), (recomputed, few_bytes) = run(False), run(True)
    assert len(plain) == len(recomputed) > 20
    for one, other in zip(plain, recomputed, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-9)
    assert few_bytes < all_bytes / 2
