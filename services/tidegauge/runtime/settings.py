"""Settings of processes: frozen values, read from environment variables at start."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, TypeVar, get_args, get_origin
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic.fields import FieldInfo

from tidegauge.runtime.environment import SettingsError, bad_value, refuse_unknown
from tidegauge.streaming.partitions import SketchSettings

__all__ = ["SettingInForce", "Settings", "Variable", "WindowSettings", "in_force", "load"]

S = TypeVar("S", bound="Settings")


@dataclass(frozen=True, slots=True)
class Variable:
    """Names the variable of a field that does not follow its class's prefix.

    Attributes:
        name: The variable.
    """

    name: str


class Settings(BaseModel):
    """Settings of one process or library; each field is one environment variable.

    Attributes:
        prefix: The variables' names begin with it; the field's name in capitals follows.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    prefix: ClassVar[str]

    @classmethod
    def variable(cls, field: str) -> str:
        """Return the name of the variable that sets a field."""
        for mark in cls.model_fields[field].metadata:
            if isinstance(mark, Variable):
                return mark.name
        return f"{cls.prefix}{field.upper()}"


class WindowSettings(Settings):
    """Windows of event time; the settings of every worker begin with these."""

    window_seconds: Annotated[float, Variable("TIDEGAUGE_WINDOW_SECONDS")] = Field(
        default=10.0, gt=0, description="Length of a window of event time."
    )
    lateness_seconds: Annotated[float, Variable("TIDEGAUGE_LATENESS_SECONDS")] = Field(
        default=20.0,
        ge=0,
        description="How long after its end a window stays open for stragglers.",
    )

    def sketching(self) -> SketchSettings:
        """Return the settings of windows and sketches."""
        window_ms = round(self.window_seconds * 1000)
        lateness_ms = round(self.lateness_seconds * 1000)
        return SketchSettings(
            window_ms=window_ms,
            lateness_ms=lateness_ms,
            idle_ms=max(lateness_ms, window_ms),
            progress_ms=window_ms,
        )


def load(kind: type[S], environment: Mapping[str, str] = os.environ) -> S:
    """Read settings from environment variables; an empty variable counts as not set.

    Values are texts, numbers and ``true`` or ``false``; lists and objects are JSON.

    Args:
        kind: The settings class.
        environment: The variables.

    Raises:
        SettingsError: A variable has an invalid value or an unknown name; the message has a
            line for each and shows no secrets.
    """
    refuse_unknown(environment)
    found: dict[str, Any] = {}
    problems: list[str] = []
    for name, field in kind.model_fields.items():
        text = environment.get(kind.variable(name), "")
        if not text:
            continue
        try:
            found[name] = json.loads(text) if _is_json(field) else text
        except ValueError:
            problems.append(_problem(kind, name, text, "must be JSON"))
    try:
        settings = kind.model_validate(found)
    except ValidationError as error:
        problems += _problems(kind, error, environment)
        raise SettingsError("\n".join(problems)) from None  # its context shows secrets
    if problems:
        raise SettingsError("\n".join(problems))
    return settings


@dataclass(frozen=True, slots=True)
class SettingInForce:
    """A setting as it may be shown.

    Attributes:
        variable: The variable that sets it.
        value: Its value; of a secret only whether it is set, of an address only the server.
        is_default: Whether it is the default.
        description: What it is.
    """

    variable: str
    value: str
    is_default: bool
    description: str


def in_force(settings: Settings) -> tuple[SettingInForce, ...]:
    """Return the settings that a process runs with, without secrets, in their order.

    Example:
        >>> in_force(WindowSettings(window_seconds=5))[0].value
        '5'
    """
    found = []
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        found.append(
            SettingInForce(
                variable=settings.variable(name),
                value=_shown(name, value),
                is_default=value == field.get_default(call_default_factory=True),
                description=field.description or "",
            )
        )
    return tuple(found)


def _shown(name: str, value: object) -> str:
    if isinstance(value, SecretStr):
        return "set" if value.get_secret_value() else ""
    if value is None or value == "":
        return ""
    if name.endswith("_url"):  # the rest of an address may be a secret
        return urlsplit(str(value)).hostname or "set"
    return f"{value:g}" if isinstance(value, float) else str(_written(value))


def _problems(
    kind: type[Settings], error: ValidationError, environment: Mapping[str, str]
) -> Iterator[str]:
    for entry in error.errors(include_url=False, include_context=False, include_input=False):
        name, *inside = (str(part) for part in entry["loc"])
        allowed = re.sub(r"^Value error, ", "", entry["msg"])
        allowed = re.sub(r"^\w+ should ", "must ", allowed).partition(", unable to parse")[0]
        if inside:
            allowed += f" at {'.'.join(inside)}"
        yield _problem(kind, name, environment[kind.variable(name)], allowed)


def _problem(kind: type[Settings], name: str, value: str, allowed: str) -> str:
    field = kind.model_fields[name]
    secret = SecretStr in (field.annotation, *get_args(field.annotation))
    default = None if secret else field.get_default(call_default_factory=True)
    return bad_value(kind.variable(name), value, allowed, default=_written(default), secret=secret)


def _is_json(field: FieldInfo) -> bool:
    return get_origin(field.annotation) in {tuple, list, dict}


def _written(default: object) -> object:
    """Return a default in the form of a variable's value."""
    if isinstance(default, bool | list | tuple | dict):
        return json.dumps(default)
    return default
