"""The app on Modal, under a name of its own for each version of the sources.

Who deploys other sources deploys another app: calls that run, and their retries, keep the code with which they began.
"""

from __future__ import annotations

import hashlib
import re
import sys
from pathlib import Path

import modal
import modal.exception

import tinycats
from tinycats.runtime.compute.connection import say
from tinycats.runtime.compute.job import Job
from tinycats.runtime.compute_params import ModalCompute
from tinycats.runtime.errors import UserError
from tinycats.runtime.files import file_hash

LOCKS = (Path("requirements.lock"), Path("torch.lock"))  # what the image is made of


def app_name(prefix: str, root: Path = Path()) -> str:
    """The prefix, and a hash of all that the app is made of. Raises UserError where a lock file is missing below `root`."""
    for lock in LOCKS:
        if not (root / lock).exists():
            raise UserError(f"{lock}: not found; it defines the image on Modal; run this from the repository root")
    (package,) = tinycats.__path__
    locks = " ".join(file_hash(root / lock) for lock in LOCKS)
    digest = hashlib.sha256(f"{sys.version_info.major}.{sys.version_info.minor} {locks}".encode())
    for path in sorted(Path(package).rglob("*.py")):
        digest.update(f"{path.relative_to(package).as_posix()} {file_hash(path)}".encode())
    return f"{prefix}-{digest.hexdigest()[:10]}"


def is_version(name: str, prefix: str) -> bool:
    """Whether the app of this name is one of those that app_name(prefix) names."""
    return re.fullmatch(rf"{re.escape(prefix)}-[0-9a-f]{{10}}", name) is not None


def deployed_function(compute: ModalCompute, job: Job, volume: modal.Volume) -> tuple[str, modal.Function]:
    """The app's name and the stage's function on its machine; the app is deployed where it is not there."""
    from tinycats.runtime.compute.modal_app import MOUNT, app  # reads the locks

    name = app_name(compute.app)
    function = modal.Function.from_name(name, job.stage, environment_name=compute.environment)
    try:
        function.hydrate()
    except modal.exception.NotFoundError:
        say(job.stage, f"deploys {name} (its image is built the first time, which takes minutes)")
        _deploy(app, name, compute, job.stage)
        function = modal.Function.from_name(name, job.stage, environment_name=compute.environment)
    machine = compute.machines[job.stage]  # type: ignore[index]  # run() has looked
    function = function.with_options(
        gpu=None if machine.gpu is None else f"{machine.gpu}:{machine.count}",
        cpu=machine.cpu,
        memory=machine.memory_mb,
        timeout=compute.timeout_s,
        retries=modal.Retries(max_retries=compute.retries, initial_delay=1.0),
        region=compute.regions or None,
        volumes={MOUNT: volume},
        secrets=[modal.Secret.from_name(name, environment_name=compute.environment) for name in compute.secrets],
    )
    function.hydrate()
    return name, function


def _deploy(app: modal.App, name: str, compute: ModalCompute, stage: str) -> None:
    """Deploy it, and show what Modal's builder says meanwhile. Raises UserError with the builder's error."""
    try:
        with modal.enable_output():
            app.deploy(name=name, environment_name=compute.environment)
    except modal.exception.ImageBuildError as error:
        raise UserError(
            f"{stage}: the image on Modal could not be built: {' '.join(str(error).split())}; what the builder said stands above"
        ) from None
