"""Run notebooks and keep their outputs in them: `make notebooks`.

python notebooks/execute.py NOTEBOOK...
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from tinycats.runtime.errors import UserError, one_line_errors
from tinycats.runtime.files import atomic_path

MOST_BYTES = 1_000_000  # of a notebook in git
TIMEOUT_S = 900  # of a cell, and of the kernel's start
PARAMETERS = "parameters"  # tag of the cell with the sizes that tests replace
KEPT = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def execute(path: Path, parameters: str | None = None) -> nbformat.NotebookNode:
    """The notebook after all its cells were run in its folder, `parameters` in place of those that it has.

    When and with which Python they ran is not kept. Raises UserError with the error of the cell that fails.
    """
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if parameters is not None and PARAMETERS in cell.metadata.get("tags", []):
            cell.source = parameters
    client = NotebookClient(
        notebook,
        timeout=TIMEOUT_S,
        record_timing=False,
        resources={"metadata": {"path": str(path.parent)}},
        startup_timeout=TIMEOUT_S,
    )
    try:
        client.execute()
    except CellExecutionError as error:
        raise UserError(f"{path}: a cell failed: {error.ename}: {error.evalue}") from None
    notebook.metadata = nbformat.from_dict(KEPT)
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            output.get("data", {}).pop("image/jpeg", None)  # beside the same as PNG
    return notebook


def main(paths: list[Path]) -> None:
    for path in paths:
        started = time.perf_counter()
        text = nbformat.writes(execute(path)) + "\n"
        if (size := len(text.encode())) > MOST_BYTES:
            raise UserError(f"{path}: would have {size:,} bytes with its outputs, must have at most {MOST_BYTES:,}")
        with atomic_path(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
        print(f"{path}: {size:,} bytes, {time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    with one_line_errors():
        main([Path(argument) for argument in sys.argv[1:]])
