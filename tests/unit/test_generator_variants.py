from __future__ import annotations

import math

import pytest
import torch
from benchmarks.generator_variants import (
    ALIGNED_SCALE,
    TOLD,
    VARIANTS,
    Alignment,
    RotaryNorm,
    Variant,
    VelocityDiT,
    build,
    change_and_describe,
    dispersive_loss,
    optimizers,
    tell,
)
from torch import nn

from tinycats.adapters.training import adapter_training
from tinycats.distillation.discriminator import AUGMENTATION_NUMBERS
from tinycats.generator.network import Attention, TinyDiT, TinyDiTConfig, one_hot_classes
from tinycats.generator.task import velocity_loss
from tinycats.runtime.params import DitParams, TrainParams

TRAINING = adapter_training(steps=1)
SMALL = TinyDiTConfig(classes=["a", "b"], image_size=16, patch_size=8, width=32, depth=2, heads=2)
NANO = SMALL.model_copy(update={"image_size": 64, "width": 192, "depth": 6, "heads": 3})


def small(**changes: object) -> Variant:
    return Variant(**{"patch_size": 4, **changes})


def inputs() -> tuple[torch.Tensor, ...]:
    torch.manual_seed(0)
    return torch.randn(3, 3, 16, 16), torch.rand(3), torch.zeros(3), one_hot_classes([0, 1, 2], 2)


def awake(model: TinyDiT) -> TinyDiT:
    """With weights where a new network has zeros, so that every part of it can be heard."""
    torch.manual_seed(1)
    for parameter in model.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)
    return model


def difference(one: TinyDiT, other: TinyDiT) -> float:
    """Between the answers of `one` and of `other` with the weights that both have."""
    other.load_state_dict(one.state_dict(), strict=False)
    return (one(*inputs()) - other(*inputs())).abs().max().item()


def test_every_variant_differs_from_the_base_in_one_thing_or_two() -> None:
    for name, variant in VARIANTS.items():
        assert len(variant.changes()) == {"base": 0, "v_patch16": 2, "wide": 2}.get(name, 1), name


def test_changes_of_parameters_go_to_their_section() -> None:
    assert VARIANTS["label_dropout_0"].of(TrainParams) == {"label_dropout": 0.0}
    assert VARIANTS["v_patch16"].of(DitParams) == {"patch_size": 16}
    assert VARIANTS["v_patch16"].of(TrainParams) == VARIANTS["muon"].of(TrainParams) == {}


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_can_be_trained(name: str) -> None:
    variant = VARIANTS[name]
    model = awake(build(variant, SMALL))
    found = optimizers(variant, model, TRAINING)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    model(*inputs()).square().mean().backward()
    for optimizer in found:
        optimizer.step()
    still = [name for name, parameter in model.named_parameters() if torch.equal(parameter, before[name])]
    assert still in ([], ["h_embedding.hidden.weight"])
    assert model.config.patch_size == (variant.patch_size or SMALL.patch_size)


def test_a_perfect_velocity_has_no_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    x, t, h, weights = inputs()
    noise, mix = torch.randn_like(x), t[:, None, None, None]
    z = mix * x + (1 - mix) * noise
    model = build(small(prediction="v"), SMALL)
    assert isinstance(model, VelocityDiT)
    monkeypatch.setattr(TinyDiT, "forward", lambda *_: x - noise)
    assert velocity_loss(model(z, t, h, weights), x, t).item() == pytest.approx(0, abs=1e-10)
    wrong = 0.5
    monkeypatch.setattr(TinyDiT, "forward", lambda *_: x - noise + wrong)
    t = t.clamp(max=0.9)  # later, the loss is bounded
    mix = t[:, None, None, None]
    z = mix * x + (1 - mix) * noise
    assert velocity_loss(model(z, t, h, weights), x, t).item() == pytest.approx(wrong**2, rel=1e-4)


def test_rotation_keeps_lengths_and_sees_only_differences_of_places() -> None:
    side, dimensions = 4, 16
    rotary = RotaryNorm(torch.nn.Identity(), side, dimensions)
    torch.manual_seed(0)
    x = torch.randn(2, 3, side * side, dimensions)
    torch.testing.assert_close(rotary(x).norm(dim=-1), x.norm(dim=-1))
    torch.testing.assert_close(rotary(x)[:, :, 0], x[:, :, 0])
    q, k = torch.randn(dimensions), torch.randn(dimensions)
    products = rotary(q.expand(1, 1, side * side, -1))[0, 0] @ rotary(k.expand(1, 1, side * side, -1))[0, 0].T
    grid = products.reshape(side, side, side, side)  # from (row, column) to (row, column)
    torch.testing.assert_close(grid[0, 0, 1, 2], grid[2, 1, 3, 3])
    assert not torch.isclose(grid[0, 0, 1, 2], grid[0, 0, 2, 1])


def test_rotation_turns_queries_and_keys_and_not_values() -> None:
    plain, turned = build(small(), SMALL), build(small(positions="sincos+rope"), SMALL)
    attention = turned.blocks[0].attention
    assert isinstance(attention, Attention)
    assert isinstance(attention.qk_norm, RotaryNorm)
    assert difference(awake(plain), turned) > 1e-4
    attention.load_state_dict(plain.blocks[0].attention.state_dict())
    alike = torch.randn(1, 1, 32).expand(1, 16, 32)  # the same at every place: whatever is attended to is the same
    torch.testing.assert_close(attention(alike), plain.blocks[0].attention(alike))


def test_shared_modulation_is_the_base_where_the_blocks_agree() -> None:
    plain, shared = awake(build(small(), SMALL)), build(small(modulation="shared"), SMALL)
    for block in plain.blocks:
        block.modulation.load_state_dict(plain.blocks[0].modulation.state_dict())
    with torch.no_grad():
        for block in shared.blocks:
            block.modulation.shared.weight.copy_(plain.blocks[0].modulation.weight)
            block.modulation.bias.copy_(plain.blocks[0].modulation.bias)
    assert difference(plain, shared) < 1e-6


def test_shared_modulation_is_a_quarter_smaller() -> None:
    sizes = [sum(p.numel() for p in build(VARIANTS[name], NANO).parameters()) for name in ("base", "shared_modulation")]
    assert sizes[1] / sizes[0] == pytest.approx(0.75, abs=0.02)


def test_dropout_is_there_in_training_alone() -> None:
    plain, dropped = awake(build(small(), SMALL)).eval(), build(small(dropout=0.25), SMALL)
    weights = {
        name.replace("attention.", "attention.0.").replace("mlp.", "mlp.0."): tensor
        for name, tensor in plain.state_dict().items()
    }
    dropped.load_state_dict(weights)
    torch.testing.assert_close(dropped.eval()(*inputs()), plain(*inputs()))
    dropped.train()
    given = inputs()
    assert not torch.equal(dropped(*given), dropped(*given))


def test_no_description_is_the_base_and_a_description_is_heard() -> None:
    plain, told = awake(build(small(), SMALL)), build(small(told=True), SMALL)
    with torch.no_grad():
        told.class_embedding.weight[:, :3] = plain.class_embedding.weight
    weights = {name: tensor for name, tensor in plain.state_dict().items() if name != "class_embedding.weight"}
    told.load_state_dict(weights, strict=False)
    x, t, h, classes = inputs()
    torch.testing.assert_close(told(x, t, h, classes), plain(x, t, h, classes))
    zero = torch.cat([classes, torch.zeros(3, TOLD)], dim=1)
    torch.testing.assert_close(told(x, t, h, zero), plain(x, t, h, classes))
    other = torch.cat([classes, torch.ones(3, TOLD)], dim=1)
    assert not torch.allclose(told(x, t, h, other), plain(x, t, h, classes), atol=1e-3)


def test_the_description_says_what_was_changed() -> None:
    n, side = 64, 32
    axis = (2 * torch.arange(side) + 1) / side - 1
    ramp = (0.5 + 0.1 * axis[:, None].expand(side, side)).expand(n, 3, side, side)  # grey, brighter downwards
    changed, description = change_and_describe(ramp, seed=0, step=0)
    assert description.shape == (n, TOLD)
    assert description.std(dim=0).min() > 0.05  # every number says something
    assert description.abs().max() < 5
    middle, off = side // 2, side // 2 + side // 4
    rows = axis[[off, middle]] + description[:, [1, 0]] / 4  # where the pixels of two places come from
    dark, light = 0.1 + description[:, 6] / 4, 0.4 + description[:, 7:].mean(dim=1) / 4  # what becomes of two greys
    contrast = (light - dark) / 0.3
    expected = 0.1 * contrast * (rows[:, 0] - rows[:, 1])
    torch.testing.assert_close(changed[:, 0, off, middle] - changed[:, 0, middle, middle], expected, atol=1e-4, rtol=0)
    assert expected.std() > 0.01


def test_untold_pictures_are_as_they_were() -> None:
    torch.manual_seed(0)
    batch = {"x": 2 * torch.rand(32, 3, 16, 16) - 1, "class_weights": one_hot_classes([0] * 32, 2)}
    told = tell(batch, seed=0, step=0)
    unchanged = (told["x"] == batch["x"]).flatten(1).all(dim=1)
    assert 8 <= unchanged.sum() <= 24
    assert torch.equal(unchanged, ~told["class_weights"][:, 3:].any(dim=1))
    assert torch.equal(told["class_weights"][:, :3], batch["class_weights"])


def test_dispersive_loss_of_known_features() -> None:
    assert dispersive_loss(torch.ones(4, 2, 3)).item() == 0
    two = torch.tensor([[0.0, 0.0], [1.0, 1.0]])  # a mean squared difference of 1, a temperature of 1/2
    assert dispersive_loss(two).item() == pytest.approx(math.log((2 + 2 * math.exp(-2)) / 4))
    assert dispersive_loss(2 * two) < dispersive_loss(two)


def test_alignment_is_one_less_the_cosine_to_the_frozen_map() -> None:
    alignment = Alignment(NANO)
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    wanted = alignment.maps(images, torch.zeros(2, AUGMENTATION_NUMBERS))[ALIGNED_SCALE].flatten(2).transpose(1, 2)
    assert wanted.shape[1] == (NANO.image_size // NANO.patch_size) ** 2  # a place for each token
    alignment.projector = nn.Sequential()
    for tokens, loss in ((3 * wanted, 0.0), (-wanted, 2.0)):
        assert alignment(tokens, images).item() == pytest.approx(loss, abs=1e-5)
    assert not any(parameter.requires_grad for parameter in alignment.parameters())


def test_muon_gets_the_matrices_of_attention_and_mlp() -> None:
    model = build(small(), SMALL)
    assert [type(optimizer).__name__ for optimizer in optimizers(Variant(), model, TRAINING)] == ["AdamW"]
    adamw, muon = optimizers(small(muon=True), model, TRAINING)
    taken = {id(p) for p in muon.param_groups[0]["params"]}
    names = {
        name.removeprefix("blocks.0.") for name, p in model.named_parameters() if id(p) in taken and "blocks.0" in name
    }
    assert names == {"attention.qkv.weight", "attention.out.weight", "mlp.0.weight", "mlp.2.weight"}
    assert len(taken) == 8
    assert len(taken) + len(adamw.param_groups[0]["params"]) == len(list(model.parameters()))
