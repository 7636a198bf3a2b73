"""A small Hugging Face Hub on 127.0.0.1: the routes that huggingface_hub needs to create, upload, tag, list and download
models and static Spaces, and a browser to read them from a page of another origin.

Tokens are enforced, commits are atomic and need their parent to be the head, large files go through git LFS (the
transfer `basic`), and a fault can be set for any request.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import select
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal
from urllib.parse import parse_qs, unquote, urlsplit

import yaml

GITATTRIBUTES = "".join(
    f"{pattern} filter=lfs diff=lfs merge=lfs -text\n" for pattern in ("*.bin", "*.onnx", "*.safetensors")
).encode()
LARGE_BYTES = 10_000_000
CHUNK_BYTES = 65_536


@dataclass(frozen=True)
class User:
    name: str
    role: Literal["read", "write"]


@dataclass(frozen=True)
class Blob:
    """A file in git: its content, or for a large one the hash of the object that it points to."""

    content: bytes
    lfs: str | None = None
    size: int = 0

    @property
    def oid(self) -> str:
        return hashlib.sha1(b"blob %d\0" % len(self.content) + self.content).hexdigest()


@dataclass(frozen=True)
class Commit:
    parent: str | None
    title: str
    files: dict[str, Blob]

    @property
    def oid(self) -> str:
        listing = {path: blob.oid for path, blob in sorted(self.files.items())}
        return hashlib.sha1(json.dumps([self.parent, self.title, listing]).encode()).hexdigest()


@dataclass
class Repository:
    private: bool
    commits: dict[str, Commit] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)  # SHA-256 -> content

    def add(self, commit: Commit) -> str:
        self.commits[commit.oid] = commit
        self.branches["main"] = commit.oid
        return commit.oid

    def pointer(self, oid: str) -> Blob:
        size = len(self.objects[oid])
        return Blob(f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {size}\n".encode(), oid, size)

    def large(self, content: bytes) -> Blob:
        """A large file that is there already."""
        oid = hashlib.sha256(content).hexdigest()
        self.objects[oid] = content
        return self.pointer(oid)

    def history(self) -> list[str]:
        """The commits of main, newest first."""
        found, oid = [], self.branches.get("main")
        while oid:
            found.append(oid)
            oid = self.commits[oid].parent
        return found

    def contents(self, revision: str = "main") -> dict[str, bytes]:
        """What a clone would hold, without the Hub's own .gitattributes."""
        files = self.commits[self.resolve(revision)].files
        return {
            path: self.objects[blob.lfs] if blob.lfs else blob.content
            for path, blob in files.items()
            if path != ".gitattributes"
        }

    def resolve(self, revision: str) -> str:
        oid = self.branches.get(revision) or self.tags.get(revision) or revision
        if oid not in self.commits:
            raise Answer(404, code="RevisionNotFound", message=f"Invalid rev id: {revision}")
        return oid


@dataclass
class Fault:
    """What happens to the next `times` requests of this method whose path matches."""

    method: str
    path: str
    kind: Literal["status", "cut_in_the_middle", "cut_before_the_answer", "hang_in_the_middle", "cut_the_answer"]
    times: int = 1
    status: int = 429
    headers: dict[str, str] = field(default_factory=dict)
    reached: threading.Event = field(default_factory=threading.Event)


class Answer(Exception):  # noqa: N818
    """Ends a request: not only errors are answers."""

    def __init__(self, status: int, content: Any = None, code: str = "", message: str = "", **headers: str) -> None:
        super().__init__(message)
        self.status = status
        self.body = json.dumps({"error": message} if message else content).encode()
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}
        if code:
            self.headers["X-Error-Code"] = code
        if message:
            self.headers["X-Error-Message"] = message


class HubServer:
    """The Hub, and on a port of its own the storage of large files, which must not be given a token."""

    def __init__(self, tokens: dict[str, User]) -> None:
        self.tokens = tokens
        self.repositories: dict[str, Repository] = {}  # by user/name, or spaces/user/name
        self.faults: list[Fault] = []
        self.requests: list[tuple[str, str]] = []  # method and path of each that was answered or cut
        self.lock = threading.Lock()
        handler = type("Handler", (_Handler,), {"hub": self})
        self.servers = [_Server(("127.0.0.1", 0), handler) for _ in range(2)]
        self.url, self.storage_url = (f"http://127.0.0.1:{server.server_address[1]}" for server in self.servers)
        for server in self.servers:
            threading.Thread(target=server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        for server in self.servers:
            server.shutdown()
            server.server_close()

    def asked(self, method: str, path: str) -> list[str]:
        """The paths of the requests like this, so far."""
        return [found for used, found in self.requests if used == method and re.search(path, found)]

    def take_fault(self, method: str, path: str) -> Fault | None:
        with self.lock:
            for fault in self.faults:
                if fault.times and fault.method == method and re.search(fault.path, path):
                    fault.times -= 1
                    return fault
        return None


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no news."""


class _Handler(BaseHTTPRequestHandler):
    hub: HubServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Tests read `requests` instead."""

    def do_GET(self) -> None:
        self.answer()

    do_HEAD = do_POST = do_PUT = do_GET  # noqa: N815

    def answer(self) -> None:
        url = urlsplit(self.path)
        self.route, self.query = url.path, parse_qs(url.query)
        self.fault = self.hub.take_fault(self.command, self.route)
        self.hub.requests.append((self.command, self.route))
        try:
            body = self.read_body()
            if self.fault and self.fault.kind == "status":
                raise Answer(self.fault.status, message="Slow down", **self.fault.headers)
            for method, pattern, handle in ROUTES:
                match = re.fullmatch(pattern, self.route)
                if method == self.command.replace("HEAD", "GET") and match:
                    with self.hub.lock:
                        handle(self, body, *map(unquote, match.groups()))
            raise Answer(404, message=f"No route {self.command} {self.route}")
        except Answer as answer:
            self.send(answer.status, answer.body, {"Content-Type": "application/json", **answer.headers})
        except _Sent:
            pass
        except ConnectionError:
            self.close_connection = True

    def send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        if self.fault and self.fault.kind == "cut_before_the_answer":
            self.cut()
        self.send_response(status)
        allowed = {"Access-Control-Allow-Origin": "*"} if self.headers.get("Origin") else {}
        for name, value in {"Content-Length": str(len(body)), **allowed, **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if self.fault and self.fault.kind == "cut_the_answer":
            self.wfile.write(body[: len(body) // 2])
            self.cut()
        self.wfile.write(body)

    def read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        length = int(self.headers.get("Content-Length", 0))
        if self.fault and self.fault.kind in ("cut_in_the_middle", "hang_in_the_middle"):
            self.rfile.read(length // 2)
            self.fault.reached.set()
            while self.fault.kind == "hang_in_the_middle":
                # Not a read that blocks: the client may have sent everything before the test sets another kind
                arrived = select.select([self.connection], [], [], 0.05)[0]
                if arrived and not self.connection.recv(CHUNK_BYTES):  # the client is gone
                    raise ConnectionError
            self.cut()
        body = self.rfile.read(length)
        if len(body) < length:
            raise ConnectionError
        return body

    def cut(self) -> None:
        """Reset the connection, as a broken network does."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        raise ConnectionError

    def user(self) -> User | None:
        header = self.headers.get("Authorization")
        if header is None:
            return None
        user = self.hub.tokens.get(header.removeprefix("Bearer "))
        if user is None:
            raise Answer(401, message="Invalid credentials in Authorization header")
        return user

    def writer(self, namespace: str) -> User:
        user = self.user()
        if user is None:
            raise Answer(401, message="Invalid username or password.")
        if user.role != "write" or user.name != namespace:
            raise Answer(403, message="You don't have the required permissions to perform this action")
        return user

    def readable(self, repo_id: str) -> Repository:
        user, found = self.user(), self.hub.repositories.get(repo_id)
        if found is None or (found.private and (user is None or user.name != owner(repo_id))):
            raise Answer(404 if user else 401, code="RepoNotFound", message="Repository not found")
        return found

    def writable(self, repo_id: str) -> Repository:
        found = self.readable(repo_id)
        self.writer(owner(repo_id))
        return found

    def whoami(self, body: bytes) -> None:
        user = self.user()
        if user is None:
            raise Answer(401, message="Invalid username or password.")
        auth = {"type": "access_token", "accessToken": {"displayName": "test", "role": user.role}}
        raise Answer(200, {"type": "user", "name": user.name, "orgs": [], "auth": auth})

    def create(self, body: bytes) -> None:
        wanted = json.loads(body)
        user = self.writer(wanted["organization"])
        kind = wanted.get("type", "model")
        repo_id = f"{'spaces/' if kind == 'space' else ''}{user.name}/{wanted['name']}"
        files = {".gitattributes": Blob(GITATTRIBUTES)}
        if kind == "space":
            if wanted.get("sdk") != "static":
                raise Answer(400, message="Here Spaces are static")
            files |= {name: Blob(b"made by the Hub") for name in ("README.md", "index.html", "style.css")}
        answer = {"url": f"{self.hub.url}/{repo_id}", "name": repo_id}
        if repo_id in self.hub.repositories:
            raise Answer(409, {**answer, "error": f"You already created this {kind} repo"})
        repository = self.hub.repositories[repo_id] = Repository(wanted.get("visibility") == "private")
        repository.add(Commit(None, "initial commit", files))
        raise Answer(200, answer)

    def validate_card(self, body: bytes) -> None:
        sent = json.loads(body)
        match = re.match(r"---\n(.*?)\n---\n", sent["content"], flags=re.DOTALL)
        metadata = yaml.safe_load(match[1]) if match else None
        if not metadata:
            wrong = ["no metadata"]
        elif sent["repoType"] == "space":
            wrong = [key for key, allowed in OF_A_SPACE.items() if key in metadata and not allowed(metadata[key])]
            wrong += [key for key in ("sdk", "title") if key not in metadata]
        else:
            wrong = []
        if wrong:
            raise Answer(400, {"errors": [{"message": message} for message in wrong], "warnings": []})
        raise Answer(200, {"errors": [], "warnings": []})

    def info(self, body: bytes, repo_id: str, revision: str = "main") -> None:
        repository = self.readable(repo_id)
        oid = repository.resolve(revision)
        siblings = [{"rfilename": path} for path in sorted(repository.commits[oid].files)]
        raise Answer(200, {"id": repo_id, "sha": oid, "private": repository.private, "siblings": siblings, "tags": []})

    def tree(self, body: bytes, repo_id: str, revision: str) -> None:
        repository = self.readable(repo_id)
        files = repository.commits[repository.resolve(revision)].files
        raise Answer(200, [describe(path, blob) for path, blob in sorted(files.items())])

    def paths_info(self, body: bytes, repo_id: str, revision: str) -> None:
        repository = self.readable(repo_id)
        files = repository.commits[repository.resolve(revision)].files
        paths = parse_qs(body.decode())["paths"]
        raise Answer(200, [describe(path, files[path]) for path in paths if path in files])

    def refs(self, body: bytes, repo_id: str) -> None:
        repository = self.readable(repo_id)
        answer: dict[str, list[dict[str, str]]] = {"converts": [], "pullRequests": []}
        for kind, folder, refs in (("branches", "heads", repository.branches), ("tags", "tags", repository.tags)):
            answer[kind] = [
                {"name": name, "ref": f"refs/{folder}/{name}", "targetCommit": oid} for name, oid in refs.items()
            ]
        raise Answer(200, answer)

    def commits(self, body: bytes, repo_id: str, revision: str) -> None:
        repository = self.readable(repo_id)
        details = {"authors": [{"user": "ann"}], "date": "2026-01-01T00:00:00.000Z", "message": ""}
        found = [{"id": oid, "title": repository.commits[oid].title, **details} for oid in repository.history()]
        raise Answer(200, found)

    def preupload(self, body: bytes, repo_id: str, revision: str) -> None:
        repository = self.writable(repo_id)
        files = repository.commits[repository.resolve(revision)].files
        answer = []
        for file in json.loads(body)["files"]:
            large = file["size"] > LARGE_BYTES or file["path"].endswith((".bin", ".onnx", ".safetensors", ".png"))
            blob = files.get(file["path"])
            known = {"oid": blob.lfs or blob.oid} if blob else {}
            mode = "lfs" if large else "regular"
            answer.append({"path": file["path"], "uploadMode": mode, "shouldIgnore": False, **known})
        raise Answer(200, {"files": answer})

    def lfs_batch(self, body: bytes, repo_id: str) -> None:
        repository = self.writable(repo_id)
        objects = []
        for wanted in json.loads(body)["objects"]:
            actions = {
                "upload": {
                    "href": f"{self.hub.storage_url}/storage/{repo_id}/{wanted['oid']}"
                },  # signed: needs no token
                "verify": {"href": f"{self.hub.url}/{repo_id}.git/info/lfs/objects/verify"},
            }
            objects.append({**wanted, **({} if wanted["oid"] in repository.objects else {"actions": actions})})
        raise Answer(200, {"transfer": "basic", "objects": objects})

    def storage(self, repo_id: str) -> dict[str, bytes]:
        if self.headers.get("Authorization"):
            raise Answer(400, message="The storage must not be given the token")
        return self.hub.repositories[repo_id].objects

    def lfs_put(self, body: bytes, repo_id: str, oid: str) -> None:
        objects = self.storage(repo_id)
        if hashlib.sha256(body).hexdigest() != oid:
            raise Answer(400, message="The content does not match its hash")
        objects[oid] = body
        raise Answer(200, {})

    def lfs_verify(self, body: bytes, repo_id: str) -> None:
        wanted = json.loads(body)
        found = self.writable(repo_id).objects.get(wanted["oid"])
        if found is None or len(found) != wanted["size"]:
            raise Answer(404, message="Object not found")
        raise Answer(200, {})

    def commit(self, body: bytes, repo_id: str, revision: str) -> None:
        repository = self.writable(repo_id)
        head = repository.resolve(revision)
        lines = [json.loads(line) for line in body.splitlines()]
        header = lines[0]["value"]
        if header.get("parentCommit") not in (None, head):
            raise Answer(412, message="A commit has happened since. Please refresh and try again.")
        files = dict(repository.commits[head].files)
        for line in lines[1:]:
            path = line["value"]["path"]
            match line["key"]:
                case "file":
                    files[path] = Blob(base64.b64decode(line["value"]["content"]))
                case "lfsFile":
                    if line["value"]["oid"] not in repository.objects:
                        raise Answer(400, message=f"{path} points to an object that was not uploaded")
                    files[path] = repository.pointer(line["value"]["oid"])
                case "deletedFile":
                    if path not in files:
                        raise Answer(404, code="EntryNotFound", message="A file with this name doesn't exist")
                    del files[path]
                case key:
                    raise Answer(400, message=f"Unknown operation {key}")
        oid = repository.add(Commit(head, header["summary"], files))
        raise Answer(200, {"success": True, "commitOid": oid, "commitUrl": f"{self.hub.url}/{repo_id}/commit/{oid}"})

    def tag(self, body: bytes, repo_id: str, revision: str) -> None:
        repository = self.writable(repo_id)
        name = json.loads(body)["tag"]
        if name in repository.tags:
            raise Answer(409, message=f"Tag reference exists already: {name}")
        repository.tags[name] = repository.resolve(revision)
        raise Answer(200, {})

    def resolve(self, body: bytes, repo_id: str, revision: str, path: str) -> None:
        repository = self.readable(repo_id)
        oid = repository.resolve(revision)
        blob = repository.commits[oid].files.get(path)
        if blob is None:
            raise Answer(404, code="EntryNotFound", message="Entry not found", X_Repo_Commit=oid)
        headers = {"X-Repo-Commit": oid, "ETag": f'"{blob.oid}"'}
        if blob.lfs is None:
            self.send_file(blob.content, headers)
        linked = {"X-Linked-Etag": f'"{blob.lfs}"', "X-Linked-Size": str(blob.size)}
        location = f"{self.hub.storage_url}/storage/{repo_id}/{blob.lfs}"
        self.send(302, b"", {**headers, **linked, "Location": location})
        raise _Sent

    def lfs_get(self, body: bytes, repo_id: str, oid: str) -> None:
        self.send_file(self.storage(repo_id)[oid], {"ETag": f'"{oid}"'})

    def send_file(self, content: bytes, headers: dict[str, str]) -> None:
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if asked:
            start = int(asked[1])
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            self.send(206, content[start:], headers)
        else:
            self.send(200, content, headers)
        raise _Sent


class _Sent(Exception):  # noqa: N818
    """The answer is on its way already."""


def describe(path: str, blob: Blob) -> dict[str, Any]:
    entry: dict[str, Any] = {"type": "file", "path": path, "oid": blob.oid, "size": len(blob.content)}
    if blob.lfs:
        entry["size"] = blob.size
        entry["lfs"] = {"oid": blob.lfs, "size": blob.size, "pointerSize": len(blob.content)}
    return entry


def owner(repo_id: str) -> str:
    return repo_id.removeprefix("spaces/").split("/")[0]


# What the Hub accepts in a Space's README.md: https://huggingface.co/docs/hub/spaces-config-reference
COLOURS = ("red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray")
HEADERS = ("cross-origin-embedder-policy", "cross-origin-opener-policy", "cross-origin-resource-policy")
OF_A_SPACE: dict[str, Callable[[Any], bool]] = {
    "sdk": lambda sdk: sdk in ("gradio", "docker", "static"),
    "colorFrom": COLOURS.__contains__,
    "colorTo": COLOURS.__contains__,
    "short_description": lambda text: len(text) <= 60,
    "custom_headers": lambda headers: not headers.keys() - {*HEADERS},
}
REPO = r"((?:spaces/)?[^/]+/[^/]+)"
API_REPO = rf"(?:models/|(?=spaces/)){REPO}"
ROUTES: list[tuple[str, str, Callable[..., None]]] = [
    ("GET", r"/api/whoami-v2", _Handler.whoami),
    ("POST", r"/api/repos/create", _Handler.create),
    ("POST", r"/api/validate-yaml", _Handler.validate_card),
    ("GET", rf"/api/{API_REPO}", _Handler.info),
    ("GET", rf"/api/{API_REPO}/revision/([^/]+)", _Handler.info),
    ("GET", rf"/api/{API_REPO}/tree/([^/]+)", _Handler.tree),
    ("POST", rf"/api/{API_REPO}/paths-info/([^/]+)", _Handler.paths_info),
    ("GET", rf"/api/{API_REPO}/refs", _Handler.refs),
    ("GET", rf"/api/{API_REPO}/commits/([^/]+)", _Handler.commits),
    ("POST", rf"/api/{API_REPO}/preupload/([^/]+)", _Handler.preupload),
    ("POST", rf"/api/{API_REPO}/commit/([^/]+)", _Handler.commit),
    ("POST", rf"/api/{API_REPO}/tag/([^/]+)", _Handler.tag),
    ("POST", rf"/{REPO}\.git/info/lfs/objects/batch", _Handler.lfs_batch),
    ("POST", rf"/{REPO}\.git/info/lfs/objects/verify", _Handler.lfs_verify),
    ("PUT", rf"/storage/{REPO}/([0-9a-f]+)", _Handler.lfs_put),
    ("GET", rf"/storage/{REPO}/([0-9a-f]+)", _Handler.lfs_get),
    ("GET", rf"/{REPO}/resolve/([^/]+)/(.+)", _Handler.resolve),
]
