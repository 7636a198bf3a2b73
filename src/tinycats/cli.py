"""The program `tinycats`. Its commands are in tinycats.commands and import torch and the like inside their functions:
`--help` is quick.
"""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup

from tinycats.commands.adapt import adapt, merge
from tinycats.commands.compare import compare
from tinycats.commands.data import data
from tinycats.commands.experiments import experiments
from tinycats.commands.generate import generate
from tinycats.commands.params import params
from tinycats.commands.predict import predict
from tinycats.commands.register import register
from tinycats.commands.release import release
from tinycats.commands.remote import remote
from tinycats.commands.rollback import rollback
from tinycats.commands.runs import cancel, runs
from tinycats.commands.share import share
from tinycats.commands.status import status
from tinycats.commands.verify import verify
from tinycats.runtime.errors import one_line_errors


class _OneLineErrors(TyperGroup):
    def invoke(self, ctx: Any) -> Any:
        with one_line_errors():
            return super().invoke(ctx)


app = typer.Typer(
    name="tinycats",
    cls=_OneLineErrors,
    help="Use the models that the pipeline (`dvc repro`) trains, and see what it does and has measured.",
    rich_markup_mode="markdown",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (
    predict,
    generate,
    adapt,
    merge,
    verify,
    params,
    data,
    status,
    experiments,
    compare,
    runs,
    cancel,
    remote,
    share,
    register,
    release,
    rollback,
):
    app.command()(command)


def main() -> None:
    app()


if __name__ == "__main__":
    main()
