"""Stages on Modal, with the real client and the real container entrypoint, against a stand-in of the service."""

from __future__ import annotations

import json
import re
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from grpclib import GRPCError, Status

from tests.remote.conftest import Checkout, attached, error, record, training, until
from tests.remote.light_job import light_job
from tests.remote.modal_double import ModalDouble
from tests.unit.test_params import parse
from tinycats.generator.training import train_generator
from tinycats.runtime.compute.call_name import call_name
from tinycats.runtime.params import WandbLogging
from tinycats.runtime.sources import loaded_sources

BUSY = GRPCError(Status.ABORTED, "the volume is busy")


def assert_outputs(checkout: Checkout) -> None:
    assert (checkout.path / "models/light/a").read_text() == "a1,2\n"
    assert (checkout.path / "models/light/b").stat().st_size == 5_000_004
    assert json.loads((checkout.path / "metrics/light.json").read_text())["done"] >= 3


def assert_nothing_in_place(checkout: Checkout) -> None:
    assert not (checkout.path / "models").exists()
    assert not (checkout.path / "metrics").exists()


def test_a_training_run_that_crashes_and_is_preempted_ends_as_one_here(
    checkout, service: ModalDouble, processed: Path
) -> None:
    there, here = checkout(), checkout("here")
    for one in (there, here):
        shutil.copytree(processed, one.path / "data/processed/photo")
    process = there.stage("train_dit")
    service.kill(training(service, process))
    service.preempt(training(service, process, number=2))
    there.finish(process)
    assert len(service.containers) == 3
    assert len(re.findall("resumes from step", there.log())) == 2
    assert "stopped by SIGTERM after step" in there.log()  # the preempted one saved a checkpoint
    assert record(there)["attempts"] == 3

    content = yaml.safe_load((here.path / "params.yaml").read_text())
    content["compute"]["machines"] = {}
    (here.path / "params.yaml").write_text(yaml.safe_dump(content))
    here.finish(here.stage("train_dit"))
    assert len(service.calls) == 1
    outputs = [
        path for part in ("models", "metrics") for path in sorted((here.path / part).rglob("*")) if path.is_file()
    ]
    assert len(outputs) > 5
    for path in outputs:
        assert path.read_bytes() == (there.path / path.relative_to(here.path)).read_bytes(), path


SOURCES = dict.fromkeys(loaded_sources(), "sha256")
FOUND = {"source": {"a": "1", "b": "2"}, "table.csv": {"": "3"}}


def key(found: dict[str, dict[str, str]] = FOUND, sources: dict[str, str] = SOURCES, **arguments: Any) -> str:
    """What the name of a call of the light job ends with."""
    return call_name(light_job(**arguments), found, sources)


def test_the_room_that_cannot_change_a_result_is_not_in_the_name_of_a_call() -> None:
    inside = {name for name in SOURCES if f"{name}.".startswith("tinycats.runtime.")}
    assert inside >= {"tinycats.runtime", "tinycats.runtime.params", "tinycats.runtime.compute.call_name"}
    assert SOURCES.keys() - inside >= {"tinycats.generator.training", "tinycats.learning.loop"}
    unchanged = {name for name in SOURCES if key(sources={**SOURCES, name: "other"}) == key()}
    assert unchanged == inside
    left_out = {name for name in SOURCES if key(sources={n: s for n, s in SOURCES.items() if n != name}) == key()}
    assert left_out == inside
    assert key(sources={**SOURCES, "tinycats.runtime.new": "sha256"}) == key()
    assert key(sources={**SOURCES, "tinycats.new": "sha256"}) != key()


def test_the_name_of_a_call_is_that_of_what_its_result_depends_on() -> None:
    training = parse().train
    logging = WandbLogging(backend="wandb", every_steps=5, project="cats", entity=None, mode="online")
    settings = {"device": "cpu", "every_steps": 1, "guard_steps": 9, "checkpoint_every_s": 1.0, "wandb": logging}
    assert key(run=settings) == key()
    assert key(device="cpu") == key(device="cuda")  # the stage evaluate has no other settings
    names = [
        key(),
        key(steps=4),
        key(more=None),
        key(training=training),
        key(training=training.model_copy(update={"lr": 0.5})),
        key(found={**FOUND, "table.csv": {"": "4"}}),
        key(found={**FOUND, "source": {"a": "1", "c": "2"}}),
        call_name(replace(light_job(), function=train_generator), FOUND, SOURCES),
    ]
    assert len(set(names)) == len(names)


def test_machine_and_limits_are_those_of_the_params_and_the_cost_is_kept(checkout, service: ModalDouble) -> None:
    there = checkout(
        machines={"train_dit": {"gpu": "L4", "count": 2}}, regions=["eu", "us-east"], timeout_s=3600, retries=4
    )
    assert "runs on Modal as fc-" in there.finish(there.light())
    assert_outputs(there)
    (call,) = service.calls.values()
    assert (call.function.resources.gpu_config.gpu_type, call.function.resources.gpu_config.count) == ("L4", 2)
    assert (call.function.timeout_secs, call.function.retry_policy.retries) == (3600, 4)
    assert list(call.function.scheduler_placement.regions) == ["eu", "us-east"]
    (shown,) = json.loads(there.tinycats("runs", "--json"))
    assert (shown["state"], shown["attempts"]) == ("finished", 1)
    assert shown["seconds"] > 0.3
    assert shown["gpu_seconds"] == 2 * shown["seconds"]
    assert shown["usd"] == pytest.approx(shown["gpu_seconds"] / 3600 * 0.80)


def test_inputs_go_up_once_for_their_content(checkout, service: ModalDouble) -> None:
    first, second = checkout("first"), checkout("second")
    first.finish(first.light())
    assert sorted(path.suffix for path in service.volume("tinycats").glob("inputs/*")) == ["", "", ".json", ".json"]
    before = service.requests["files_up"]
    assert "uploads" not in second.finish(second.light(steps=4))
    assert service.requests["files_up"] == before + 2  # what is said of the call, before and after it is made
    assert len(service.calls) == 2
    assert "resumes from step 3" in second.log()


def test_an_upload_that_was_cut_off_is_made_again(checkout, service: ModalDouble) -> None:
    there = checkout()
    service.faults["VolumePutFiles"] = [BUSY]
    assert "Modal: the volume is busy" in error(there.finish(there.light(), code=1))
    assert not service.calls
    there.finish(there.light())
    assert_outputs(there)


def test_who_waits_is_killed_and_others_attach(checkout, service: ModalDouble, gate: Path) -> None:
    """Also with other code of the room that cannot change a result, and with other settings of the run."""
    first, other = checkout("first"), checkout("other")
    other.packages = gate.parent / "packages"
    shutil.copytree(first.packages, other.packages)
    for path in (other.packages / "tinycats/runtime").rglob("*.py"):
        path.write_text(path.read_text() + "# changed\n")
    process = first.light(gate=str(gate))
    training(service, process)
    process.kill()
    process.communicate()
    settings = {"device": "cpu", "every_steps": 7, "checkpoint_every_s": 5.0}
    waiting = [first.light(gate=str(gate)), other.light(gate=str(gate), run=settings)]
    until(lambda: list(other.path.glob(".tinycats/remote/*.json")), waiting[1])  # it knows of the call from the Volume
    gate.touch()
    for one, waits in zip((first, other), waiting, strict=True):
        assert "attaches to the call fc-" in one.finish(waits)
        assert_outputs(one)
    assert len(service.calls) == len(service.containers) == 1


def test_a_stopped_wait_says_that_the_run_continues(checkout, service: ModalDouble, gate: Path) -> None:
    there = checkout()
    process = there.light(gate=str(gate))
    training(service, process)
    process.send_signal(signal.SIGTERM)
    output = there.finish(process, code=130)
    assert output.splitlines()[-1].startswith("train_dit: stopped waiting; a call that has begun continues on Modal")
    attached(there, gate)


def test_a_time_limit_ends_with_a_line_and_the_next_run_resumes(checkout, service: ModalDouble) -> None:
    there = checkout(timeout_s=15, retries=1)
    line = error(there.finish(there.light(steps=3, step_s=8), code=1))
    assert "not done after 2 attempt(s), of 15 s each at most (compute.timeout_s)" in line
    assert len(service.containers) == 2
    assert_nothing_in_place(there)
    kept = record(there)
    assert (kept["state"], kept["attempts"]) == ("failed", 2)
    assert kept["seconds"] > 5
    content = yaml.safe_load((there.path / "params.yaml").read_text())
    content["compute"]["timeout_s"] = 86400
    (there.path / "params.yaml").write_text(yaml.safe_dump(content))
    there.finish(there.light(steps=3, step_s=8))
    assert_outputs(there)


def test_a_lost_connection_heals(checkout, service: ModalDouble, gate: Path) -> None:
    there = checkout()
    process = there.light(gate=str(gate))
    training(service, process)
    service.disconnect()
    assert process.stdout
    next(line for line in process.stdout if "no connection to Modal" in line)
    service.reconnect()
    gate.touch()
    assert "no connection to Modal" not in there.finish(process)  # said once
    assert_outputs(there)
    assert len(service.containers) == 1


def test_a_connection_that_stays_lost_is_one_line(checkout, service: ModalDouble, gate: Path) -> None:
    there = checkout(connection_timeout_s=1.0)
    process = there.light(gate=str(gate))
    training(service, process)
    service.disconnect()
    assert "no connection to Modal for 1 s; the run fc-" in error(there.finish(process, code=1))
    service.reconnect()
    attached(there, gate)
    assert len(service.calls) == 1


def test_commits_that_fail_now_and_then_are_made_up_for(checkout, service: ModalDouble, gate: Path) -> None:
    there = checkout()
    process = there.light(gate=str(gate))
    training(service, process)
    service.faults["VolumeCommit"] = [BUSY, BUSY]
    until(lambda: not service.faults["VolumeCommit"], process)
    gate.touch()
    there.finish(process)
    assert "the Volume could not be committed (the volume is busy); trying again" in there.log()
    assert len(service.containers) == 1


def test_commits_that_never_succeed_are_one_line(checkout, service: ModalDouble) -> None:
    there = checkout(retries=1)
    service.faults["VolumeCommit"] = [BUSY] * 1000
    assert "failed on Modal (the volume is busy)" in error(there.finish(there.light(), code=1))
    assert len(service.containers) == 2
    service.faults.clear()
    there.finish(there.light())
    assert_outputs(there)


def test_without_a_token_nothing_is_sent(checkout, service: ModalDouble) -> None:
    there = checkout()
    output = there.finish(there.light({"MODAL_TOKEN_ID": "", "MODAL_TOKEN_SECRET": ""}), code=1)
    assert output == (
        "error: compute.backend: no token for Modal: run `modal token new`, set MODAL_TOKEN_ID and "
        "MODAL_TOKEN_SECRET, or run locally with -S compute=local\n"
    )
    assert not service.requests
    output = there.finish(there.light({"MODAL_TOKEN_SECRET": "as-other"}), code=1)
    assert "Modal refuses the token (Token missing or wrong)" in error(output)
    assert not service.requests["files_up"]


def test_what_the_job_refuses_is_its_own_line_and_is_not_tried_again(checkout, service: ModalDouble) -> None:
    there = checkout()
    assert error(there.finish(there.light(refuse="lower the rate"), code=1)) == "error: lower the rate"
    assert len(service.containers) == 1
    assert record(there)["state"] == "failed"


def test_a_job_that_breaks_is_tried_again_and_ends_with_a_line(checkout, service: ModalDouble) -> None:
    there = checkout(retries=1)
    line = error(there.finish(there.light(step_s=-1), code=1))
    assert (
        "failed on Modal after 2 attempt(s) (the job ended with exit code 1: ValueError: sleep length must be" in line
    )
    assert len(service.containers) == 2


def test_a_run_is_shown_and_cancelled_and_resumes_later(checkout, service: ModalDouble) -> None:
    there = checkout()
    process = there.light(gate="/none")
    training(service, process)
    (shown,) = json.loads(there.tinycats("runs", "--json"))
    assert (shown["stage"], shown["state"]) == ("train_dit", "running")
    assert "train_dit-" in there.tinycats("runs")
    there.tinycats("cancel", "train_dit")
    assert "train_dit: the run was cancelled; its checkpoints are kept" in error(there.finish(process, code=1))
    assert "is not running but cancelled" in error(there.tinycats("cancel", "train_dit", code=1))
    assert "no such run; known runs: train_dit-" in error(there.tinycats("cancel", "none", code=1))
    until(lambda: all(container.process.returncode is not None for container in service.containers.values()))
    stopped = re.findall(r"stopped by SIGTERM after step (\d+)", there.log())
    there.finish(there.light(steps=int(stopped[0]) + 1))
    assert f"resumes from step {stopped[0]}" in there.log()


def test_an_output_that_is_damaged_on_the_way_is_fetched_again(checkout, service: ModalDouble) -> None:
    there = checkout()
    service.damaged = ["light/b"]
    there.finish(there.light())
    assert not service.damaged
    assert_outputs(there)


def test_outputs_that_stay_damaged_replace_nothing(checkout, service: ModalDouble) -> None:
    there = checkout()
    service.damaged = ["light/b", "light/b"]
    assert "models/light/b arrived damaged from Modal" in error(there.finish(there.light(), code=1))
    assert_nothing_in_place(there)
    there.finish(there.light())
    assert_outputs(there)
    assert len(service.calls) == 1  # what lies there is fetched, not made


def test_outputs_that_are_not_what_they_should_be_replace_nothing(checkout, service: ModalDouble) -> None:
    there = checkout()
    line = error(there.finish(there.light(omit="a"), code=1))
    assert re.search(r"train_dit: arrived from Modal, but .*models/light: has no a", line)
    assert_nothing_in_place(there)
    assert record(there)["state"] == "failed"


def test_a_secret_that_is_not_there_is_one_line(checkout, service: ModalDouble) -> None:
    there = checkout(secrets=["wandb"])
    assert "not found on Modal: Secret 'wandb' not found" in error(there.finish(there.light(), code=1))
    assert not service.calls


@pytest.mark.parametrize("name", ["light_job", "runtime/files"])
def test_another_deployment_in_between_is_noticed(checkout, service: ModalDouble, name: str) -> None:
    there = checkout()
    service.blobs["other"] = (there.packages / f"tinycats/{name}.py").read_bytes() + b"# changed\n"
    service.replaced = {f"tinycats/{name}.py": "other"}
    line = error(there.finish(there.light(), code=1))
    assert f"tinycats.{name.replace('/', '.')} was deployed with other content before this call began" in line
    assert len(service.containers) == 1
