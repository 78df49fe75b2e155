"""`assay train KIND`: its options are the fields of the kind's record, its help their docstrings."""

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeAlias, TypeVar, Union, get_args, get_origin

import typer
from annotated_types import Ge, Le
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from rich.console import Console

from assay.engine.errors import SetupError
from assay.trainers.cli import options as shared
from assay.trainers.cli.needs import need_torch
from assay.trainers.cli.run import extended, open_run, run_training
from assay.trainers.fit.run import RunConfig
from assay.trainers.fit.settings import RENAMED, FitSettings
from assay.trainers.kinds import Kind

Model = TypeVar("Model", bound=BaseModel)

Out: TypeAlias = Annotated[
    Path, typer.Option(help="Folder of the run: settings, log.csv, tensorboard/, last.pt, best.pt.")
]
Resume: TypeAlias = Annotated[
    bool,
    typer.Option(
        help="Continue the run in --out, with the settings it has; --epochs may be more than it was for."
    ),
]
TOGETHER = "On several GPUs or machines: torchrun --nproc-per-node N --no-python assay train {} ..."
RESUMED = (
    "A run that is stopped goes on with --resume and ends with the same weights as one that was not. Files "
    "that cannot be read are skipped, counted, and listed in unreadable.txt."
)


def command(name: str, kind: Kind) -> Callable[..., None]:
    """The function that typer calls for `assay train NAME`."""
    fit = kind.run.model_fields["fit"].annotation
    assert isinstance(fit, type)
    assert issubclass(fit, FitSettings)
    run_fields = {
        field: info for field, info in kind.run.model_fields.items() if field not in ("fit", "weights")
    }
    groups: tuple[Mapping[str, FieldInfo], ...] = (run_fields, kind.files.model_fields, fit.model_fields)
    options = {
        field: _option(field, info) for group in groups for field, info in group.items() if _offered(info)
    }
    renamed = {old: new for old, new in {**RENAMED, **kind.run.renamed}.items() if new in options}
    renamed = {old: new for old, new in renamed.items() if old not in RunConfig.renamed}

    def train(**given: Any) -> None:
        need_torch()
        out, workers, resume = given.pop("out"), given.pop("workers"), given.pop("resume")
        device, context = given.pop("device"), given.pop("context")
        given = _current_spellings(given, renamed)
        files = _checked(
            kind.files, {field: given[field] for field in kind.files.model_fields if field in given}
        )
        run = open_run(
            kind.run,
            out,
            resume,
            lambda: _checked(
                kind.run,
                {field: given[field] for field in run_fields if field in given}
                | files.names()
                | {"fit": {field: given[field] for field in fit.model_fields if field in given}},
            ),
        )
        more = given["epochs"] if resume and _was_given(context, "epochs") else None
        run = extended(run, more)
        started = kind.files() if resume else files
        trained = kind.load().make_fit(run, out, *started.arguments(), workers, device)
        run_training(trained, run, out, resume, kind.figure, more is not None)

    required = {"data": options.pop("data"), "out": _parameter("out", Out)}
    if kind.argument:
        field = run_fields[kind.argument]
        said = typer.Argument(help=" ".join((field.description or "").split()))
        named: Any = Annotated[field.annotation, said]
        required = {kind.argument: _parameter(kind.argument, named), **required}
        del options[kind.argument]
    machine = {
        "device": _parameter("device", shared.Device, "auto"),
        "workers": _parameter("workers", shared.Workers, 2),
        "resume": _parameter("resume", Resume, False),
    }
    old = {name: _old_option(name, options[new]) for name, new in renamed.items()}
    context = _parameter("context", typer.Context)
    parameters = {"context": context, **required, **options, **machine, **old}
    train.__signature__ = inspect.Signature(list(parameters.values()))  # type: ignore[attr-defined]
    train.__annotations__ = {field: parameter.annotation for field, parameter in parameters.items()}
    together = [TOGETHER.format(name)] if fit.model_fields["accumulate"].annotation is int else []
    train.__doc__ = "\n\n".join([inspect.getdoc(kind.run) or "", *together, RESUMED])
    return train


def _was_given(context: typer.Context, name: str) -> bool:
    """Whether an option stands on the command line."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _offered(info: FieldInfo) -> bool:
    """Whether there is a choice: a field with one possible value is no option."""
    annotation = info.annotation
    return annotation is not NoneType and not (
        get_origin(annotation) is Literal and len(get_args(annotation)) == 1
    )


def _option(name: str, info: FieldInfo) -> inspect.Parameter:
    """The option of a field: its type, bounds, default and help."""
    annotation, metadata = info.annotation, list(info.metadata)
    if get_origin(annotation) in (Union, UnionType):
        inner = next(part for part in get_args(annotation) if part is not NoneType)
        if get_origin(inner) is Annotated:
            metadata += [bound for part in get_args(inner)[1:] for bound in part.metadata]
            annotation = get_args(inner)[0] | None
    default = inspect.Parameter.empty if info.is_required() else info.default
    help_text = " ".join((info.description or "").split())
    if get_origin(annotation) is tuple:
        if shown := " ".join(",".join(map(str, value)) for value in info.default):
            help_text += f" [default: {shown}]"
        annotation, default = list[str] | None, None
    bounds: dict[str, Any] = {}
    for bound in metadata:
        if isinstance(bound, Ge):
            bounds["min"] = bound.ge
        if isinstance(bound, Le):
            bounds["max"] = bound.le
    flag = f"--{name.replace('_', '-')}"
    shown_default = default not in (None, inspect.Parameter.empty)
    option = typer.Option(flag, help=help_text, show_default=shown_default, **bounds)
    return _parameter(name, Annotated[annotation, option], default)


def _old_option(name: str, now: inspect.Parameter) -> inspect.Parameter:
    """The spelling of version 0.1 of an option: understood, but not listed."""
    kind = get_args(now.annotation)[0]
    option = typer.Option(f"--{name.replace('_', '-')}", hidden=True)
    return _parameter(name, Annotated[kind | None, option], None)


def _parameter(name: str, annotation: Any, default: Any = inspect.Parameter.empty) -> inspect.Parameter:
    keyword = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, keyword, default=default, annotation=annotation)


def _current_spellings(given: dict[str, Any], renamed: Mapping[str, str]) -> dict[str, Any]:
    """`given` without options that were not set, and with old spellings under their new names."""
    for old, new in renamed.items():
        if (value := given.pop(old)) is not None:
            spelling, now = (f"--{name.replace('_', '-')}" for name in (old, new))
            Console(stderr=True).print(
                f"{spelling} is now {now}; the old spelling goes with the next release"
            )
            given[new] = value
    return {name: value for name, value in given.items() if value is not None}


def _checked(model: type[Model], values: Mapping[str, Any]) -> Model:
    """Raises SetupError that names the first option at fault."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        fault = error.errors()[0]
        said = fault["msg"].removeprefix("Value error, ")
        named = [str(part).replace("_", "-") for part in fault["loc"] if isinstance(part, str)]
        option = f"--{named[-1]}: " if named else ""  # what options together are, says the record itself
        value = "" if fault["type"] == "value_error" else f", not {fault['input']!r}"
        raise SetupError(f"{option}{said}{value}") from None
