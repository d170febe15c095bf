"""How a settings model reads its variables, what it says when one is wrong, and how its page is printed.

Every field names the one variable it is read from; nothing else is consulted (no `.env` file, no field name).
A secret `X` may also be given as `X_FILE`, the path of a file that holds it (Docker and Kubernetes secrets).
A variable set to nothing counts as not set.
"""

from __future__ import annotations

import difflib
import os
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from pydantic import BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pydantic.fields import FieldInfo
    from pydantic_core import ErrorDetails


class ConfigurationError(Exception):
    """The environment cannot be used; the message names each variable, what is wrong and what to set."""


class Environment(PydanticBaseSettingsSource):
    """Reads each field from its variable, or, for a secret, from the file that `<variable>_FILE` names."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Return the text of one variable, None when it is not set."""
        name = name_of(field)
        value = os.environ.get(name) or None
        if is_secret(field) and (path := os.environ.get(name + "_FILE")):
            if value is not None:
                raise ConfigurationError(f"{name} and {name}_FILE are both set; keep one of them")
            value = _read_secret(name, Path(path))
        return value, field_name, False

    def __call__(self) -> dict[str, Any]:
        """Return the variables that are set, by field."""
        values = {name: self.get_field_value(field, name)[0] for name, field in fields(self.settings_cls)}
        return {name: value for name, value in values.items() if value is not None}


class Settings(BaseSettings):
    """What all models share: frozen, read from the environment only, errors that never repeat a value."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", populate_by_name=True, hide_input_in_errors=True, validate_default=True
    )

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource, *_: Any, **__: Any
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take arguments first (tests give them), then the environment, and nothing else."""
        return init_settings, Environment(settings_cls)


Model = TypeVar("Model", bound=Settings)


def variable(name: str, description: str, default: Any = ..., **limits: Any) -> Any:
    """Declare a field: the variable it is read from, what it means, its value when that is not set."""
    return Field(default=default, validation_alias=name, description=description, **limits)


def fields(model: type[BaseSettings]) -> Iterator[tuple[str, FieldInfo]]:
    """Iterate over a model's fields in the order of their declaration."""
    yield from model.model_fields.items()


def name_of(field: FieldInfo) -> str:
    """Return the variable a field is read from."""
    assert isinstance(field.validation_alias, str)
    return field.validation_alias


def is_secret(field: FieldInfo) -> bool:
    """Whether a field's value must never be shown, and may come from a file."""
    return field.annotation in (SecretStr, SecretStr | None)


def _read_secret(name: str, path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"{name}_FILE: {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{name}_FILE: {path} does not hold text") from None
    if not text.strip():
        raise ConfigurationError(f"{name}_FILE: {path} is empty; put the secret in it or remove the variable")
    return text.rstrip("\r\n")


def _seconds(value: object) -> object:
    if isinstance(value, str):
        try:
            return timedelta(seconds=float(value))
        except (ValueError, OverflowError):
            return value
    return value


def _pairs(value: object) -> object:
    if isinstance(value, str):
        pairs = [item.split("=") for item in value.split(",") if item.strip()]
        if any(len(pair) != 2 for pair in pairs):
            raise ValueError("write it as name=value,name=value")
        return {key.strip(): item.strip() for key, item in pairs}
    return value


def _items(value: object) -> object:
    return [item.strip() for item in value.split(",") if item.strip()] if isinstance(value, str) else value


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


Duration = Annotated[timedelta, BeforeValidator(_seconds)]
"""Seconds as a plain number (`0.25`), or ISO 8601 (`PT5M`)."""
Pairs = BeforeValidator(_pairs)
"""`name=value,name=value` as a mapping."""
Items = BeforeValidator(_items)
"""A comma-separated list."""
Lower = BeforeValidator(_lower)
"""A word in any case."""


def load(model: type[Model]) -> Model:
    """Read a model from the environment.

    Raises:
        ConfigurationError: naming every variable that is wrong, what is wrong with it and what to set. No
            value is repeated: it may be a secret put into the wrong variable.

    """
    _refuse_misspelled()
    try:
        return model()
    except ValidationError as error:
        lines = [_explain(model, fault) for fault in error.errors(include_url=False, include_input=False)]
    # Raised here and not in the handler: the original error would be shown below ours.
    raise ConfigurationError("\n".join(lines))


def _explain(model: type[Settings], fault: ErrorDetails) -> str:
    """Turn one fault that pydantic found into a line for a person."""
    message = fault["msg"].removeprefix("Value error, ")
    where = fault["loc"][0] if fault["loc"] else None
    for name, field in fields(model):
        if where in (name, name_of(field)):
            if fault["type"] == "missing":
                return f"{name_of(field)} is not set: {field.description}"
            message = message[0].lower() + message[1:]
            return f"{name_of(field)}: {message}. {field.description} (Default: {_default(field)}.)"
    return message


def known_names() -> set[str]:
    """Return every variable that some model of this process reads, with the files of the secrets."""
    names = {"BRIDGE_FAILPOINTS"}
    for model in Settings.__subclasses__():
        for _, field in fields(model):
            names.add(name_of(field))
            if is_secret(field):
                names.add(name_of(field) + "_FILE")
    return names


def _refuse_misspelled() -> None:
    """Refuse a BRIDGE_ variable that nobody reads but that looks like a known one: a switch set in vain."""
    known = known_names()
    for name in sorted(os.environ):
        if name.startswith("BRIDGE_") and name not in known:
            close = difflib.get_close_matches(name, known, n=1, cutoff=0.9)
            if close:
                raise ConfigurationError(f"{name} is not a setting; did you mean {close[0]}?")


def _default(field: FieldInfo) -> str:
    value = field.get_default()
    if field.is_required():
        return "none, required"
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, timedelta):
        return f"{value.total_seconds():g} s"
    return "not set" if value is None or value in ("", {}, frozenset()) else f"`{value}`"


_PREFACE = """\
# Configuration

<!-- Printed by `python -m shared.settings`; a test compares. Change the models, not this page. -->

Everything is read from environment variables when a process starts. One that cannot be used stops the start
with a sentence that names it. Durations are seconds (`0.25`) or ISO 8601 (`PT5M`); switches are `on` or
`off`. A variable marked *secret* may be replaced by the same name with `_FILE`, the path of a file that holds
the value.
"""


def documentation(models: Iterable[type[Settings]]) -> str:
    """Return the page docs/configuration.md: a table of variables for each model."""
    parts = [_PREFACE]
    for model in models:
        parts.append(f"\n## {model.__name__.removesuffix('Settings')}\n\n{model.__doc__}\n\n")
        parts.append("| variable | default | meaning |\n|---|---|---|\n")
        for _, field in fields(model):
            secret = " *secret*" if is_secret(field) else ""
            parts.append(f"| `{name_of(field)}`{secret} | {_default(field)} | {field.description} |\n")
    return "".join(parts)
