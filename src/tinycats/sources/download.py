"""Downloading a large file: resumed after an interruption, and checked."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from pathlib import Path

from tinycats.runtime.errors import UserError
from tinycats.runtime.files import file_hash
from tinycats.runtime.track import progress

ATTEMPTS = 5
TIMEOUT_S = 60.0
CHUNK_BYTES = 2**20


def check_md5(path: Path, expected: str) -> None:
    """Raise UserError, with both sums, where the file is missing or its md5 sum is not the expected one."""
    if not path.is_file():
        raise UserError(f"{path}: not found")
    if (got := file_hash(path, "md5")) != expected:
        raise UserError(f"{path}: wrong md5 sum, expected {expected}, got {got}")


def download(url: str, path: Path, md5: str, if_impossible: str) -> None:
    """Make `path` the file of that md5 sum at `url`; an existing one is only checked.

    What has arrived is kept in `path`.part: an interrupted download resumes there, now or in the next run.
    Raises UserError ending in `if_impossible` where the server cannot be reached, or naming both sums where the
    content is not the expected one.
    """
    if path.is_file() and file_hash(path, "md5") == md5:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.part")
    for attempt in range(1, ATTEMPTS + 1):
        try:
            _resume(url, partial)
            break
        except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
            if attempt == ATTEMPTS or not isinstance(
                error, http.client.IncompleteRead | ConnectionError | TimeoutError
            ):
                reason = getattr(error, "reason", None) or error
                raise UserError(f"{url}: cannot be downloaded ({reason}); {if_impossible}") from None
    try:
        check_md5(partial, md5)
    except UserError as error:
        partial.unlink(missing_ok=True)  # or it would be resumed
        raise UserError(f"{url}: {error}") from None
    partial.replace(path)


def _resume(url: str, partial: Path) -> None:
    start = partial.stat().st_size if partial.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={start}-"} if start else {})
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT_S)
    except urllib.error.HTTPError as error:
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:  # nothing is missing
            return
        raise
    resumed = response.status == http.HTTPStatus.PARTIAL_CONTENT
    total = None if response.length is None else response.length + (start if resumed else 0)
    with (
        response,
        partial.open("ab" if resumed else "wb") as file,
        progress(f"downloading {partial.stem}", total, "bytes") as advance,
    ):
        advance(file.tell())
        while chunk := response.read(CHUNK_BYTES):
            file.write(chunk)
            advance(len(chunk))
        if response.length:  # read(n) ends in silence where the connection does
            raise http.client.IncompleteRead(b"", response.length)
