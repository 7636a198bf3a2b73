from __future__ import annotations

import copy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra import compose, initialize_config_dir
from modal._utils.function_utils import parse_gpu_config
from modal._utils.name_utils import is_valid_object_name
from omegaconf import OmegaConf

from tests.conftest import ROOT
from tinycats.runtime.errors import UserError
from tinycats.runtime.params import Params, load_params, parse_params


def composed(*overrides: str) -> dict[str, Any]:
    with initialize_config_dir(str(ROOT / "conf"), version_base=None):
        config = compose(config_name="config", overrides=list(overrides))
    OmegaConf.resolve(config)
    content = OmegaConf.to_container(config)
    assert isinstance(content, dict)
    return content


DEFAULT = composed()


def parse(*overrides: str) -> Params:
    return parse_params(composed(*overrides), "params.yaml")


def test_params_yaml_is_the_composition() -> None:
    assert yaml.safe_load((ROOT / "params.yaml").read_text()) == DEFAULT
    load_params(ROOT / "params.yaml")


@pytest.mark.parametrize(
    ("group", "option"),
    [
        (group.name, option.stem)
        for group in sorted((ROOT / "conf").iterdir())
        if group.is_dir()
        for option in sorted(group.glob("*.yaml"))
    ],
)
def test_every_option_of_every_group_composes(group: str, option: str) -> None:
    more = ["data.path=photos"] if option == "image_folder" else []
    parse(f"{group}={option}", *more)


def test_the_groups_combine_as_the_design_says() -> None:
    params = parse("data=oxford_pets", "dit=small", "train=high_accuracy", "compute=modal")
    assert (params.data.source, params.dit.width, params.compute.backend) == ("oxford_pets", 384, "modal")
    assert (params.train.steps, params.train.lr, params.train.warmup_steps) == (400_000, 5e-5, 15_000)
    assert (params.train.batch_size, params.train.accumulation, params.train.augmentation) == (512, 2, "basic")
    params = parse("data=jersey_numbers", "classifier=resnet50", "classifier.batch_size=24")
    assert (params.data.source, params.classifier.arch, params.classifier.batch_size) == (
        "image_folder",
        "resnet50",
        24,
    )
    params = parse("train=standard", "distill=standard")
    assert (params.train.steps, params.distill.steps) == (200_000, 20_000)


@pytest.mark.parametrize("data", sorted(path.stem for path in (ROOT / "conf/data").glob("*.yaml")))
@pytest.mark.parametrize("distill", sorted(path.stem for path in (ROOT / "conf/distill").glob("*.yaml")))
def test_a_smoke_run_is_short_with_every_data_set(data: str, distill: str) -> None:
    path = ["data.path=photos"] if data == "image_folder" else []
    params = parse("train=smoke", f"data={data}", f"distill={distill}", "dit=small", *path)
    assert (params.train.steps, params.distill.steps) == (10, 10)
    assert params.classifier.max_steps == 10
    assert not params.evaluate.inception
    assert params.publish.gates == []
    assert {run.guard_steps for _, run in params.monitor} == {None}
    assert params.data == parse(f"data={data}", *path).data


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("train.lr", "fast", "train.lr: input should be a valid number, got 'fast'"),
        ("train.lr", -1.0, "train.lr: input should be greater than 0, got -1.0"),
        ("train.stepz", 5, "train.stepz: unknown key"),
        ("train.steps", 1.5, "train.steps: input should be a valid integer, got 1.5"),
        ("train.steps", True, "train.steps: input should be a valid integer, got True"),
        ("classifier.arch", "resnet19", "classifier.arch: timm has no network 'resnet19'; did you mean resnet18"),
        ("evaluate.features", "efficientnetlite0", "evaluate.features: timm has no network 'efficientnetlite0'"),
        ("classifier.head_lr", 0.0, "classifier.head_lr: input should be greater than 0, got 0.0"),
        ("data.source", "moon", "data: input tag 'moon' found using 'source' does not match any of the expected tags"),
        ("data.images_per_class", 0, "data.images_per_class: input should be greater than or equal to 4, got 0"),
        ("dit.patch_size", 7, "dit: patch_size 7 does not divide image_size 64"),
        ("classifier.small_first", 1.5, "classifier.small_first: input should be less than"),
        ("dit.heads", 5, "dit: heads 5 does not divide width 192"),
        ("train.accumulation", 3, "train: accumulation 3 does not divide batch_size 16"),
        ("distill.accumulation", 3, "distill: accumulation 3 does not divide batch_size 16"),
        ("distill.levels", 7, "distill.levels: input should be less than or equal to 6, got 7"),
        ("distill.teacher_share", 1.0, "distill.teacher_share: input should be less than 1, got 1.0"),
        ("distill.guidance", 2.0, "distill.guidance: unknown key"),
        (
            "distill.adversary",
            None,
            "distill: objective adversarial needs an adversary; use distill=adversarial",
        ),
        ("train.beta1", 1.0, "train.beta1: input should be less than 1, got 1.0"),
        (
            "sampler.student_steps",
            3,
            "sampler.student_steps: must be one of [1, 2, 4], which distill.levels 2 teaches, got 3",
        ),
        (
            "sampler.student_steps",
            16,
            "sampler.student_steps: must be one of [1, 2, 4], which distill.levels 2 teaches, got 16",
        ),
        ("distill.levels", 1, "sampler.student_steps: must be one of [1, 2], which distill.levels 1 teaches, got 4"),
        ("sampler.guidance_low", 0.95, "sampler: guidance_low 0.95 is not below guidance_high"),
        ("preprocess.test_fraction", 0.85, "preprocess: val_fraction + test_fraction must stay below 0.9"),
        (
            "preprocess.features",
            "tf_efficientnet_lit0",
            "preprocess.features: timm has no network 'tf_efficientnet_lit0'",
        ),
        ("publish.hub.repo_id", "cats", "publish.hub.repo_id: must be user/name, got 'cats'"),
        ("publish.hub.space_id", "cats", "publish.hub.space_id: must be user/name, got 'cats'"),
        ("publish.version", "1.2", "publish.version: must be MAJOR.MINOR.PATCH, such as 1.2.0, got '1.2'"),
        ("publish.version", "v1.2.0", "publish.version: must be MAJOR.MINOR.PATCH, such as 1.2.0, got 'v1.2.0'"),
        ("publish.hub.repo_id", "ann/ca--ts", "publish.hub.repo_id: Cannot have -- or .. in repo_id: 'ann/ca--ts'"),
        ("publish.hub.repo_id", "ann/c ts", "publish.hub.repo_id: Repo id must use alphanumeric chars"),
        ("publish.hub.token", "hf_x", "publish.hub.token: unknown key"),
        ("sead", 1, "sead: unknown key"),
    ],
)
def test_a_wrong_value_is_one_line(key: str, value: Any, message: str) -> None:
    content = copy.deepcopy(DEFAULT)
    *sections, last = key.split(".")
    section = content
    for name in sections:
        section = section[name]
    section[last] = value
    with pytest.raises(UserError) as caught:
        parse_params(content, "params.yaml")
    assert str(caught.value).startswith(f"params.yaml: {message}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "evaluate.features=tf_efficientnet_lite0",
            "params.yaml: evaluate.features: tf_efficientnet_lite0 is distill.adversary.network too",
        ),
        (
            "distill.adversary.network=tf_efficientnet_lite2.in1k",
            "params.yaml: evaluate.features: tf_efficientnet_lite2 is",
        ),
        (
            "monitor.distill.guard_steps=60",
            "params.yaml: monitor.distill.guard_steps: must be null, since the loss of an",
        ),
        (
            "distill.adversary.augmentation=[color]",
            "params.yaml: distill.adversary.augmentation.0: input should be 'colour'",
        ),
        (
            "distill.adversary.start_share=1.0",
            "params.yaml: distill.adversary.start_share: input should be less than 1",
        ),
    ],
)
def test_what_an_adversary_cannot_be_is_one_line(override: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        parse("distill=adversarial", *override.split())
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)
    if "adversary" not in override:  # the other objective minds neither
        parse("distill=adversarial", "distill.objective=consistency", override)


def test_a_missing_key_and_a_file_that_is_no_yaml_are_one_line(tmp_path: Path) -> None:
    content = copy.deepcopy(DEFAULT)
    del content["train"]["lr"]
    with pytest.raises(UserError, match="lr: is missing"):
        parse_params(content, "params.yaml")
    path = tmp_path / "params.yaml"
    path.write_text("seed: [")
    with pytest.raises(UserError, match="is not YAML"):
        load_params(path)
    path.write_text("")
    with pytest.raises(UserError, match="the whole file"):
        load_params(path)
    with pytest.raises(UserError, match="not found"):
        load_params(tmp_path / "none.yaml")


def test_a_stage_refuses_wrong_params_before_any_work(tmp_path: Path) -> None:
    content = copy.deepcopy(DEFAULT)
    content["dit"]["patch_size"] = 7
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(content))
    done = subprocess.run(
        [sys.executable, str(ROOT / "stages/fetch.py")], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr == "error: params.yaml: dit: patch_size 7 does not divide image_size 64\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["params.yaml"]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("compute.machines.train_dit.gpu=A11", "compute.machines.train_dit.gpu: input should be 'T4', 'L4'"),
        (
            "compute.machines.train_dit.count=5",
            "compute.machines.train_dit: count 5: Modal has at most 4 A10G in a machine",
        ),
        (
            "compute.machines.train_dit.count=9",
            "compute.machines.train_dit.count: input should be less than or equal to 8",
        ),
        (
            "+compute.machines.fetch={gpu: T4, count: 1}",
            "compute.machines.fetch.[key]: input should be 'train_classifier'",
        ),
        ("compute.timeout_s=86401", "compute.timeout_s: input should be less than or equal to 86400, got 86401"),
        ("compute.retries=11", "compute.retries: input should be less than or equal to 10, got 11"),
        ("compute.regions=[moon]", "compute.regions.0: string should match pattern"),
        ("compute.volume='my volume'", "compute.volume: string should match pattern"),
        ("compute.secrets=['']", "compute.secrets.0: string should match pattern"),
        ("~compute.usd_per_hour.T4", "compute: usd_per_hour has no price for T4, the GPU of train_classifier"),
        ("logging=wandb,logging.mode=offline", "logging.mode: offline runs would be lost with the container on Modal"),
    ],
)
def test_what_modal_does_not_know_is_one_line(override: str, message: str) -> None:
    overrides = override.split(",logging", 1)
    more = [overrides[0], *(f"logging{rest}" for rest in overrides[1:])]
    with pytest.raises(UserError) as caught:
        parse("compute=modal", *more)
    assert str(caught.value).startswith(f"params.yaml: {message}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["tinycats", "a.b-c_D", "x" * 64, "x" * 65, "", "a b", "ä", "a/b"])
def test_names_are_those_that_modal_takes(name: str) -> None:
    content = composed("compute=modal")
    content["compute"]["volume"] = name
    try:
        parse_params(content, "params.yaml")
        ours = True
    except UserError:
        ours = False
    assert ours == is_valid_object_name(name)


@pytest.mark.parametrize(
    "machine",
    [
        {"gpu": gpu, "count": count}
        for gpu, count in (("T4", 1), ("A10", 4), ("A10G", 4), ("A100-80GB", 8), ("H100!", 2))
    ],
)
def test_machines_are_said_as_modal_understands_them(machine: dict[str, Any]) -> None:
    config = parse_gpu_config(f"{machine['gpu']}:{machine['count']}")
    assert (config.gpu_type, config.count) == (machine["gpu"], machine["count"])


def test_near_duplicates_cannot_be_dropped_without_features() -> None:
    with pytest.raises(UserError, match=r"preprocess: features: null finds no near-duplicates to drop; use .*: report"):
        parse("data=oxford_pets", "preprocess.features=null")
    assert (
        parse("data=oxford_pets", "preprocess.features=null", "preprocess.near_duplicates=report").preprocess.features
        is None
    )


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
@pytest.mark.parametrize(
    "key", ["train.lr", "train.t_mean", "sampler.guidance", "quantize.max_fd_increase", "compute.checkpoint_every_s"]
)
def test_no_parameter_is_infinite_or_no_number(key: str, value: float) -> None:
    content = copy.deepcopy(DEFAULT)
    section, name = key.split(".")
    content[section][name] = value
    with pytest.raises(UserError, match=rf"params\.yaml: {key}: .*finite number"):
        parse_params(content, "params.yaml")


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("~/photos", "~ is not expanded here"),
        ("https://example.com/a.zip", "is an address"),
        ("s3://b/a", "is an address"),
    ],
)
def test_paths_that_dvc_cannot_watch_are_refused(path: str, words: str) -> None:
    content = composed("data=image_folder", "data.path=photos")
    for change in ({"path": path}, {"extra": [path]}):
        with pytest.raises(UserError, match=words):
            parse_params(content | {"data": content["data"] | change}, "params.yaml")
