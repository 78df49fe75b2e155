"""The one command line. Outcomes go to standard output, everything else to standard error.

Exit codes: 0 every file got an outcome; 2 a wrong option, path, bundle, address or broker (one sentence says
which); 1 the engine lost its last worker, or nobody reads its output on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from assay.engine.commands.group import commands
from assay.engine.errors import AssayError, EngineFault, SetupError
from assay.engine.quiet import keep_in_cache, keep_offline
from assay.engine.registry import DOORS, attribute, named
from assay.engine.streams import CLOSED, flush_output, open_closed, refusal, say, show_any_text

if TYPE_CHECKING:
    from pydantic import BaseModel


@dataclass(frozen=True)
class Command:
    """A command that is loaded when it is called or completed, so that help is there at once and commands may
    stand where the engine must not import.

    where: MODULE:ATTRIBUTE of its function, or of the `typer.Typer` of a group; extra: of the distribution,
    what it needs beyond the base.
    """

    where: str
    help: str
    extra: str = ""

    def load(self, name: str) -> Any:
        """What runs it. Raises SetupError where a package that it needs is not installed."""
        try:
            found = attribute(self.where)
        except ModuleNotFoundError as error:
            if (error.name or "").startswith("assay"):
                raise
            missing = f"needs {error.name}, which is not installed: pip install 'assay[{self.extra}]'"
            raise SetupError(f"`assay {name}` {missing}") from None
        if isinstance(found, typer.Typer):
            return typer.main.get_command(found)
        alone = commands()
        alone.command(name)(found)
        return typer.main.get_command(alone)


COMMANDS = {
    "scan": Command(
        "assay.engine.commands.scan:scan_command",
        "Score files and folders: one line for each regular file, a verdict or why there is none.",
    ),
    "explain": Command(
        "assay.engine.commands.explain:explain_command",
        "Draw what the verdict on an image, or each of a folder, rests on; prints the lines of `assay scan`.",
    ),
    "serve": Command(
        "assay.engine.commands.serve:serve_command", "Serve gRPC and Kafka over one engine, until SIGTERM."
    ),
    "bundles": Command(
        "assay.engine.commands.bundles:bundles_command", "List the bundles that can be named."
    ),
    "doctor": Command(
        "assay.engine.commands.doctor:doctor_command",
        "Say what is installed, what each bundle would run on and why, and what is missing.",
    ),
    "client": Command("assay.engine.commands.client:client_command", "Send files and folders to a server."),
    "bench": Command(
        "assay.engine.commands.bench:bench_command",
        "Measure how many images a second a server or engine scores, and how soon.",
    ),
    "replay": Command(
        "assay.engine.commands.replay:replay_command",
        "Send the dead letters of a Kafka topic through again, as they came, with their story.",
    ),
    "compile": Command(
        "assay.engine.commands.compile:compile_command",
        "Build a bundle's graphs for TensorRT ahead of time, or quantise them.",
        "gpu",
    ),
    "sign": Command("assay.engine.commands.sign:sign_command", "Sign a bundle.", "signing"),
    "verify": Command("assay.engine.commands.sign:verify_command", "Check a bundle's signature.", "signing"),
    "train": Command("assay.trainers.cli.train:train", "Train a detector.", "train"),
    "audit": Command("assay.trainers.cli.audit:audit", "Find what gives a data set away.", "train"),
    "calibrate": Command(
        "assay.trainers.cli.calibrate:calibrate", "Fit calibration and thresholds.", "train"
    ),
    "evaluate": Command(
        "assay.trainers.cli.evaluate:evaluate", "Measure a bundle on labelled images.", "train"
    ),
    "study": Command("assay.trainers.cli.study:app", "Make the papers' tables and figures.", "train"),
    "export": Command("assay.trainers.cli.export:export", "Write a trained network as a bundle.", "train"),
    "import": Command(
        "assay.trainers.cli.published:import_weights",
        "Make a bundle of weights that a paper's published code has written.",
        "train",
    ),
    "data": Command(
        "assay.trainers.cli.data:build", "Build the small benchmark from packages.", "data,train"
    ),
}


class _Lazy(TyperGroup):
    """Lists commands by name and help; loads the one that is called, or whose options are completed."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, command, others = super().resolve_command(ctx, args)
        return name, COMMANDS[name].load(name) if name in COMMANDS else command, others


app = typer.Typer(
    cls=_Lazy,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _name, _command in COMMANDS.items():
    app.command(_name, help=_command.help)(lambda: None)  # in its place `_Lazy` runs what is loaded


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
    """Tell camera photographs from synthetic images."""
    from assay.engine.config import unknown_variables
    from assay.engine.settings import Settings

    if any(unknown_variables(Settings)):  # the doors take time to load
        for variable, nearest in unknown_variables(Settings, *_of_doors()):
            say(
                f"assay: warning: the environment variable {variable} is no setting; the nearest is {nearest}"
            )


def _of_doors() -> Sequence[type["BaseModel"]]:
    from assay.engine.server import ServeSettings

    return [*(named(DOORS, name, "door").settings for name in DOORS), ServeSettings]


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
