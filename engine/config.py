"""Where settings come from: options, then environment variables, then a TOML file, then defaults.

Every table of settings is read here, so that a wrong value or shape is the same kind of sentence everywhere,
which names the setting and where it was given.
"""

import json
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings

from assay.engine.errors import SetupError
from assay.engine.registry import DOORS, named

Model = TypeVar("Model", bound=BaseSettings)

TABLES = (*DOORS, "serve")
"""Tables of the settings file that are not the engine's."""
LARGEST = 1 << 20
"""Bytes that a settings file may have; what is larger (such as /dev/zero) is none."""
OTHER_VARIABLES = ("ASSAY_CACHE", "ASSAY_KAFKA_CACHE")
KUBERNETES = re.compile(
    r"_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$"
)
"""What Kubernetes sets in every container for a service that is called assay."""
SHOWN = 60
"""Characters of a wrong value that are repeated."""


@dataclass(frozen=True)
class Config:
    """A settings file: its path and what stands in it; without a file, nothing."""

    file: Path | None = None
    values: Mapping[str, Any] = field(default_factory=dict)

    def table(self, name: str) -> Mapping[str, Any]:
        """The table `name`; "" is the engine's, which is everything outside of the others."""
        if name:
            return self.values.get(name) or {}
        return {key: value for key, value in self.values.items() if key not in TABLES}


def read_config(file: Path | None) -> Config:
    """Read a TOML file of settings. Raises `SetupError`, also where a value stands in a table's place."""
    if file is None:
        return Config()
    try:
        with file.open("rb") as stream:
            data = stream.read(LARGEST + 1)
        if len(data) > LARGEST:
            raise SetupError(f"settings file {file} cannot be read: it is larger than {LARGEST} bytes")
        values = tomllib.loads(data.decode("utf-8-sig"))
    except OSError as error:
        raise SetupError(f"settings file {file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SetupError(f"settings file {file} cannot be read: it is not UTF-8 text") from None
    except (ValueError, RecursionError) as error:  # ValueError: a number of thousands of digits, too
        raise SetupError(f"settings file {file} cannot be read: {error}") from None
    for name in TABLES:
        if not isinstance(values.get(name, {}), Mapping):
            raise SetupError(
                f"setting {name!r} (settings file {file}) is a table: write [{name}] on a line of its own "
                f"and its settings below, not {_shown(values[name])}"
            )
    return Config(file, values)


def environment(model: type[BaseModel], prefix: str | None = None) -> dict[str, Any]:
    """What the environment gives `model`: the variable of a field is the prefix and its name in capitals, of
    a nested field with two underscores between. A nested table may be given as a JSON object, too."""
    if prefix is None:
        prefix = str(model.model_config.get("env_prefix", ""))
    found: dict[str, Any] = {}
    for name, variable, table in _fields(model, prefix):
        if variable in os.environ:
            found[name] = _json_table(os.environ[variable]) if table else os.environ[variable]
        if table and (below := environment(table, variable + "__")):
            whole = found.get(name, {})
            found[name] = {**whole, **below} if isinstance(whole, dict) else whole
    return found


def load(model: type[Model], config: Config | None = None, table: str = "", /, **given: Any) -> Model:
    """Settings from what was `given` (None: not given), else the environment, else `table` of the
    file, else defaults.

    Raises:
        SetupError: a value is wrong or a name unknown; the sentence says which, and where it was given.
    """
    config = config or Config()
    written = {name: _numbers(model, name, value) for name, value in config.table(table).items()}
    chosen = {name: value for name, value in given.items() if value is not None}
    values = {**_deeper(written, environment(model)), **chosen}
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise SetupError(_sentence(model, first, config, table, chosen)) from None


def unknown_variables(*models: type[BaseModel]) -> Iterator[tuple[str, str]]:
    """Each variable of the environment that looks like one of ours and is none, and the nearest that is."""
    known = {variable for model in models for variable in _all_variables(model)}.union(OTHER_VARIABLES)
    for name in sorted(os.environ):
        if name.upper().startswith("ASSAY_") and name not in known and not KUBERNETES.search(name):
            yield name, next(iter(get_close_matches(name.upper(), sorted(known), 1, 0.0)))


def _all_variables(model: type[BaseModel], prefix: str | None = None) -> Iterator[str]:
    if prefix is None:
        prefix = str(model.model_config.get("env_prefix", ""))
    for _, variable, table in _fields(model, prefix):
        yield variable
        if table:
            yield from _all_variables(table, variable + "__")


def _fields(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, str, type[BaseModel] | None]]:
    """Name, variable and, where the field is a table, the model of each field."""
    for name, known in model.model_fields.items():
        annotation = known.annotation
        table = annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None
        yield name, prefix + name.upper(), table


def _json_table(text: str) -> Any:
    """The table that a variable holds as a JSON object; else the text, which the model refuses."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return value if isinstance(value, dict) else text


def _deeper(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """`below`, and in its place whatever `above` has; tables are merged."""
    merged = {**below, **above}
    for name in below.keys() & above.keys():
        low, high = below[name], above[name]
        if isinstance(low, Mapping) and isinstance(high, Mapping):
            merged[name] = _deeper(low, high)
    return merged


def _numbers(model: type[BaseModel], name: str, value: Any) -> Any:
    """A value of the file; `true` in the place of a number as text, because Python takes it for 1."""
    known = model.model_fields.get(name)
    inner = known.annotation if known else None
    if isinstance(value, Mapping) and isinstance(inner, type) and issubclass(inner, BaseModel):
        return {key: _numbers(inner, key, one) for key, one in value.items()}
    if isinstance(value, list):
        return [_numbers(model, name, one) for one in value]
    takes_numbers = re.search(r"\b(int|float)\b", str(inner))
    return str(value).lower() if isinstance(value, bool) and takes_numbers else value


def _sentence(
    model: type[BaseModel], error: ErrorDetails, config: Config, table: str, chosen: Mapping[str, Any]
) -> str:
    place = [str(part) for part in error["loc"]]
    name = ".".join([table, *place] if table else place)
    prefix = str(model.model_config.get("env_prefix", ""))
    message = error["msg"].removeprefix("Value error, ").replace("valid tuple", "list")
    message = re.sub(r"valid dictionary or instance of \w+", "table of settings", message)
    message = message.replace("Input should", "it should", 1)
    if not place:
        return f"settings of {table or 'the engine'}: {message}"
    options = named(DOORS, table, "door").options if table in DOORS else {}
    option, _ = options.get(place[0], ("--" + place[0].replace("_", "-"), ""))
    variables = [prefix + "__".join(place[: n + 1]).upper() for n in range(len(place))]
    variable = next((one for one in reversed(variables) if one in os.environ), None)
    if error["type"] == "missing":
        return (
            f"setting {name!r} is missing: give {option}, the variable {variables[-1]}, or {place[-1]!r} in "
            f"table [{table}] of the settings file"
        )
    if place[0] in chosen:
        source = f"option {option}"
    elif variable:
        source = f"environment variable {variable}"
    else:
        source = f"settings file {config.file}"
    if error["type"] == "extra_forbidden":
        what = "table" if isinstance(error["input"], Mapping) else "setting"
        return f"{what} {name!r} ({source}) is unknown; the nearest one is {_nearest(model, place, table)!r}"
    secret = "Secret" in str(model.model_fields[place[0]].annotation)
    return f"setting {name!r} ({source}): {message}" + ("" if secret else f", not {_shown(error['input'])}")


def _nearest(model: type[BaseModel], place: list[str], table: str) -> str:
    for part in place[:-1]:
        inner = model.model_fields[part].annotation
        assert isinstance(inner, type)
        model = inner
    known = [*model.model_fields, *(TABLES if not table and len(place) == 1 else ())]
    nearest = get_close_matches(place[-1].lower(), known, 1, 0.0)[0]
    return ".".join([*([table] if table else []), *place[:-1], nearest])


def _shown(value: object) -> str:
    try:
        text = repr(value)
    except ValueError:  # a number of thousands of digits
        text = "a number that long"
    return text if len(text) <= SHOWN else text[:SHOWN] + "..."
