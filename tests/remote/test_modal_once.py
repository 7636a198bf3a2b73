"""One job on Modal is one call and one bill, whatever Modal answers, whoever is killed and however many want it."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from grpclib import GRPCError, Status

from tests.remote.conftest import Checkout, attached, error, record, training, until
from tests.remote.modal_double import Build, ModalDouble
from tinycats.runtime.compute.volume_checkpoints import VolumeCheckpoints
from tinycats.runtime.earlier_runs import EARLIER_RUNS, link_earlier
from tinycats.runtime.files import write_json

UNEXPECTED = [
    Status.ABORTED, Status.PERMISSION_DENIED, Status.FAILED_PRECONDITION, Status.INVALID_ARGUMENT, Status.NOT_FOUND,
    Status.OUT_OF_RANGE, Status.UNIMPLEMENTED, Status.DATA_LOSS, Status.ALREADY_EXISTS, Status.RESOURCE_EXHAUSTED,
]  # fmt: skip


@pytest.fixture
def running(checkout, service: ModalDouble, gate: Path) -> Iterator[Checkout]:
    """A checkout whose call runs, and whose command was killed."""
    there = checkout(connection_timeout_s=1.0)
    process = there.light(gate=str(gate))
    training(service, process)
    process.kill()
    process.communicate()
    yield there
    gate.touch()


def change(checkout: Checkout, **fields: Any) -> None:
    """Change what is known there of its one call."""
    (path,) = (checkout.path / ".tinycats/remote").glob("*.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def test_no_unexpected_answer_to_a_poll_ends_the_call(checkout, service: ModalDouble, gate: Path) -> None:
    there = checkout()
    process = there.light(gate=str(gate))
    training(service, process)
    service.faults["FunctionGetOutputs"] = [GRPCError(status, "something else") for status in UNEXPECTED]
    until(lambda: not service.faults["FunctionGetOutputs"], process)
    assert record(there)["state"] == "running"
    gate.touch()
    assert "train_dit: done on Modal in 1 attempt(s)" in there.finish(process)
    assert len(service.calls) == len(service.containers) == 1


def test_where_no_answer_comes_the_record_stays_and_nothing_is_spawned(
    running: Checkout, service: ModalDouble, gate: Path
) -> None:
    """Whatever the record says; an answer that is not one of those that end a call says nothing."""
    for state in ("running", "failed", "finished"):
        change(running, state=state)
        service.faults["FunctionGetOutputs"] = [GRPCError(Status.ABORTED, "try later")] * 100
        line = error(running.finish(running.light(gate=str(gate)), code=1))
        assert "no answer from Modal for 1 s; the run fc-" in line
        assert "try later" in line
        assert record(running)["state"] == state
    service.faults.clear()
    attached(running, gate)
    assert len(service.calls) == 1


def test_a_call_that_modal_does_not_know_is_given_up_by_hand_alone(
    running: Checkout, service: ModalDouble, gate: Path
) -> None:
    service.faults["FunctionGetOutputs"] = [GRPCError(Status.NOT_FOUND, "no such call")] * 2
    line = error(running.finish(running.light(gate=str(gate)), code=1))
    assert "Modal does not know the call fc-" in line
    assert "`tinycats cancel train_dit-" in line
    assert (record(running)["state"], len(service.calls)) == ("running", 1)
    service.faults["FunctionCallCancel"] = [GRPCError(Status.NOT_FOUND, "no such call")]
    assert "which is given up here" in running.tinycats("cancel", "train_dit")
    gate.touch()
    running.finish(running.light(gate=str(gate)))


def test_what_nobody_counted_is_not_said(checkout, service: ModalDouble) -> None:
    there = checkout(retries=0)
    service.faults["VolumeCommit"] = [GRPCError(Status.ABORTED, "the volume is busy")] * 1000
    line = error(there.finish(there.light(), code=1))
    assert "train_dit: failed on Modal (the volume is busy); " in line
    assert record(there)["attempts"] is None


def test_a_caller_that_is_killed_while_its_call_is_queued_leaves_its_id(checkout, service: ModalDouble) -> None:
    first, second = checkout("first"), checkout("second")
    service.queued = True
    process = first.light()
    until(lambda: list(service.volume("tinycats").glob("calls/*/1/call.json")) if service.calls else None, process)
    process.kill()
    process.communicate()
    assert not service.containers
    waits = second.light()
    until(lambda: list(second.path.glob(".tinycats/remote/*.json")), waits)
    service.queued = False
    assert "attaches to the call fc-" in second.finish(waits)
    assert len(service.calls) == 1


def test_of_two_at_the_same_moment_one_makes_the_call(checkout, service: ModalDouble) -> None:
    """One is stopped between its claim and its call; the other waits for the call."""
    first, second = checkout("first"), checkout("second")
    first.finish(first.light(steps=1))  # the app and the inputs are there: both are as quick
    service.delays["FunctionMap"] = 5.0
    waiting = [first.light(), second.light()]
    outputs = [one.finish(process) for one, process in zip((first, second), waiting, strict=True)]
    assert sum("runs on Modal as fc-" in output for output in outputs) == 1
    assert sum("another command is about to start the same run; waits for it" in output for output in outputs) == 1
    assert len(service.calls) == 2  # the first of all, and one for the two


def test_a_claim_whose_owner_is_gone_does_not_hold_up_the_next(checkout, service: ModalDouble, tmp_path: Path) -> None:
    there = checkout()
    there.finish(there.light(refuse="no"), code=1)
    (name,) = [path.name for path in service.volume("tinycats").glob("calls/*")]
    claim = service.volume("tinycats") / f"calls/{name}/2/claim.json"
    claim.parent.mkdir()
    claim.write_text(json.dumps({"owner": "somebody", "at": time.time() - 3600}))
    there.finish(there.light(refuse="no"), code=1)
    assert (claim.parent.parent / "3/call.json").exists()


def test_two_calls_of_a_run_keep_their_checkpoints_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each reads what the others have written, and deletes its own alone."""
    volume = tmp_path / "volume"
    places = {}
    for call in ("one", "two"):
        (tmp_path / call).mkdir()
        places[call] = VolumeCheckpoints(tmp_path / f"{call}/runs", volume, tmp_path / call, call, lambda: None)
        (tmp_path / f"{call}/runs/light-0").mkdir(parents=True)
    for step in (1, 2, 3):
        for call, checkpoints in places.items():
            (checkpoints.runs / f"light-0/checkpoint-{step}-{call}.pt").write_text(call)
            (checkpoints.runs / f"light-0/checkpoint-{step - 1}-{call}.pt").unlink(missing_ok=True)
            checkpoints.save()
    kept = sorted(path.relative_to(volume).as_posix() for path in volume.rglob("*.pt"))
    assert kept == ["runs/light-0/one/checkpoint-3-one.pt", "runs/light-0/two/checkpoint-3-two.pt"]
    (volume / "runs/light-1/one").mkdir(parents=True)
    (volume / "runs/light-1/one/checkpoint-9-one.pt").touch()
    monkeypatch.setenv(EARLIER_RUNS, str(volume / "runs"))
    third = VolumeCheckpoints(tmp_path / "three/runs", volume, tmp_path, "three", lambda: None)
    link_earlier(third.runs / "light-0")
    assert sorted(path.name for path in third.runs.glob("*/*")) == ["checkpoint-3-one.pt", "checkpoint-3-two.pt"]
    (third.runs / "light-0/checkpoint-3-one.pt").unlink()  # a link: the file is the other call's
    (third.runs / "light-0/checkpoint-4-three.pt").touch()
    third.save()
    assert len(list(volume.rglob("light-0/*/*.pt"))) == 3


def test_what_a_finished_call_has_made_is_fetched(checkout, service: ModalDouble) -> None:
    """Its waiter was lost; also where Modal has forgotten the call, or another checkout wants it."""
    first, second = checkout("first"), checkout("second")
    process = first.light()
    until(lambda: service.calls, process)
    process.kill()
    process.communicate()
    until(lambda: all(call.ended.is_set() for call in service.calls.values()))
    service.calls.clear()
    for one in (first, second):
        assert "fetches what the call fc-" in one.finish(one.light())
        assert (one.path / "models/light/a").read_text() == "a1,2\n"
        assert record(one)["state"] == "finished"
    shutil.rmtree(first.path / "models")
    first.finish(first.light())
    assert (first.path / "models/light/a").exists()
    assert not service.calls
    assert len(service.containers) == 1


def test_outputs_that_are_damaged_on_the_volume_are_made_again(checkout, service: ModalDouble) -> None:
    there = checkout()
    there.finish(there.light())
    (path,) = service.volume("tinycats").glob("calls/*/1/outputs/models/light/a")
    path.write_text("other")
    assert "models/light/a arrived damaged from Modal; the outputs are made again" in there.finish(there.light())
    assert (there.path / "models/light/a").read_text() == "a1,2\n"
    assert len(service.calls) == 2


def test_each_version_of_the_sources_is_an_app_of_its_own(checkout, service: ModalDouble, gate: Path) -> None:
    """Somebody deploys other code while a run is under way that is tried again: it keeps its code."""
    first, other = checkout("first"), checkout("other")
    other.packages = gate.parent / "packages"
    shutil.copytree(first.packages, other.packages)
    (other.packages / "tinycats/light_job.py").open("a").write("# changed\n")
    process = first.light(gate=str(gate))
    container = training(service, process)
    other.finish(other.light())
    assert len(service.apps) == 2
    service.kill(container)
    until(lambda: len(service.containers) == 3, process)
    gate.touch()
    first.finish(process)
    assert len(service.calls) == 2
    before = service.requests["AppCreate"]
    first.finish(first.light(steps=4))
    assert service.requests["AppCreate"] == before  # it is there already


def test_the_builder_is_heard_and_its_error_is_the_end(checkout, service: ModalDouble) -> None:
    there = checkout()
    service.builds = [Build(["Collecting torch", "No matching distribution"], "Image build failed with exit code 1")]
    output = there.finish(there.light(), code=1)
    assert "Collecting torch" in output
    line = error(output)
    assert "the image on Modal could not be built" in line
    assert "Image build failed with exit code 1" in line
    assert not service.calls
    service.builds = [Build(["Collecting torch", "Successfully installed torch"])]
    assert "Successfully installed torch" in there.finish(there.light())


def test_progress_that_cannot_be_read_is_no_end(checkout, service: ModalDouble, gate: Path) -> None:
    there = checkout()
    process = there.light(gate=str(gate))
    training(service, process)
    (folder,) = service.volume("tinycats").glob("calls/*/1")
    write_json(folder / "status.json", {})
    for fault in (Status.ABORTED, Status.PERMISSION_DENIED, Status.INTERNAL):
        service.faults.setdefault("VolumeGetFile2", []).append(GRPCError(fault, "no"))
    service.broken_reads = [("status.json", 500)] * 5
    until(lambda: not service.faults["VolumeGetFile2"] and not service.broken_reads, process)
    gate.touch()
    there.finish(process)
    assert len(service.calls) == 1


def test_outputs_whose_reads_fail_for_a_while_arrive(checkout, service: ModalDouble) -> None:
    there = checkout()
    service.broken_reads = [("light/b", 500)] * 7  # the client tries five times
    there.finish(there.light())
    assert not service.broken_reads
    assert len(service.calls) == 1


def test_a_run_whose_state_is_not_known_is_unknown_and_says_why(running: Checkout) -> None:
    def shown(*command: str, **env: str) -> str:
        return running.finish(running.start("-m", "tinycats.cli", "runs", *command, **env))

    refused = shown("--json", MODAL_TOKEN_SECRET="as-other")
    (row,) = json.loads(refused)
    assert (row["state"], row["problem"][:24]) == ("unknown", "Modal refuses the token ")
    assert "unknown: Modal refuses the token (Token missing or wrong)" in shown(MODAL_TOKEN_SECRET="as-other")
    assert "unknown: compute.backend: no token for Modal" in shown(MODAL_TOKEN_ID="", MODAL_TOKEN_SECRET="")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"processes": 4}, "compute: processes 4 on the 1 x A10G of train_dit"),
        ({"device": "cpu"}, "compute: device: cpu would leave the 1 x A10G of train_dit idle"),
        (
            {"machines": {"evaluate": {"gpu": "T4", "count": 8}}},
            "compute: machines.evaluate.count 8: evaluate uses one",
        ),
        (
            {"machines": {"train_dit": {"gpu": None, "count": 1}}, "device": "cuda"},
            "compute: machines.train_dit has no gpu",
        ),
    ],
)
def test_a_machine_that_would_idle_is_refused_before_anything_is_sent(
    checkout, service: ModalDouble, changes: dict[str, Any], message: str
) -> None:
    there = checkout(**{"machines": {"train_dit": {"gpu": "A10G", "count": 1}}, **changes})
    assert message in error(there.finish(there.light(), code=1))
    assert not service.requests


def test_cores_and_memory_are_requested(checkout, service: ModalDouble) -> None:
    there = checkout(machines={"train_dit": {"gpu": None, "count": 1, "cpu": 2.5, "memory_mb": 2048}})
    there.finish(there.light())
    there.tinycats("runs")
    content = yaml.safe_load((there.path / "params.yaml").read_text())
    content["compute"]["machines"]["train_dit"] = {"gpu": "T4", "count": 1}
    (there.path / "params.yaml").write_text(yaml.safe_dump(content))
    there.finish(there.light(steps=4))
    asked = [(call.function.resources.milli_cpu, call.function.resources.memory_mb) for call in service.calls.values()]
    assert asked == [(2500, 2048), (4000, 16384)]
    assert [call.function.resources.gpu_config.count for call in service.calls.values()] == [0, 1]


def test_what_is_old_is_pruned_and_what_a_call_needs_stays(
    checkout, service: ModalDouble, gate: Path, tmp_path: Path
) -> None:
    old, there = checkout("old"), checkout()
    old.packages = tmp_path / "packages"
    shutil.copytree(there.packages, old.packages)
    (old.packages / "tinycats/light_job.py").open("a").write("# changed\n")
    old.finish(old.light(steps=1))
    volume = service.volume("tinycats")
    (volume / "runs/train_classifier-1/fc-1").mkdir(parents=True)
    (volume / "runs/train_classifier-1/fc-1/checkpoint-1.pt").touch()
    (volume / "runs/train_dit-1/fc-1").mkdir(parents=True)
    (volume / "runs/train_dit-1/fc-1/checkpoint-1.pt").touch()
    (volume / "inputs/unused").touch()
    service.queued = True
    process = there.light(gate=str(gate))
    until(lambda: list(there.path.glob(".tinycats/remote/*.json")), process)
    process.kill()
    process.communicate()
    for path in volume.rglob("*"):
        os.utime(path, (0, 0))
    first, second = service.apps  # the second has a call that is queued
    other = volume / "inputs/new"
    other.touch()
    pruned = there.tinycats("runs", "--prune").splitlines()
    (call,) = [path.parent.name for path in volume.glob("calls/*/1")]
    assert record(there)["name"] == call
    assert list(service.apps) == [second]
    assert f"stopped the app {first}" in pruned
    assert sorted(path.name for path in volume.glob("runs/*")) == ["train_dit-1"]
    assert len(list(volume.glob("inputs/*"))) == 2 * 2 + 1
    assert "nothing there is older than 30 days" in there.tinycats("runs", "--prune")
    service.queued = False
    gate.touch()
    there.finish(there.light(gate=str(gate)))


def test_a_job_that_does_not_stop_leaves_time_for_the_commit(checkout, service: ModalDouble) -> None:
    """Of the 30 s that a preempted container has; a large state takes its time."""
    there = checkout()
    process = there.light(steps=1, step_s=300)
    until(lambda: "light: resumes from step 0" in there.log(), process)
    (container,) = service.containers.values()
    service.delays["VolumeCommit"] = 10.0
    service.preempt(container)
    until(lambda: container.process and container.process.returncode is not None, process)
    assert not container.killed
    process.kill()
    process.communicate()
