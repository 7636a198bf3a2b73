"""A stand-in for Modal on the loopback: a gRPC server of the classes that the `modal` package carries, which runs each call
with Modal's own container entrypoint in a process that has the mounted files, the image's environment and a view of the
Volume, and nothing else of the project.

What it leaves out: images are not built (the process has this environment's packages), GPUs are only noted, secrets hold
nothing, and the mount point of a Volume is given by the image's environment, since no process here may mount anything.
"""

# ruff: noqa: N802 (the methods have the names of the protocol)
from __future__ import annotations

import asyncio
import hashlib
import inspect
import os
import shutil
import signal
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from aiohttp import web
from google.protobuf.empty_pb2 import Empty
from grpclib import GRPCError, Status
from grpclib.events import RecvRequest, listen
from grpclib.server import Server
from modal_proto import api_pb2
from modal_proto.api_grpc import ModalClientBase

TOKEN = ("ak-test", "as-test")
DONE = api_pb2.GenericResult
BLOCK_BYTES = 8 * 1024 * 1024  # of a Volume, as the client reads it


@dataclass
class Call:
    id: str
    function: api_pb2.Function
    app_id: str
    input: api_pb2.FunctionInput
    outputs: list[api_pb2.FunctionPutOutputsItem] = field(default_factory=list)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: bool = False
    containers: list[Container] = field(default_factory=list)


@dataclass
class Build:
    """Of an image: what the builder says, and how it ends."""

    lines: list[str]
    error: str | None = None


@dataclass
class Container:
    id: str
    call: Call
    directory: Path
    volumes: dict[str, Path]
    bases: dict[str, dict[str, int]] = field(
        default_factory=dict
    )  # modification times by path, when the view was last the Volume
    process: asyncio.subprocess.Process | None = None
    output: api_pb2.FunctionPutOutputsItem | None = None
    served: bool = False
    preempted: bool = False
    killed: bool = False  # it did not end in the time that it had


class CuttableServer(Server):
    """Knows its connections."""

    def __init__(self, handlers: list[Any]) -> None:
        super().__init__(handlers)
        self.protocols: list[Any] = []

    def _protocol_factory(self) -> Any:
        self.protocols.append(super()._protocol_factory())
        return self.protocols[-1]


class ModalDouble:
    """What the service knows. Tests read it, and change `faults`: errors that the next requests of a name are answered with."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.requests: Counter[str] = Counter()
        self.faults: dict[str, list[GRPCError]] = {}
        self.blobs: dict[str, bytes] = {}
        self.mounts: dict[str, dict[str, str]] = {}  # sha256 by path
        self.volumes: dict[str, Path] = {}
        self.images: dict[str, api_pb2.Image] = {}
        self.apps: dict[str, str] = {}
        self.layouts: dict[str, dict[str, str]] = {}  # function ids by name, by app
        self.functions: dict[str, api_pb2.Function] = {}
        self.function_apps: dict[str, str] = {}
        self.calls: dict[str, Call] = {}
        self.containers: dict[str, Container] = {}
        self.heartbeat_s = 0.3
        self.replaced: dict[str, str] = {}  # other content for mounted files whose path ends so
        self.damaged: list[str] = []  # ends of paths of files; for each, such a file is sent with a wrong bit
        self.delays: dict[str, float] = {}  # seconds before a request of a name is answered
        self.queued = False  # calls are taken, and no container starts
        self.builds: list[Build] = []  # of the next images that are asked for; the others are built already
        self.building: dict[str, Build] = {}
        self.broken_reads: list[
            tuple[str, int]
        ] = []  # ends of paths of files; for each, such a file is answered with the status
        self.stopped: set[str] = set()  # ids of apps
        self._loop = asyncio.new_event_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.port = 0

    def start(self) -> None:
        self._thread.start()
        assert self._ready.wait(30)

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)

    def disconnect(self) -> None:
        """Stop listening and cut all connections; the containers continue."""
        asyncio.run_coroutine_threadsafe(self._close_server(), self._loop).result(30)

    def reconnect(self) -> None:
        asyncio.run_coroutine_threadsafe(self._open_server(), self._loop).result(30)

    @property
    def environment(self) -> dict[str, str]:
        """For a process that is to use this service."""
        return {
            "MODAL_SERVER_URL": f"http://127.0.0.1:{self.port}",
            "MODAL_TOKEN_ID": TOKEN[0],
            "MODAL_TOKEN_SECRET": TOKEN[1],
            "MODAL_CONFIG_PATH": str(self.root / "none.toml"),
        }

    def new_id(self, prefix: str) -> str:
        self.requests["ids"] += 1
        return f"{prefix}-{self.requests['ids']:06d}"

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._open_http())
        self._loop.run_until_complete(self._open_server())
        self._ready.set()
        self._loop.run_forever()

    async def _open_http(self) -> None:
        application = web.Application(client_max_size=1 << 30)
        application.router.add_put("/blob/{id}", self._put_blob)
        application.router.add_get("/blob/{id}", self._get_blob)
        application.router.add_get("/file/{volume}/{path:.*}", self._get_file)
        self._runner = web.AppRunner(application)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.http = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"  # type: ignore[union-attr]

    async def _open_server(self) -> None:
        self._server = CuttableServer([Service(self)])
        listen(self._server, RecvRequest, self._receive)
        await self._server.start("127.0.0.1", self.port)
        self.port = self._server._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]

    async def _close_server(self) -> None:
        self._server.close()
        for protocol in self._server.protocols:
            transport = getattr(protocol.connection, "_transport", None)  # gone where it is closed already
            if transport:
                transport.abort()
        await asyncio.sleep(0.1)

    async def _stop(self) -> None:
        for container in self.containers.values():
            self.kill(container)
        for task in list(self._tasks):
            task.cancel()
        await self._close_server()
        await self._runner.cleanup()

    async def _receive(self, event: RecvRequest) -> None:
        """Count, refuse a wrong token, and raise the fault that a test asks for."""
        name = event.method_name.rsplit("/", 1)[1]
        self.requests[name] += 1
        meta = event.metadata
        task = str(meta.get("x-task", ""))
        if task:
            self.requests[f"{task}:{name}"] += 1
        elif (meta.get("x-modal-token-id"), meta.get("x-modal-token-secret")) != TOKEN:
            raise GRPCError(Status.UNAUTHENTICATED, "Token missing or wrong")
        if name in self.delays:
            await asyncio.sleep(self.delays[name])
        if self.faults.get(name):
            raise self.faults[name].pop(0)

    async def _put_blob(self, request: web.Request) -> web.Response:
        content = await request.read()
        self.blobs[request.match_info["id"]] = content
        return web.Response(headers={"ETag": f'"{hashlib.md5(content).hexdigest()}"'})

    async def _get_blob(self, request: web.Request) -> web.Response:
        return web.Response(body=self.blobs[request.match_info["id"]])

    async def _get_file(self, request: web.Request) -> web.Response:
        start = int(request.query["start"])
        path = self.volumes[request.match_info["volume"]] / request.match_info["path"]
        for end, status in self.broken_reads:
            if request.path.endswith(end):
                self.broken_reads.remove((end, status))
                return web.Response(status=status, text="the block could not be read")
        content = path.read_bytes()[start : start + BLOCK_BYTES]
        if self.damaged and request.path.endswith(self.damaged[0]):
            self.damaged.pop(0)
            content = bytes([content[0] ^ 1]) + content[1:]
        self.requests["bytes_down"] += len(content)
        return web.Response(body=content)

    def volume(self, name: str) -> Path:
        """The committed content of a Volume."""
        return self.volumes[f"vo-{name}"]

    def kill(self, container: Container) -> None:
        """As if its machine had gone."""
        if container.process and container.process.returncode is None:
            os.killpg(container.process.pid, signal.SIGKILL)

    def preempt(self, container: Container) -> None:
        """As Modal does: SIGINT to the container's main process, and another container for the call; 30 s later, the end."""
        assert container.process
        container.preempted = True
        os.kill(container.process.pid, signal.SIGINT)
        self._loop.call_soon_threadsafe(self._loop.call_later, 30, self._lose_patience, container)

    def _lose_patience(self, container: Container) -> None:
        if container.process and container.process.returncode is None:
            container.killed = True
            self.kill(container)

    def begin(self, call: Call) -> None:
        task = self._loop.create_task(self._serve(call))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, call: Call) -> None:
        """Give the call one container after the other until it is done or there are no retries left."""
        retries = call.function.retry_policy.retries
        while self.queued and not call.cancelled:
            await asyncio.sleep(0.05)
        if call.cancelled:
            call.outputs.append(_ended(DONE.GENERIC_STATUS_TERMINATED, "cancelled"))
            call.ended.set()
            return
        while True:
            container = self._new_container(call)
            timed_out = await self._run_container(container)
            output = container.output
            if call.cancelled:
                output = _ended(DONE.GENERIC_STATUS_TERMINATED, "cancelled")
            elif output is None and container.preempted:
                continue
            elif timed_out:
                output = _ended(
                    DONE.GENERIC_STATUS_TIMEOUT,
                    f"Task's current input hit its timeout of {call.function.timeout_secs}s",
                )
            elif output is None:
                output = _ended(DONE.GENERIC_STATUS_INTERNAL_FAILURE, "the container ended without a result")
            if output.result.status in (DONE.GENERIC_STATUS_SUCCESS, DONE.GENERIC_STATUS_TERMINATED) or not retries:
                call.outputs.append(output)
                call.ended.set()
                return
            retries -= 1

    def _new_container(self, call: Call) -> Container:
        name = self.new_id("ta")
        directory = self.root / "containers" / name
        for mount in call.function.mount_ids:
            for path, sha in self.mounts.get(mount, {}).items():
                sha = next((new for end, new in self.replaced.items() if path.endswith(end)), sha)
                file = directory / path.lstrip("/")
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(self.blobs[sha])
        (directory / "root").mkdir(parents=True, exist_ok=True)
        container = Container(name, call, directory, {})
        for mount in call.function.volume_mounts:
            container.volumes[mount.volume_id] = directory / mount.mount_path.lstrip("/")
            shutil.copytree(self.volumes[mount.volume_id], container.volumes[mount.volume_id])
            container.bases[mount.volume_id] = _times(container.volumes[mount.volume_id])
        self.containers[name] = container
        call.containers.append(container)
        return container

    def image_environment(self, function: api_pb2.Function) -> dict[str, str]:
        commands = self.image_commands(function.image_id)
        pairs = [command.removeprefix("ENV ").split("=", 1) for command in commands if command.startswith("ENV ")]
        return {name: value.strip("'\"") for name, value in pairs}

    def image_commands(self, image_id: str) -> list[str]:
        """Of this image and those below it."""
        image = self.images[image_id]
        below = [line for base in image.base_images for line in self.image_commands(base.image_id)]
        return below + list(image.dockerfile_commands)

    def image_files(self, image_id: str) -> dict[str, bytes]:
        """What the commands of this image and those below it read."""
        image = self.images[image_id]
        files = {file.filename: file.data for file in image.context_files}
        for base in image.base_images:
            files |= self.image_files(base.image_id)
        return files

    async def _run_container(self, container: Container) -> bool:
        """Run Modal's entrypoint until it ends; return whether it was killed for taking too long."""
        call, directory = container.call, container.directory
        functions = self.layouts[call.app_id]
        objects = [
            api_pb2.Object(object_id=id, function_handle_metadata=handle(self.functions[id]))
            for id in functions.values()
        ]
        known = {object.object_id for object in objects}
        for function in [call.function, *(self.functions[id] for id in functions.values())]:
            for dependency in function.object_dependencies:
                if dependency.object_id not in known:
                    objects.append(api_pb2.Object(object_id=dependency.object_id))
                    known.add(dependency.object_id)
        arguments = api_pb2.ContainerArguments(
            task_id=container.id, function_id=functions[call.function.function_name], app_id=call.app_id,
            function_def=call.function, environment_name="main",
            app_layout=api_pb2.AppLayout(objects=objects, function_ids=functions),
        )  # fmt: skip
        (directory / "arguments").write_bytes(arguments.SerializeToString())
        mounted = {mount.mount_path: str(container.volumes[mount.volume_id]) for mount in call.function.volume_mounts}
        image = {name: mounted.get(value, value) for name, value in self.image_environment(call.function).items()}
        log = (directory / "log").open("wb")
        container.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "modal._container_entrypoint",
            cwd=directory / "root", stdout=log, stderr=log, start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # tests in a shell's background ignore it
            env={
                "PATH": os.environ["PATH"], "HOME": str(directory), "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo",
                **image, "PYTHONPATH": str(directory / "root"), "PYTHONDONTWRITEBYTECODE": "1",
                "MODAL_IS_REMOTE": "1", "MODAL_TASK_ID": container.id, "MODAL_HEARTBEAT_INTERVAL": str(self.heartbeat_s),
                "MODAL_SERVER_URL": f"http://127.0.0.1:{self.port}", "MODAL_OVERRIDE_HEADERS": f"x-task:{container.id}",
                "MODAL_CONTAINER_ARGUMENTS_PATH": str(directory / "arguments"),
            },
        )  # fmt: skip
        log.close()
        try:
            await asyncio.wait_for(container.process.wait(), call.function.timeout_secs or None)
            return False
        except TimeoutError:
            return True
        finally:
            self.kill(container)
            await container.process.wait()


def _ended(status: Any, text: str) -> api_pb2.FunctionPutOutputsItem:
    return api_pb2.FunctionPutOutputsItem(result=DONE(status=status, exception=text))


def handle(function: api_pb2.Function) -> api_pb2.FunctionHandleMetadata:
    return api_pb2.FunctionHandleMetadata(
        function_name=function.function_name, function_type=function.function_type,
        supported_input_formats=function.supported_input_formats, supported_output_formats=function.supported_output_formats,
        definition_id=f"de-{function.function_name}", function_schema=function.function_schema,
    )  # fmt: skip


def data(function: api_pb2.Function) -> api_pb2.FunctionData:
    return api_pb2.FunctionData(
        function_name=function.function_name,
        ranked_functions=[api_pb2.FunctionData.RankedFunction(rank=0, function=function)],
    )


class Service:
    """The methods that are needed here; `ModalClientBase` tells their types."""

    def __init__(self, double: ModalDouble) -> None:
        self.double = double

    def __mapping__(self) -> dict[str, Any]:
        """All methods of Modal's service: those below, and an error for the others."""
        complete = type(
            "Complete", (ModalClientBase,), {name: _method(self, name) for name in ModalClientBase.__abstractmethods__}
        )
        return complete().__mapping__()

    # the client's: apps, functions, images, mounts

    def ClientHello(self, _: Any, __: Any) -> Any:
        return api_pb2.ClientHelloResponse()

    def EnvironmentGetOrCreate(self, _: Any, __: Any) -> Any:
        settings = api_pb2.EnvironmentSettings(image_builder_version="2025.06")
        return api_pb2.EnvironmentGetOrCreateResponse(
            environment_id="en-main", metadata=api_pb2.EnvironmentMetadata(name="main", settings=settings)
        )

    def AppGetByDeploymentName(self, request: Any, _: Any) -> Any:
        return api_pb2.AppGetByDeploymentNameResponse(app_id=self.double.apps.get(request.name, ""))

    def AppGetLayout(self, request: Any, _: Any) -> Any:
        functions = self.double.layouts.get(request.app_id, {})
        objects = [
            api_pb2.Object(object_id=id, function_handle_metadata=handle(self.double.functions[id]))
            for id in functions.values()
        ]
        return api_pb2.AppGetLayoutResponse(app_layout=api_pb2.AppLayout(function_ids=functions, objects=objects))

    def AppCreate(self, _: Any, __: Any) -> Any:
        return api_pb2.AppCreateResponse(app_id=self.double.new_id("ap"))

    def AppList(self, _: Any, __: Any) -> Any:
        running = Counter(
            call.app_id for call in self.double.calls.values() if call.containers and not call.ended.is_set()
        )
        apps = [
            api_pb2.AppListResponse.AppListItem(
                app_id=id, name=name, description=name, state=api_pb2.APP_STATE_DEPLOYED, n_running_tasks=running[id]
            )
            for name, id in self.double.apps.items()
        ]
        return api_pb2.AppListResponse(apps=apps)

    def AppGetOrCreate(self, request: Any, _: Any) -> Any:
        found = request.app_name if request.app_name.startswith("ap-") else self.double.apps.get(request.app_name)
        if found is None:
            raise GRPCError(Status.NOT_FOUND, f"no app {request.app_name}")
        return api_pb2.AppGetOrCreateResponse(app_id=found)

    def AppStop(self, request: Any, _: Any) -> Any:
        self.double.stopped.add(request.app_id)
        for name in [name for name, id in self.double.apps.items() if id == request.app_id]:
            del self.double.apps[name]
        return Empty()

    def AppHeartbeat(self, _: Any, __: Any) -> Any:
        return Empty()

    def AppClientDisconnect(self, _: Any, __: Any) -> Any:
        return Empty()

    def AppPublish(self, request: Any, _: Any) -> Any:
        self.double.apps[request.name] = request.app_id
        self.double.layouts[request.app_id] = dict(request.function_ids)
        return api_pb2.AppPublishResponse(url="http://127.0.0.1/app", deployed_at=time.time())

    def ImageGetOrCreate(self, request: Any, _: Any) -> Any:
        name = "im-" + hashlib.sha256(request.image.SerializeToString(deterministic=True)).hexdigest()[:12]
        self.double.images[name] = request.image
        if self.double.builds:
            self.double.building[name] = self.double.builds.pop(0)
            return api_pb2.ImageGetOrCreateResponse(image_id=name)
        return api_pb2.ImageGetOrCreateResponse(
            image_id=name, result=DONE(status=DONE.GENERIC_STATUS_SUCCESS),
            metadata=api_pb2.ImageMetadata(image_builder_version="2025.06", python_version_info="Python 3.11.0"),
        )  # fmt: skip

    async def ImageJoinStreaming(self, request: Any, _: Any) -> Any:
        build = self.double.building[request.image_id]
        for line in build.lines:
            yield api_pb2.ImageJoinStreamingResponse(
                task_logs=[api_pb2.TaskLogs(data=f"{line}\n", file_descriptor=api_pb2.FILE_DESCRIPTOR_STDOUT)]
            )
        status = DONE.GENERIC_STATUS_FAILURE if build.error else DONE.GENERIC_STATUS_SUCCESS
        yield api_pb2.ImageJoinStreamingResponse(
            result=DONE(status=status, exception=build.error or ""), entry_id="1",
            metadata=api_pb2.ImageMetadata(image_builder_version="2025.06", python_version_info="Python 3.11.0"),
        )  # fmt: skip

    def MountBatchedCheckExistence(self, request: Any, _: Any) -> Any:
        missing = [sha for sha in request.sha256_hex_hashes if sha not in self.double.blobs]
        return api_pb2.MountBatchedCheckExistenceResponse(missing_sha256_hex_hashes=missing)

    def MountPutFile(self, request: Any, _: Any) -> Any:
        if request.WhichOneof("data_oneof") == "data_blob_id":
            self.double.blobs[request.sha256_hex] = self.double.blobs[request.data_blob_id]
        elif request.WhichOneof("data_oneof") == "data":
            self.double.blobs[request.sha256_hex] = request.data
        if request.WhichOneof("data_oneof"):
            self.double.requests["files_up"] += 1
            assert hashlib.sha256(self.double.blobs[request.sha256_hex]).hexdigest() == request.sha256_hex
        return api_pb2.MountPutFileResponse(exists=request.sha256_hex in self.double.blobs)

    def MountGetOrCreate(self, request: Any, _: Any) -> Any:
        name = self.double.new_id("mo")
        self.double.mounts[name] = {file.filename: file.sha256_hex for file in request.files}
        return api_pb2.MountGetOrCreateResponse(mount_id=name, handle_metadata=api_pb2.MountHandleMetadata())

    def BlobCreate(self, _: Any, __: Any) -> Any:
        name = self.double.new_id("bl")
        urls = api_pb2.UploadUrlList(items=[f"{self.double.http}/blob/{name}"])
        return api_pb2.BlobCreateResponse(blob_ids=[name], upload_urls=urls)

    def BlobGet(self, request: Any, _: Any) -> Any:
        return api_pb2.BlobGetResponse(download_url=f"{self.double.http}/blob/{request.blob_id}")

    def FunctionPrecreate(self, request: Any, _: Any) -> Any:
        name = request.existing_function_id or self.double.new_id("fu")
        return api_pb2.FunctionPrecreateResponse(
            function_id=name, handle_metadata=api_pb2.FunctionHandleMetadata(function_name=request.function_name)
        )

    def FunctionCreate(self, request: Any, _: Any) -> Any:
        name = request.existing_function_id or self.double.new_id("fu")
        self.double.functions[name] = request.function
        self.double.function_apps[name] = request.app_id
        return api_pb2.FunctionCreateResponse(
            function_id=name,
            function=request.function,
            handle_metadata=handle(request.function),
            function_data=data(request.function),
        )

    def FunctionGet(self, request: Any, _: Any) -> Any:
        name = self.double.layouts.get(self.double.apps.get(request.app_name, ""), {}).get(request.object_tag)
        if name is None:
            raise GRPCError(Status.NOT_FOUND, f"no function {request.object_tag}")
        function = self.double.functions[name]
        return api_pb2.FunctionGetResponse(function_id=name, handle_metadata=handle(function), function=data(function))

    def FunctionBindParams(self, request: Any, _: Any) -> Any:
        function, options = api_pb2.Function(), request.function_options
        function.CopyFrom(self.double.functions[request.function_id])
        function.resources.MergeFrom(options.resources)
        function.timeout_secs = options.timeout_secs or function.timeout_secs
        function.retry_policy.CopyFrom(options.retry_policy)
        function.scheduler_placement.CopyFrom(options.scheduler_placement)
        function.volume_mounts.extend(options.volume_mounts)
        function.secret_ids.extend(options.secret_ids)
        name = self.double.new_id("fu")
        self.double.functions[name] = function
        self.double.function_apps[name] = self.double.function_apps[request.function_id]
        return api_pb2.FunctionBindParamsResponse(bound_function_id=name, handle_metadata=handle(function))

    def SecretGetOrCreate(self, request: Any, _: Any) -> Any:
        raise GRPCError(Status.NOT_FOUND, f"Secret '{request.deployment_name}' not found")

    # the client's: calls

    def FunctionMap(self, request: Any, _: Any) -> Any:
        (item,) = request.pipelined_inputs
        app = self.double.function_apps[request.function_id]
        call = Call(self.double.new_id("fc"), self.double.functions[request.function_id], app, item.input)
        self.double.calls[call.id] = call
        self.double.begin(call)
        return api_pb2.FunctionMapResponse(
            function_call_id=call.id,
            pipelined_inputs=[api_pb2.FunctionPutInputsResponseItem(idx=0, input_id=f"in-{call.id}", input_jwt="-")],
        )

    async def FunctionGetOutputs(self, request: Any, _: Any) -> Any:
        call = self.double.calls.get(request.function_call_id)
        if call is None:
            raise GRPCError(Status.NOT_FOUND, f"no call {request.function_call_id}")
        try:
            await asyncio.wait_for(call.ended.wait(), max(request.timeout, 0.01))
        except TimeoutError:
            return api_pb2.FunctionGetOutputsResponse(num_unfinished_inputs=1)
        output = call.outputs[0]
        item = api_pb2.FunctionGetOutputsItem(result=output.result, idx=0, data_format=output.data_format)
        return api_pb2.FunctionGetOutputsResponse(outputs=[item])

    def FunctionCallCancel(self, request: Any, _: Any) -> Any:
        self.double.calls[request.function_call_id].cancelled = True
        return Empty()

    # Volumes

    def VolumeGetOrCreate(self, request: Any, _: Any) -> Any:
        name = f"vo-{request.deployment_name}"
        if name not in self.double.volumes:
            self.double.volumes[name] = self.double.root / "volumes" / name
            self.double.volumes[name].mkdir(parents=True)
        return api_pb2.VolumeGetOrCreateResponse(
            volume_id=name, metadata=api_pb2.VolumeMetadata(version=1, name=request.deployment_name)
        )

    def VolumePutFiles(self, request: Any, _: Any) -> Any:
        if request.disallow_overwrite_existing_files:
            for file in request.files:
                if (self.double.volumes[request.volume_id] / file.filename.lstrip("/")).exists():
                    raise GRPCError(Status.ALREADY_EXISTS, f"{file.filename}: already exists")
        for file in request.files:
            path = self.double.volumes[request.volume_id] / file.filename.lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self.double.blobs[file.sha256_hex])
        return Empty()

    def VolumeGetFile2(self, request: Any, _: Any) -> Any:
        path = self.double.volumes[request.volume_id] / request.path.lstrip("/")
        if not path.is_file():
            raise GRPCError(Status.NOT_FOUND, f"no file {request.path}")
        size = path.stat().st_size
        url = f"{self.double.http}/file/{request.volume_id}/{request.path.lstrip('/')}"
        urls = [f"{url}?start={start}" for start in range(0, size, BLOCK_BYTES)]
        return api_pb2.VolumeGetFile2Response(get_urls=urls, size=size, start=0, len=size)

    async def VolumeListFiles(self, request: Any, _: Any) -> Any:
        volume = self.double.volumes[request.volume_id]
        place = volume / request.path.strip("/")
        if not place.exists():
            raise GRPCError(Status.NOT_FOUND, f"no such path {request.path}")
        paths = sorted(place.rglob("*") if request.recursive else place.iterdir())
        yield api_pb2.VolumeListFilesResponse(
            entries=[
                api_pb2.FileEntry(
                    path=path.relative_to(volume).as_posix(),
                    type=api_pb2.FileEntry.DIRECTORY if path.is_dir() else api_pb2.FileEntry.FILE,
                    mtime=int(path.stat().st_mtime),
                    size=path.stat().st_size,
                )
                for path in paths
            ]
        )

    def VolumeRemoveFile(self, request: Any, _: Any) -> Any:
        path = self.double.volumes[request.volume_id] / request.path.strip("/")
        if not path.exists():
            raise GRPCError(Status.NOT_FOUND, f"no such path {request.path}")
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
        return Empty()

    def VolumeCommit(self, request: Any, container: Container) -> Any:
        """What the container has changed since it last saw the Volume; what others have changed meanwhile stays."""
        view, volume = container.volumes[request.volume_id], self.double.volumes[request.volume_id]
        base, now = container.bases[request.volume_id], _times(view)
        for path in base.keys() - now.keys():
            (volume / path).unlink(missing_ok=True)
        for path in now:
            if now[path] != base.get(path):
                (volume / path).parent.mkdir(parents=True, exist_ok=True)
                with suppress(FileNotFoundError):  # a temporary file that is gone
                    shutil.copy2(view / path, volume / path)
        container.bases[request.volume_id] = now
        return api_pb2.VolumeCommitResponse(skip_reload=True)

    def VolumeReload(self, request: Any, container: Container) -> Any:
        view = container.volumes[request.volume_id]
        for file in _open_files(container):
            if file.is_relative_to(view) and file.is_file():
                raise GRPCError(Status.FAILED_PRECONDITION, f"there are open files preventing the operation: {file}")
        shutil.rmtree(view)
        shutil.copytree(self.double.volumes[request.volume_id], view)
        container.bases[request.volume_id] = _times(view)
        return Empty()

    # the container's

    def ContainerHello(self, _: Any, __: Any) -> Any:
        return Empty()

    def ContainerHeartbeat(self, _: Any, container: Container) -> Any:
        response = api_pb2.ContainerHeartbeatResponse()
        if container.call.cancelled:
            response.cancel_input_event.input_ids.append(f"in-{container.call.id}")
        return response

    def FunctionGetInputs(self, _: Any, container: Container) -> Any:
        item = api_pb2.FunctionGetInputsItem(kill_switch=True)
        if not container.served:
            container.served = True
            item = api_pb2.FunctionGetInputsItem(
                input_id=f"in-{container.call.id}", input=container.call.input, function_call_id=container.call.id
            )
        return api_pb2.FunctionGetInputsResponse(inputs=[item])

    def FunctionPutOutputs(self, request: Any, container: Container) -> Any:
        container.output = request.outputs[0]
        return Empty()

    def TaskResult(self, request: Any, container: Container) -> Any:
        container.output = api_pb2.FunctionPutOutputsItem(result=request.result)
        return Empty()


def _method(service: Service, name: str) -> Any:
    """The server's side of a method: receive, answer, send."""

    async def respond(_self: Any, stream: Any) -> None:
        request = await stream.recv_message()
        answer = getattr(service, name, None)
        if answer is None:
            raise GRPCError(Status.UNIMPLEMENTED, f"{name} is not part of the double")
        response = answer(request, service.double.containers.get(str(stream.metadata.get("x-task", ""))))
        if inspect.isasyncgen(response):
            async for part in response:
                await stream.send_message(part)
            return
        await stream.send_message(await response if asyncio.iscoroutine(response) else response)

    return respond


def _times(root: Path) -> dict[str, int]:
    """Modification times of the files below."""
    found = {}
    for path in root.rglob("*"):
        with suppress(FileNotFoundError):
            if path.is_file():
                found[path.relative_to(root).as_posix()] = path.stat().st_mtime_ns
    return found


def _open_files(container: Container) -> list[Path]:
    """What the processes of a container have open."""
    assert container.process
    found: list[Path] = []
    for pid in psutil.pids():
        with suppress(psutil.Error, ProcessLookupError):
            if os.getpgid(pid) == container.process.pid:
                found += [Path(file.path) for file in psutil.Process(pid).open_files()]
    return found
