"""`tinycats remote`: can the cache in S3 be reached? DVC itself only says "Forbidden"."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from tinycats.runtime.errors import UserError

ADVICE = {
    "SignatureDoesNotMatch": "the secret is not that of the key; set both again (AWS_SECRET_ACCESS_KEY or the profile)",
    "InvalidAccessKeyId": "the service does not know this key; does it belong to another service, or was it revoked?",
    "AccessDenied": "the key may not list this bucket; docs/remote.md has the policy it needs",
    "NoSuchBucket": "no such bucket; create it, or correct the url of the remote",
    "ExpiredToken": "the credentials have expired; log in again",
}


def remote(
    name: Annotated[
        str | None, typer.Argument(help="The remote.  [default: DVC's default remote]", show_default=False)
    ] = None,
) -> None:
    """Say whether the DVC remote in S3 can be reached with these credentials, or why not.

    **Examples**

    `tinycats remote`

    `tinycats remote storage`
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo() as repo:
            storage = repo.cloud.get_remote(name)
            verified = repo.cloud.get_remote_odb(name).verify
    except DvcException as error:
        raise UserError(f"remote: {' '.join(str(error).split())}") from None
    if storage.fs.protocol != "s3":
        typer.echo(f"remote {storage.name}: {storage.path} is not in S3, so there are no credentials to check")
        return
    where = f"s3://{storage.path}"
    _list(storage.fs, storage.path, f"remote {storage.name} ({where})")
    typer.echo(f"remote {storage.name}: {where} can be read")
    if not verified:
        typer.echo(f"but downloads are not verified; run dvc remote modify {storage.name} verify true", err=True)


def _list(filesystem: Any, path: str, remote: str) -> None:
    """List one object. Raises UserError with what is wrong and what to do."""
    from botocore.exceptions import BotoCoreError, ClientError

    bucket, _, prefix = path.partition("/")
    try:
        filesystem.fs.call_s3("list_objects_v2", Bucket=bucket, Prefix=prefix, MaxKeys=1)
    except BotoCoreError as error:  # no credentials, no connection, no such profile
        raise UserError(f"{remote}: {error}; see docs/remote.md") from None
    except OSError as error:  # s3fs's translation of a ClientError
        cause = error.__cause__
        code = cause.response["Error"]["Code"] if isinstance(cause, ClientError) else ""
        raise UserError(f"{remote}: {code or error}: {ADVICE.get(code, 'see docs/remote.md')}") from None
