"""The adversarial objective of the student: who gets which gradients, what a step is made of, and when it is stopped."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.conftest import SIZE
from tests.unit.training import ADVERSARY, CLASSES, DISTILL, GUIDANCE, NETWORK, run_distillation
from tinycats.data.feed import Images
from tinycats.data.pixels import as_tensor
from tinycats.data.processed import load_split
from tinycats.distillation import discriminator
from tinycats.distillation.adversarial import PROBE_LR, AdversarialTask, adversarial_task, row_steps
from tinycats.distillation.collapse import Look, check_collapse, look
from tinycats.distillation.discriminator import AUGMENTATION_NUMBERS, FrozenMaps, Heads
from tinycats.distillation.task import simulate
from tinycats.generator.network import TinyDiT, TinyDiTConfig, one_hot_classes
from tinycats.generator.sampler import sample, student_sampler
from tinycats.learning.gradients import GradientStep
from tinycats.learning.interface import Batch
from tinycats.learning.optimizer import adamw
from tinycats.runtime.errors import UserError
from tinycats.runtime.history import History
from tinycats.runtime.params import AdversaryParams

CPU = torch.device("cpu")
EVERYTHING = {"consistency_weight": 0.5, "class_weight": 0.3}


def make_teacher() -> TinyDiT:
    """Untrained, but its answer depends on everything that it is told."""
    torch.manual_seed(1)
    teacher = TinyDiT(TinyDiTConfig(classes=CLASSES, **NETWORK.model_dump()))
    for linear in (teacher.final, teacher.final_modulation, teacher.blocks[0].modulation, teacher.h_embedding.out):
        nn.init.normal_(linear.weight, std=0.05)  # type: ignore[union-attr,arg-type]
    return teacher.eval().requires_grad_(False)


def make_task(processed: Path, **changes: Any) -> AdversarialTask:
    teacher = make_teacher()
    student = TinyDiT(teacher.config.model_copy(update={"few_step": True}))
    student.load_state_dict(teacher.state_dict())
    adversary = ADVERSARY.model_copy(update=changes)
    training = DISTILL.model_copy(update={"objective": "adversarial", "adversary": adversary, "batch_size": 12})
    return adversarial_task(
        student, name="distill", teacher=teacher, guidance=GUIDANCE, train=load_split(processed, "train", SIZE), seed=0,
        mirror=True, training=training, sample_every=None, device=CPU, dtype=torch.float32,
    )  # fmt: skip


def batch(task: AdversarialTask, step: int = 0, rows: range = range(12)) -> Batch:
    indices = task.indices(step)[rows.start : rows.stop]
    images = Images(as_tensor(task.train.images[indices]), torch.from_numpy(task.train.labels[indices]))
    return task.batch(step, rows, images)


def gradients(task: AdversarialTask, loss: Tensor) -> dict[str, Tensor]:
    """Of the parameters that the loss reaches; those of the task are left without any."""
    loss.backward()
    named = task.model.named_parameters()
    found = {name: parameter.grad for name, parameter in named if parameter.grad is not None}
    task.model.zero_grad(set_to_none=True)
    return found


def steps_of_the_samplers(levels: int) -> set[tuple[float, float]]:
    """(t, h) as a student is called with them."""
    seen: set[tuple[float, float]] = set()

    class Student:
        config = TinyDiTConfig(classes=CLASSES, few_step=True, **NETWORK.model_dump())

        def __call__(self, z: Tensor, t: Tensor, h: Tensor, class_weights: Tensor) -> Tensor:
            seen.add((t.item(), h.item()))
            return z

    for level in range(levels + 1):
        sample(Student(), torch.zeros(1, 3, 8, 8), one_hot_classes([0], 3), student_sampler(2**level))
    return seen


@pytest.mark.parametrize("levels", [1, 2, 3])
def test_rows_are_the_steps_of_the_samplers_and_no_others(levels: int) -> None:
    t, level = row_steps(0, 840, levels, 0.5)
    pairs = Counter(zip(t.tolist(), (0.5**level).tolist(), strict=True))
    assert set(pairs) == steps_of_the_samplers(levels)
    starts = Counter(t.tolist())
    assert starts.pop(0) == 420  # the share
    assert len(starts) == 2**levels - 1
    assert max(starts.values()) - min(starts.values()) <= 1
    for start in (0, *starts):
        of_start = [count for (at, _), count in pairs.items() if at == start]
        assert max(of_start) - min(of_start) <= 1, start


def test_a_rows_step_does_not_depend_on_who_shares_the_batch(processed: Path) -> None:
    task = make_task(processed, **EVERYTHING)
    whole, parts = batch(task, 3), [batch(task, 3, rows) for rows in (range(6), range(6, 12))]
    for name, rows in whole.items():
        if name != "opens":
            assert torch.equal(torch.cat([part[name] for part in parts]), rows), name
    assert [part["opens"].tolist() for part in parts] == [[True, *[False] * 5]] * 2  # of each process


@pytest.mark.parametrize("changes", [{}, EVERYTHING], ids=["plain", "everything"])
def test_each_gets_the_gradients_of_its_own_loss(processed: Path, changes: dict[str, Any]) -> None:
    task = make_task(processed, **changes)
    model, first, seen = task.model, batch(task), {}
    discriminator_loss = type(model)._discriminator

    def kept(self: nn.Module, *arguments: Any) -> Any:
        seen["loss"], sums = discriminator_loss(model, *arguments)
        return seen["loss"], sums

    model._discriminator = kept.__get__(model)  # type: ignore[method-assign]
    total = task.loss(model, first)
    heads_alone = torch.autograd.grad(seen["loss"].mean(), list(model.heads.parameters()), retain_graph=True)
    students_alone = torch.autograd.grad(
        total - seen["loss"].mean(), list(model.student.parameters()), retain_graph=True, allow_unused=True
    )
    for loss, others in ((seen["loss"].mean(), model.student), (total - seen["loss"].mean(), model.heads)):
        reached = torch.autograd.grad(loss, list(others.parameters()), retain_graph=True, allow_unused=True)
        assert not any(each is not None and each.any() for each in reached)
    found = gradients(task, total)
    for prefix, module, alone in (("heads", model.heads, heads_alone), ("student", model.student, students_alone)):
        named = dict(zip((name for name, _ in module.named_parameters()), alone, strict=True))
        assert sum(each is not None and bool(each.any()) for each in named.values()) > 5, prefix
        for name, each in named.items():
            if each is not None:
                torch.testing.assert_close(found[f"{prefix}.{name}"], each)


def test_the_heads_learn_to_tell_images_apart_and_the_student_to_be_taken_for_real(processed: Path) -> None:
    task = make_task(processed, augmentation=[], reconstruction_weight=0.0)
    model, first = task.model, batch(task)

    def logits() -> tuple[float, float]:
        model.pending.zero_()
        with torch.no_grad():
            task.loss(model, first)
        return (model.pending[0] / 12).item(), (model.pending[1] / 12).item()

    def descend(part: nn.Module) -> None:
        optimizer = torch.optim.Adam(part.parameters(), lr=2e-3)
        for _ in range(15):
            task.loss(model, first).backward()
            optimizer.step()
            model.zero_grad()

    descend(model.heads)
    real, made = logits()
    assert real - made > 0.3
    descend(model.student)
    assert logits()[1] > made + 0.1


@pytest.mark.parametrize("changes", [{}, EVERYTHING], ids=["plain", "everything"])
def test_parts_of_a_batch_add_up_to_the_same_gradients(processed: Path, changes: dict[str, Any]) -> None:
    found, states = [], []
    for parts in (1, 2, 3):
        task = make_task(processed, **changes)
        training = task.training.model_copy(update={"accumulation": parts})
        gradient_step = GradientStep(task, task.model, adamw(task.model, training, {}), training, CPU, torch.float32)
        for step in (0, 1):
            task.model.zero_grad()
            gradient_step.accumulate(batch(task, step))
        found.append({name: parameter.grad for name, parameter in task.model.named_parameters()})
        states.append(dict(task.model.named_buffers()))
    for other, state in zip(found[1:], states[1:], strict=True):
        for name, gradient in found[0].items():
            torch.testing.assert_close(other[name], gradient, atol=1e-5, rtol=1e-3, msg=name)
        for name, buffer in states[0].items():
            torch.testing.assert_close(state[name], buffer, atol=1e-5, rtol=1e-4, msg=name)
    assert states[0]["updates"] == 1  # once a step, before the second


def test_running_means_follow_the_logits(processed: Path) -> None:
    task = make_task(processed)
    model = task.model
    assert model.means.tolist() == [0, 0]
    for real, made in ((4.0, -2.0), (2.0, -4.0)):
        model.pending.copy_(torch.tensor([8 * real, 8 * made, 8.0]))
        model.begin_step()
    share = 9 / 10  # of the second: few of the earlier ones count
    assert model.means.tolist() == pytest.approx([4 + share * -2, -2 + share * -2])
    before = model.means.tolist()
    model.begin_step()  # after nothing
    assert (model.means.tolist(), model.updates.item()) == (before, 2)


def test_consistency_is_kept_beside_the_adversary_on_the_same_rows(processed: Path) -> None:
    losses = {}
    for weight in (0.0, 1.0):
        task = make_task(processed, consistency_weight=weight, own_share=0.0)
        losses[weight] = task.loss(task.model, batch(task)).item()
    first, student = batch(task), task.model.student
    errors = []
    for row in range(12):  # each by itself, so that nothing can be out of order
        one = {name: rows[row : row + 1] for name, rows in first.items()}
        z, t, h, weights = (one[name] for name in ("z", "t", "h", "class_weights"))
        with torch.no_grad():
            image = z + (1 - t)[:, None, None, None] * task.targets(student, one)
            errors.append((student(z, t, h, weights) - image).square().mean())
    assert losses[1.0] - losses[0.0] == pytest.approx(torch.stack(errors).mean().item(), rel=1e-3)


def test_reconstruction_grows_with_time(processed: Path) -> None:
    losses = {}
    for weight in (0.0, 2.0):
        task = make_task(processed, reconstruction_weight=weight, own_share=0.0)
        losses[weight] = task.loss(task.model, batch(task)).item()
    first = batch(task)
    with torch.no_grad():
        made = task.model.student(first["z"], first["t"], first["h"], first["class_weights"])
    errors = (made - first["x"]).square().mean(dim=(1, 2, 3))
    assert losses[2.0] - losses[0.0] == pytest.approx(2 * (first["t"] * errors).mean().item(), rel=1e-3)


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_simulated_to_the_end_a_row_is_what_the_sampler_makes(processed: Path, steps: int) -> None:
    student = make_task(processed).model.student
    noise, weights = (
        torch.randn(3, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0)),
        one_hot_classes([0, 1, 2], 3),
    )
    made = sample(student, noise, weights, student_sampler(steps))
    reached = simulate(student, noise, torch.full((3,), 1 / steps), torch.full((3,), steps), weights)
    torch.testing.assert_close(reached.clamp(-1, 1), made)
    each = torch.tensor([steps, 0, steps])  # rows of other lengths are left where they are
    torch.testing.assert_close(simulate(student, noise, torch.full((3,), 1 / steps), each, weights)[1], noise[1])


def test_later_rows_of_the_students_own_start_where_it_led_and_have_no_photo_to_reconstruct(processed: Path) -> None:
    seen: list[Batch] = []

    class Spy(nn.Module):
        def forward(self, _maps: FrozenMaps, rows: Batch, _targets: Tensor) -> tuple[Tensor, Tensor]:
            seen.append(rows)
            return torch.zeros(()), torch.zeros(3)

    for share in (0.0, 1.0):
        task = make_task(processed, own_share=share)
        task.loss(Spy(), batch(task))
    real, own = seen
    later = real["t"] > 0
    assert torch.equal(real["z"][~later], own["z"][~later])
    assert later.any()
    first = batch(task)
    for row in later.nonzero()[:, 0].tolist():
        steps = torch.tensor([round(float(own["t"][row] / own["h"][row]))])
        rows = slice(row, row + 1)
        told = simulate(task.model.student, first["noise"][rows], own["h"][rows], steps, own["class_weights"][rows])
        torch.testing.assert_close(own["z"][rows], told)
        assert not torch.allclose(own["z"][rows], real["z"][rows], atol=0.05)
    assert real["of_real"].tolist() == [1.0] * 12
    assert torch.equal(own["of_real"], (~later).float())


def test_the_probe_learns_the_classes_of_real_images_and_the_student_to_be_told_by_it(processed: Path) -> None:
    task = make_task(processed, augmentation=[], class_weight=1.0)
    first = batch(task)
    labels = first["class_weights"].argmax(dim=1)

    def right(images: Tensor, numbers: Tensor) -> float:
        assert task.model.probe is not None
        with torch.no_grad():
            return float(-F.cross_entropy(task.model.probe(task.maps(images, numbers)), labels))

    def descend(part: nn.Module, lr: float) -> None:
        optimizer = torch.optim.Adam(part.parameters(), lr=lr)
        for _ in range(15):
            task.loss(task.model, first).backward()
            optimizer.step()
            task.model.zero_grad()

    def made() -> Tensor:
        with torch.no_grad():
            return task.model.student(first["noise"], 0 * first["t"], first["h"], first["class_weights"])

    assert task.model.probe is not None
    before = right(first["x"], first["real_numbers"])
    descend(task.model.probe, 0.05)
    assert right(first["x"], first["real_numbers"]) > before + 0.3
    told = right(made(), first["made_numbers"])
    descend(task.model.student, 2e-3)
    assert right(made(), first["made_numbers"]) > told + 0.1


def test_logits_depend_on_the_class() -> None:
    torch.manual_seed(0)
    heads = Heads([6, 7], 8, 3)
    maps = [torch.randn(2, channels, side, side) for channels, side in ((6, 4), (7, 2))]
    first, second = one_hot_classes([0, 0], 3), one_hot_classes([1, 1], 3)

    def logits(class_weights: Tensor) -> Tensor:
        return torch.cat(heads(maps, class_weights), dim=1)

    assert logits(first).shape == (2, 4 * 4 + 2 * 2)
    assert (logits(first) - logits(second)).abs().mean() > 0.05
    torch.testing.assert_close(logits((first + second) / 2), (logits(first) + logits(second)) / 2)


def test_spectral_norms_are_estimated_once_a_step() -> None:
    torch.manual_seed(0)
    heads = Heads([6], 8, 3)
    weight = heads.heads[0].look
    with torch.no_grad():
        weight.parametrizations.weight.original.mul_(torch.rand(8, 8, 3, 3))  # type: ignore[union-attr]

    def norm() -> float:
        return torch.linalg.matrix_norm(weight.weight.flatten(1), 2).item()  # type: ignore[operator,union-attr]

    heads.train()
    first = norm()
    assert norm() == first  # looking does not change it
    assert first > 1.02
    for _ in range(30):
        heads.refresh()
    assert norm() == pytest.approx(1, abs=1e-3)


@pytest.fixture(scope="module")
def maps() -> Callable[..., FrozenMaps]:
    def make(augmentation: list[str], size: int = 32) -> FrozenMaps:
        return FrozenMaps(ADVERSARY.network, SIZE, size, augmentation)  # type: ignore[arg-type]

    return make


def numbers(value: float | None = None) -> Tensor:
    if value is not None:
        return torch.full((4, AUGMENTATION_NUMBERS), value)
    return torch.rand(4, AUGMENTATION_NUMBERS, generator=torch.Generator().manual_seed(0))


def test_a_view_without_augmentation_is_the_resized_image(maps: Callable[..., FrozenMaps]) -> None:
    images = torch.rand(4, 3, SIZE, SIZE) * 2 - 1
    for size in (32, 40, 56):
        expected = F.interpolate(images, (size, size), mode="bilinear", antialias=True)
        torch.testing.assert_close(maps([], size).view(images, numbers()), expected, atol=1e-5, rtol=1e-4)
    moved = maps(["translation"], SIZE)
    torch.testing.assert_close(moved.view(images, numbers(0.5)), images, atol=1e-5, rtol=1e-4)
    shifted = moved.view(images, numbers(1.0))  # by an eighth, down and to the right
    torch.testing.assert_close(shifted[:, :, 5:, 5:], images[:, :, :-5, :-5], atol=1e-5, rtol=1e-4)
    assert not shifted[:, :, :5].any()
    cut = maps(["cutout"], SIZE).view(images + 2, numbers(0.5))
    assert (cut == 0).float().mean().item() == pytest.approx(1 / 4)
    assert not cut[:, :, 10:30, 10:30].any()


@pytest.mark.parametrize("kind", ["colour", "translation", "cutout"])
def test_augmentation_is_differentiable_and_chosen_by_its_numbers_alone(
    maps: Callable[..., FrozenMaps], kind: str
) -> None:
    images = (torch.rand(4, 3, SIZE, SIZE) * 2 - 1).requires_grad_()
    seen = maps([kind])
    assert torch.equal(seen.view(images, numbers()), seen.view(images, numbers()))
    assert not torch.equal(seen.view(images, numbers()), seen.view(images, 1 - numbers()))
    assert not torch.equal(seen.view(images, numbers()), maps([]).view(images, numbers()))
    sum(each.square().mean() for each in seen(images, numbers())[:1]).backward()  # type: ignore[union-attr]
    assert images.grad is not None
    assert torch.isfinite(images.grad).all()
    assert all(each.any() for each in images.grad)
    direction = torch.randn_like(images)
    view = lambda by: seen.view(images + by * direction, numbers()).square().sum()  # noqa: E731
    slope = torch.autograd.grad(view(0), images)[0]
    measured = (view(1e-2) - view(-1e-2)) / 2e-2
    torch.testing.assert_close((slope * direction).sum(), measured, rtol=1e-2, atol=1e-1)


def test_views_are_the_same_for_the_same_step_alone(processed: Path) -> None:
    task = make_task(processed)
    first, again, second = batch(task, 0), batch(task, 0), batch(task, 1)
    for name in ("real_numbers", "made_numbers"):
        assert torch.equal(first[name], again[name])
        assert not torch.equal(first[name], second[name])
    assert not torch.equal(first["real_numbers"], first["made_numbers"])


def test_the_network_sees_real_and_made_images_each_with_its_own_view(processed: Path) -> None:
    task, seen = make_task(processed, own_share=0.0), []
    maps, first = task.maps, batch(task)

    def recorded(images: Tensor, numbers: Tensor) -> list[Tensor]:
        seen.append((images.detach(), numbers))
        return maps(images, numbers)

    task.maps = recorded  # type: ignore[assignment]
    task.loss(task.model, first)
    with torch.no_grad():
        made = task.model.student(first["z"], first["t"], first["h"], first["class_weights"])
    expected = {"real": first["x"], "made": made}
    for (images, numbers), (name, plain) in zip(seen, expected.items(), strict=True):
        torch.testing.assert_close(images, plain)
        assert torch.equal(numbers, first[f"{name}_numbers"])


def test_maps_have_four_scales_and_nothing_in_them_trains(maps: Callable[..., FrozenMaps]) -> None:
    torch.manual_seed(0)
    plain = maps([], 64)
    image, draws = torch.rand(1, 3, SIZE, SIZE) * 2 - 1, numbers()[:1]
    assert [tuple(each.shape[1:]) for each in plain(image, draws)] == [
        (24, 16, 16),
        (40, 8, 8),
        (112, 4, 4),
        (320, 2, 2),
    ]
    assert not any(parameter.requires_grad for parameter in plain.parameters())
    assert not any(module.training for module in plain.modules())


def test_a_network_without_maps_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discriminator, "pretrained", lambda *_, **__: nn.Identity())
    with pytest.raises(
        UserError, match=r"distill\.adversary\.network: resnet18 has no 4 feature maps of images of 32 px"
    ):
        FrozenMaps("resnet18", SIZE, 32, [])


def run(processed: Path, path: Path, **changes: Any) -> None:
    adversary = ADVERSARY.model_copy(
        update={key: changes.pop(key) for key in list(changes) if key in AdversaryParams.model_fields}
    )
    settings = {"steps": 6, "schedule": "constant", "every_steps": 1, "sample_every": 100, **changes}
    run_distillation(processed, path, objective="adversarial", adversary=adversary, **settings)


def newest(path: Path) -> dict[str, Any]:
    files = (path / "runs").glob("*/checkpoint-*.pt")
    state: dict[str, Any] = torch.load(max(files, key=lambda file: int(file.name.split("-")[1])), weights_only=True)
    return state


def test_a_resumed_run_ends_with_the_bits_of_an_undisturbed_one(processed: Path, tmp_path: Path) -> None:
    run(processed, tmp_path / "whole", **EVERYTHING)
    run(processed, tmp_path / "broken", steps=3, **EVERYTHING)
    run(processed, tmp_path / "broken", **EVERYTHING)
    whole, broken = newest(tmp_path / "whole"), newest(tmp_path / "broken")
    for part in ("model", "average"):
        one, two = (state[part]["module"] if part == "average" else state[part] for state in (whole, broken))
        assert {name.split(".")[0] for name in one} == {
            "student",
            "heads",
            "probe",
            "means",
            "updates",
            "pending",
        }  # nothing frozen
        for name, tensor in one.items():
            assert torch.equal(tensor, two[name]), name
    assert whole["model"]["updates"] == 5
    assert whole["model"]["means"].all()
    for number, state in whole["optimizer"]["state"].items():
        for name, tensor in state.items():
            assert torch.equal(tensor, broken["optimizer"]["state"][number][name])
    saved = [(tmp_path / name / "model/model.safetensors").read_bytes() for name in ("whole", "broken")]
    assert saved[0] == saved[1]
    student = TinyDiT.from_pretrained(tmp_path / "whole/model")  # its average, and nothing else
    assert student.config.few_step
    for name, tensor in student.state_dict().items():
        assert torch.equal(tensor, whole["average"]["module"][f"student.{name}"]), name


def test_the_heads_have_their_own_learning_rate(processed: Path, tmp_path: Path) -> None:
    run(processed, tmp_path, head_lr=3.0, steps=1)
    rates = {group["lr_scale"]: len(group["params"]) for group in newest(tmp_path)["optimizer"]["param_groups"]}
    assert set(rates) == {1.0, 3.0, PROBE_LR}


def test_collapse_is_one_line_and_variety_is_not() -> None:
    generator = torch.Generator().manual_seed(0)
    varied = [torch.randn(4, 3, 8, 8, generator=generator) * 0.3 for _ in range(3)]
    real, alike = look(varied), [0.1 * images + 0.9 * images[:1] for images in varied]
    assert real.spread == pytest.approx(0.3 * 2**0.5, rel=0.1)
    check_collapse(1, look([0.8 * images for images in varied]), real, real)
    with pytest.raises(UserError) as caught:
        check_collapse(70, look(alike), real, real)
    assert str(caught.value).startswith(
        "the student has collapsed at step 70: two of its images of a class differ by 0.0"
    )
    assert "\n" not in str(caught.value)
    check_collapse(1, look(alike), real, look(alike))  # it does as its teacher does
    pure = [images.sign() * (torch.arange(8) < 2) + images * (torch.arange(8) >= 2) for images in varied]
    with pytest.raises(
        UserError, match=r"colours have collapsed at step 7: 2\d\.\d% of its values are saturated \(real"
    ):
        check_collapse(7, look(pure), real, real)
    check_collapse(1, look(pure), look(pure), real)  # real images are so too
    assert look([varied[0], varied[1][:1], varied[2][:0]]).spread == look(varied[:1]).spread
    assert look([varied[0][:1]]) == Look(0.0, look([varied[0][:1]] * 2).saturated)


def test_a_collapsed_student_ends_its_run_and_a_healthy_one_does_not(processed: Path, tmp_path: Path) -> None:
    task = make_task(processed)
    history = History(tmp_path / "metrics", tmp_path / "images")
    assert not task.validate(10, task.model, history)
    logged = json.loads((tmp_path / "metrics/metrics.json").read_text())
    for steps in (1, 2, 4):
        assert logged[f"val_diversity_{steps}"] > 0.4
        assert abs(logged[f"val_saturated_{steps}"]) < 0.1
    assert {"logit_real", "logit_made", "val_mse_4"} <= set(logged)
    nn.init.zeros_(task.model.student.final.weight)  # one picture for all noise
    with pytest.raises(UserError, match="the student has collapsed at step 20"):
        task.validate(20, task.model, history)
    logged = json.loads((tmp_path / "metrics/metrics.json").read_text())
    assert logged["val_diversity_4"] == pytest.approx(0, abs=1e-6)  # the curve shows it, and so does the sheet
    assert (tmp_path / "images/samples_0000020.png").exists()
