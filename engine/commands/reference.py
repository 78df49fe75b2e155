"""`python -m assay.engine.commands.reference`: docs/reference.md, from the settings and commands."""

import ast
import inspect
import sys
import textwrap
from collections.abc import Callable, Iterator
from enum import EnumType
from itertools import starmap
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import typer
from pydantic import BaseModel
from pydantic_core import PydanticUndefined
from typer.models import ArgumentInfo, OptionInfo

from assay.engine.commands.app import COMMANDS, app
from assay.engine.doors.door import DoorKind
from assay.engine.registry import DOORS, attribute, named
from assay.engine.report.markdown import table
from assay.engine.server import ServeSettings
from assay.engine.settings import Limits, Settings

INTRODUCTION = """\
# Reference

<!-- written by `make reference` from docstrings, options and defaults; edit those -->

Every setting, and every command with its options. What a command is for stands in the
[README](../README.md) and the pages of the [index](README.md).
"""
SETTINGS = """
## Settings

A setting is given as an option of the command, as an environment variable, or in the TOML file that
`--config` names; the first of these that has it counts. A default that depends on the machine or on other
settings is described.
"""
USE = """
## Commands

`-h` or `--help` behind any of them prints the same. Exit codes: 0 done; 2 a wrong option, path, bundle,
address or broker, with one sentence on standard error; 1 the engine lost its last worker, or
nobody reads its output on.
"""
SEVERAL = ", several"
_DOORS: dict[str, DoorKind] = {name: named(DOORS, name, "door") for name in sorted(DOORS)}
TABLES: tuple[tuple[str, str, type[BaseModel]], ...] = (
    ("", "ASSAY_", Settings),
    ("limits", "ASSAY_LIMITS__", Limits),
    *((name, kind.prefix, kind.settings) for name, kind in _DOORS.items()),
    ("serve", "ASSAY_SERVE_", ServeSettings),
)
"""Tables of the settings file, with what their variables begin with."""


def reference() -> str:
    """The page, as Markdown."""
    return "".join([INTRODUCTION, SETTINGS, *starmap(_settings, TABLES), USE, *_commands()])


def _settings(name: str, prefix: str, model: type[BaseModel]) -> str:
    texts = _docstrings(model)
    rows = [
        (f"`{field}`", f"`{prefix}{field.upper()}`", _type(info.annotation), _default(info), texts[field])
        for field, info in model.model_fields.items()
        if not (inspect.isclass(info.annotation) and issubclass(info.annotation, BaseModel))
    ]
    title = f"\n### Table `[{name}]`\n" if name else "\n### The engine: top level of the file\n"
    intro = _line(inspect.getdoc(model))
    return f"{title}\n{intro}\n\n" + table(
        [("setting", "variable", "type", "default", "what it is"), *rows], numbers=False
    )


def _docstrings(model: type[BaseModel]) -> dict[str, str]:
    """The string that stands below each field of a model, on one line; empty where there is none."""
    texts = dict.fromkeys(model.model_fields, "")
    for base in model.__bases__:
        if base.__module__.startswith("assay.") and issubclass(base, BaseModel):
            texts |= _docstrings(base)
    body = ast.parse(textwrap.dedent(inspect.getsource(model))).body[0]
    assert isinstance(body, ast.ClassDef)
    for field, text in zip(body.body, body.body[1:], strict=False):
        if not (isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr)):
            continue
        if isinstance(text.value, ast.Constant):
            texts[ast.unparse(field.target)] = _line(str(text.value.value))
    return texts


def _default(info: Any) -> str:
    if info.is_required():
        return "required"
    if info.default is PydanticUndefined:
        return "depends"
    if isinstance(info.default, bool):
        return f"`{str(info.default).lower()}`"
    return "" if info.default in (None, (), "") else f"`{info.default}`"


def _commands() -> Iterator[str]:
    if app.registered_callback and (before := app.registered_callback.callback):
        yield _command("", before)
    for name, command in COMMANDS.items():
        found = attribute(command.where)
        if not isinstance(found, typer.Typer):
            yield _command(name, found)
            continue
        yield f"\n### assay {name}\n\n{found.info.help}\n"
        for below in found.registered_commands:
            assert below.callback
            own = below.name or below.callback.__name__.removesuffix("_command").replace("_", "-")
            yield _command(f"{name} {own}", below.callback, "####")


def _command(name: str, callback: Callable[..., Any], level: str = "###") -> str:
    hints = get_type_hints(callback, include_extras=True)
    title = f"assay {name}".strip()
    usage, rows = [title], []
    for parameter in inspect.signature(callback).parameters.values():
        hint = hints[parameter.name]
        if hint is typer.Context:  # no option, but what typer says of the call
            continue
        kind, info = (
            get_args(hint)[0],
            next(part for part in get_args(hint)[1:] if isinstance(part, OptionInfo | ArgumentInfo)),
        )
        if info.hidden:
            continue
        required = parameter.default is inspect.Parameter.empty
        spelling = _spelling(parameter.name, kind, info)
        if isinstance(info, ArgumentInfo):
            called = spelling + ("..." if _type(kind).endswith(SEVERAL) else "")
            usage.append(called if required else f"[{called}]")
        elif required:
            usage.append(f"{spelling.split(', ')[0]} {parameter.name.upper()}")
        rows.append((f"`{spelling}`", _type(kind, info), _shown(parameter, info), _line(info.help)))
    usage.append("[OPTIONS]")
    text = inspect.cleandoc(callback.__doc__ or "")
    options = table([("option", "type", "default", "what it is"), *rows], numbers=False) if rows else ""
    return f"\n{level} {title}\n\n    {' '.join(usage)}\n\n{text}\n\n{options}"


def _spelling(name: str, kind: Any, info: OptionInfo | ArgumentInfo) -> str:
    if isinstance(info, ArgumentInfo):
        return name.upper()
    first = (info.default,) if isinstance(info.default, str) else ()  # where typer keeps it of Annotated
    if spellings := first + tuple(info.param_decls or ()):
        return ", ".join(spellings)
    flag = f"--{name.replace('_', '-')}"
    return f"{flag}, --no-{flag[2:]}" if kind is bool else flag


def _shown(parameter: inspect.Parameter, info: OptionInfo | ArgumentInfo) -> str:
    if parameter.default is inspect.Parameter.empty:
        return "required"
    default = parameter.default
    return "" if default is None or default is False or default == "" else f"`{default}`"


def _type(annotation: Any, info: OptionInfo | ArgumentInfo | None = None) -> str:
    """What may be given, in words."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin in (Union, UnionType):
        return " or ".join(_type(part, info) for part in inner if part is not NoneType)
    if origin is Annotated:
        return _type(inner[0], info)
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in inner)
    if origin in (list, tuple):
        return _type(inner[0], info) + SEVERAL
    if isinstance(annotation, EnumType):
        members: list[Any] = [*annotation.__members__.values()]
        return ", ".join(f"`{member.value}`" for member in members)
    words = {
        Path: "path",
        str: "text",
        int: "integer",
        float: "number",
        bool: "flag" if info else "true or false",
    }
    word = words.get(annotation, "text")
    least, most = (info.min, info.max) if info else (None, None)
    bounds = [f"from {least}"] * (least is not None) + [f"to {most}"] * (most is not None)
    return " ".join([word, *bounds])


def _line(text: str | None) -> str:
    return " ".join((text or "").split())


if __name__ == "__main__":
    sys.stdout.write(reference())
