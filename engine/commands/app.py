"""The one command line. Outcomes go to standard output, everything else to standard error.

Exit codes: 0 every file got an outcome; 2 a wrong option, path, bundle, address or broker (one sentence says
which); 1 the engine lost its last worker, or nobody reads its output on.
"""

import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from assay.engine.commands.group import commands
from assay.engine.errors import AssayError, EngineFault, SetupError
from assay.engine.quiet import keep_in_cache, keep_offline
from assay.engine.streams import CLOSED, flush_output, open_closed, refusal, say, show_any_text

if TYPE_CHECKING:
    from pydantic import BaseModel

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

LAZY: dict[str, str] = {}
"""Commands whose module is loaded when they are called: MODULE:ATTRIBUTE, by name."""


def show_versions(wanted: bool) -> None:
    if wanted:
        from assay.engine.commands.versions import versions

        for name, number in versions():
            print(f"{name:<14} {number}")
        raise typer.Exit


@app.callback()
def before_any_command(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Show the versions that matter.", callback=show_versions, is_eager=True
        ),
    ] = False,
) -> None:
    """Tell camera photographs from AI-synthesised images."""
    from assay.engine.config import unknown_variables
    from assay.engine.settings import Settings

    if any(unknown_variables(Settings)):  # the doors take time to load
        for variable, nearest in unknown_variables(Settings, *_of_doors()):
            say(
                f"assay: warning: the environment variable {variable} is no setting; the nearest is {nearest}"
            )


def _of_doors() -> Sequence[type["BaseModel"]]:
    from assay.engine.doors.grpc import GrpcSettings
    from assay.engine.doors.http import HttpSettings
    from assay.engine.doors.kafka import KafkaSettings
    from assay.engine.server import ServeSettings

    return GrpcSettings, HttpSettings, KafkaSettings, ServeSettings


class _Passing(TyperCommand):
    """Leaves its arguments, `--` among them, to the command that is loaded."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        ctx.args = args
        return args


def _elsewhere(name: str, module: str, extra: str, help: str) -> None:
    """A command whose module is loaded when it is called; so that help is there at once, and may
    stand where the engine must not import."""
    LAZY[name] = module

    @app.command(
        name,
        help=help,
        cls=_Passing,
        add_help_option=False,
    )
    def command(context: typer.Context) -> None:
        path, attribute = module.split(":")
        try:
            found = getattr(importlib.import_module(path), attribute)
        except ModuleNotFoundError as error:
            if (error.name or "").startswith("assay"):
                raise
            raise SetupError(
                f"`assay {name}` needs {error.name}, which is not installed: pip install 'assay[{extra}]'"
            ) from None
        if not isinstance(found, typer.Typer):
            alone = commands()
            alone.command()(found)
            found = alone
        found(args=context.args, prog_name=f"assay {name}")


_elsewhere(
    "scan",
    "assay.engine.commands.scan:scan_command",
    "",
    "Score files and folders: one line for each regular file, a verdict or why there is none.",
)
_elsewhere(
    "explain",
    "assay.engine.commands.explain:explain_command",
    "",
    "Draw what the verdict on one image rests on; prints the line that `assay scan` prints.",
)
_elsewhere(
    "serve",
    "assay.engine.commands.serve:serve_command",
    "",
    "Serve gRPC and Kafka over one engine, until SIGTERM.",
)
_elsewhere(
    "bundles", "assay.engine.commands.bundles:bundles_command", "", "List the bundles that can be named."
)
_elsewhere("client", "assay.engine.commands.client:client_command", "", "Send files and folders to a server.")
_elsewhere(
    "compile",
    "assay.engine.commands.compile:compile_command",
    "gpu",
    "Build a bundle's graphs for TensorRT ahead of time, or quantise them.",
)
_elsewhere("sign", "assay.engine.commands.sign:sign_command", "signing", "Sign a bundle.")
_elsewhere("verify", "assay.engine.commands.sign:verify_command", "signing", "Check a bundle's signature.")
_elsewhere("train", "assay.trainers.cli.train:train", "train", "Train a detector.")
_elsewhere("audit", "assay.trainers.cli.audit:audit", "train", "Find what gives a data set away.")
_elsewhere("calibrate", "assay.trainers.cli.calibrate:calibrate", "train", "Fit calibration and thresholds.")
_elsewhere(
    "evaluate", "assay.trainers.cli.evaluate:evaluate", "train", "Measure a bundle on labelled images."
)
_elsewhere("study", "assay.trainers.cli.study:app", "train", "Make the papers' tables and figures.")
_elsewhere("export", "assay.trainers.cli.export:export", "train", "Write a trained network as a bundle.")
_elsewhere("data", "assay.trainers.cli.data:build", "data,train", "Build the small benchmark from packages.")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; an error that is not a defect ends it with one sentence."""
    CLOSED.update(open_closed())
    show_any_text()
    keep_offline()
    keep_in_cache()
    try:
        try:
            app(args=arguments, prog_name="assay")
        finally:
            flush_output()
    except AssayError as error:
        say(f"assay: {error}")
        raise SystemExit(1 if isinstance(error, EngineFault) else 2) from None
    except OSError as error:
        say(f"assay: {refusal(error)}")
        raise SystemExit(2) from None
