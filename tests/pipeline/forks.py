"""Stages as forks of one process that has imported what they all import, which takes seconds each time.

`directory()` holds a `python` for PATH: it sends a stage's script with its arguments, directory, environment and standard streams
to the process here, passes signals on and ends as the stage ends. Other commands go to the real interpreter. Each fork imports
the project's own modules itself, and draws its own random numbers where nobody seeds them. For Linux.
"""

from __future__ import annotations

import atexit
import functools
import gc
import importlib
import json
import os
import random
import select
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

IMPORTED = [  # not onnxruntime, which starts threads, nor what reads the environment then, as huggingface_hub does
    "dvclive",
    "matplotlib.backends.backend_agg",
    "matplotlib.figure",
    "onnxscript",
    "safetensors.torch",
    "scipy.optimize",
    "scipy.stats",
    "sklearn.metrics",
    "torch._dynamo",
    "torch.onnx._internal.exporter._core",
    "tinycats.runtime.vision",  # torchvision, which cannot be imported otherwise
]
LONGEST_MESSAGE = 1 << 17
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@functools.cache
def address() -> str:
    """The socket of the process to be forked, which is started here and ends with this process."""
    path = tempfile.mkdtemp(prefix="forks-")
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    name = f"{path}/socket"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}  # a process with threads cannot be forked
    server = subprocess.Popen(
        [sys.executable, __file__, "serve", name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    )
    assert server.stdout
    assert server.stdout.readline() == b"ready\n"
    atexit.register(server.wait)
    atexit.register(server.stdin.close)  # type: ignore[union-attr]
    return name


@functools.cache
def directory() -> Path:
    """Where the `python` for PATH is."""
    path = Path(address()).parent / "bin"
    path.mkdir()
    command = shlex.join([sys.executable, "-IS", __file__, "run", address(), sys.executable])
    (path / "python").write_text(f'#!/bin/sh\nexec {command} "$@"\n')
    (path / "python").chmod(0o755)
    return path


class Fork:
    """A running script."""

    def __init__(
        self, server: str, arguments: Sequence[str], where: Path, environment: Mapping[str, str], streams: Sequence[int]
    ) -> None:
        request = {"arguments": list(arguments), "directory": str(where), "environment": dict(environment)}
        self.connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.connection.connect(server)
        socket.send_fds(self.connection, [json.dumps(request).encode()], streams)
        self.pid = int(self.connection.recv(LONGEST_MESSAGE))
        self.exit_code: int | None = None

    def poll(self) -> int | None:
        """The exit code, as that of subprocess.Popen; None while it runs."""
        if self.exit_code is None and select.select([self.connection], [], [], 0)[0]:
            self.wait()
        return self.exit_code

    def wait(self) -> int:
        if self.exit_code is None:
            self.exit_code = int(self.connection.recv(LONGEST_MESSAGE))
            self.connection.close()
        return self.exit_code

    def send(self, number: int) -> None:
        if self.exit_code is None:
            os.kill(self.pid, number)


def run(server: str, interpreter: str, arguments: list[str]) -> None:
    """What the `python` for PATH does."""
    if not arguments or not arguments[0].endswith(".py"):
        os.execv(interpreter, [interpreter, *arguments])
    fork = Fork(server, arguments, Path.cwd(), os.environ, (0, 1, 2))
    for number in SIGNALS:
        signal.signal(number, lambda number, _frame: fork.send(number))
    code = fork.wait()
    if code < 0:
        for number in SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    sys.exit(code)


def serve(name: str) -> None:
    """Fork for each that connects, until the standard input ends; returns in the forks alone, ready to run the script."""
    import numpy

    for module in IMPORTED:
        importlib.import_module(module)
    for module in [module for module in sys.modules if module.partition(".")[0] == "tinycats"]:
        del sys.modules[module]
    gc.collect()
    gc.freeze()  # or each fork copies and frees all of that as it ends
    assert len(list(Path("/proc/self/task").iterdir())) == 1, "a process with threads cannot be forked"
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(name)
    listener.listen()
    print("ready", flush=True)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the watchers
    while True:
        if sys.stdin in select.select([listener, sys.stdin], [], [])[0]:
            os._exit(0)
        connection, _ = listener.accept()
        if not os.fork():
            break
        connection.close()
    listener.close()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    message, streams, _, _ = socket.recv_fds(connection, LONGEST_MESSAGE, 3)
    stage = os.fork()
    if stage:
        for stream in streams:
            os.close(stream)
        watch(connection, stage)
    connection.close()
    request = json.loads(message)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(request["directory"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = request["arguments"]
    sys.path[:1] = [str(Path(sys.argv[0]).resolve().parent), *filter(None, os.environ.get("PYTHONPATH", "").split(":"))]
    importlib.invalidate_caches()
    random.seed()
    numpy.random.seed()


def watch(connection: socket.socket, stage: int) -> None:
    """Tell who asked for the stage how it ended; kill it where the other is killed. Does not return."""
    connection.send(str(stage).encode())
    ended = os.pidfd_open(stage)
    if ended not in select.select([ended, connection], [], [])[0]:
        os.kill(stage, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(stage, 0)[1])
    try:
        connection.send(str(code).encode())
    except OSError:
        os._exit(1)
    os._exit(0)


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(sys.argv[2])
        import runpy

        runpy.run_path(sys.argv[0], run_name="__main__")
    else:
        run(sys.argv[2], sys.argv[3], sys.argv[4:])
