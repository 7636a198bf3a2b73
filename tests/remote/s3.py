"""An S3 service on loopback: a `moto_server` process that checks every signature and every permission."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from tests.conftest import ROOT

BUCKET = "tinycats-test"
PREFIX = "team/cache"
REGION = "us-east-1"
SETUP_CALLS = 4  # those of _make_account: from then on, a request without a valid signature is refused


class S3Server:
    """A bucket, and a user who may do what `policy` says. Stops at the end of a `with`.

    The server keeps everything in memory and writes each request down; `start` after `kill` replays them, so that the
    bucket holds what had arrived, like one on a disk.
    """

    def __init__(self, directory: Path, policy: str) -> None:
        self.directory = directory
        self.policy = policy
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = directory / "s3.log"
        self.recording = directory / "s3.jsonl"
        self.key_id = self.secret = ""

    def __enter__(self) -> S3Server:
        self._start()
        self._make_account()
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()

    def restart(self) -> None:
        """After `kill`: the same bucket at the same address."""
        whole = [line for line in self.recording.read_text().splitlines(keepends=True) if line.endswith("}\n")]
        self.recording.write_text("".join(whole))  # a request that was cut off never arrived
        self._start()
        self._post("recorder/replay-recording")

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def environment(self, **changes: str) -> dict[str, str]:
        """The user's credentials; none are looked for in the network."""
        return {
            "AWS_ACCESS_KEY_ID": self.key_id,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            **changes,
        }

    def client(self, service: str = "s3") -> Any:
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id=self.key_id or "nobody",
            aws_secret_access_key=self.secret or "nothing",
            config=Config(retries={"max_attempts": 1}),
        )

    def objects(self) -> dict[str, bytes]:
        """Everything in the bucket by key, without the prefix."""
        client = self.client()
        listed = client.list_objects_v2(Bucket=BUCKET, Prefix=PREFIX).get("Contents", [])
        return {
            item["Key"].removeprefix(f"{PREFIX}/"): client.get_object(Bucket=BUCKET, Key=item["Key"])["Body"].read()
            for item in listed
        }

    def _start(self) -> None:
        self.process = subprocess.Popen(
            [str(Path(sys.executable).parent / "moto_server"), "-H", "127.0.0.1", "-p", str(self.port)],
            env={
                **os.environ,
                "INITIAL_NO_AUTH_ACTION_COUNT": str(SETUP_CALLS),
                "MOTO_ENABLE_RECORDING": "1",
                "MOTO_RECORDER_FILEPATH": str(self.recording),
                "PYTHONUNBUFFERED": "1",
            },
            stdout=self.log.open("a"),
            stderr=subprocess.STDOUT,
        )
        for _ in range(600):
            assert self.process.poll() is None, self.log.read_text()
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    break
            time.sleep(0.1)
        self._post("seed?a=1")  # the replay makes the same access key

    def _make_account(self) -> None:
        iam = self.client("iam")
        iam.create_user(UserName="team")
        iam.put_user_policy(UserName="team", PolicyName="cache", PolicyDocument=self.policy)
        key = iam.create_access_key(UserName="team")["AccessKey"]
        self.client().create_bucket(Bucket=BUCKET)
        self.key_id, self.secret = key["AccessKeyId"], key["SecretAccessKey"]

    def _post(self, path: str) -> None:
        with urllib.request.urlopen(urllib.request.Request(f"{self.url}/moto-api/{path}", method="POST")) as reply:
            assert reply.status == 200


def documented_policy() -> str:
    """The policy that docs/remote.md gives for a team's user."""
    blocks = re.findall(r"```json\n(.*?)```", (ROOT / "docs/remote.md").read_text(), flags=re.DOTALL)
    (policy,) = [block for block in blocks if "s3:" in block]
    return policy.replace("BUCKET", BUCKET).replace("PREFIX", PREFIX)
