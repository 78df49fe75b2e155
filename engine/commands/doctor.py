"""`assay doctor`: what is installed, what would run, and what to do about the rest."""

import json
from collections.abc import Iterator
from typing import Annotated

import typer

from assay.engine.commands.options import ConfigFile, Executor, Precision
from assay.engine.commands.versions import versions
from assay.engine.config import load, read_config
from assay.engine.doctor import Findings, Plan, examine
from assay.engine.installed import Choice
from assay.engine.printable import printable
from assay.engine.settings import Settings


def doctor_command(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    devices: Annotated[
        str | None,
        typer.Option("--devices", help="GPUs to ask about, such as 0,1; by default the settings'."),
    ] = None,
    executor: Executor = None,
    precision: Precision = None,
    config: ConfigFile = None,
) -> None:
    """Say what is installed, what each bundle would run on and why, and what is missing.

    The exit code is 1 where no bundle would run.
    """
    settings = load(
        Settings,
        read_config(config),
        devices=() if devices == "" else devices,
        executor=executor,
        precision=precision,
    )
    found = examine(settings, dict(versions()))
    if as_json:
        print(json.dumps(found.to_dict()))
    else:
        for line in _lines(found):
            print(printable(line))
    if not found.able:
        raise typer.Exit(1)


def _lines(found: Findings) -> Iterator[str]:
    yield "Installed"
    yield from (f"  {name:<14} {number}" for name, number in found.versions.items())
    yield "This machine"
    yield from (f"  {topic:<14} {sentence}" for topic, sentence in found.machine.items())
    yield "Bundles"
    for plan in found.bundles:
        yield from _of_bundle(plan)
    yield "Not installed" if found.missing else "Nothing else is needed"
    for missing in found.missing:
        yield f"  {missing.package:<14} {missing.without}: {missing.command}"
    if not found.able:
        yield "No bundle would run here."


def _of_bundle(plan: Plan) -> Iterator[str]:
    yield f"  {plan.bundle} {plan.version}".rstrip()
    if plan.problem is not None:
        yield f"    does not run: {plan.problem}"
        return
    choices: list[tuple[str, Choice | None]] = [("executor", plan.executor), ("decoder", plan.decoder)]
    choices += [(f"graph {graph}", choice) for graph, choice in plan.precisions.items()]
    for what, choice in choices:
        if choice is not None:
            yield f"    {what:<16} {choice.name}: {choice.why}"
