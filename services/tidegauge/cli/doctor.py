"""``tidegauge doctor``: asks every part whether it does what will be asked of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib.util import find_spec

from rich.console import Console
from rich.text import Text

from tidegauge.cli.check import Check, Level, worst
from tidegauge.cli.errors import UnknownPartError
from tidegauge.cli.wrapping import print_json
from tidegauge.runtime.environment import without_unknown
from tidegauge.schemas.errors import TidegaugeError

__all__ = ["Look", "doctor", "looks"]

Look = Callable[[Mapping[str, str]], Iterable[Check]]
"""From environment variables to what was found of one part."""

_SETTINGS = "settings"
"""The part that sees unknown variables, and names them."""

_MARKS: Mapping[Level, tuple[str, str]] = {
    "ok": ("ok   ", "green"),
    "absent": ("-    ", "dim"),
    "warning": ("WARN ", "yellow"),
    "bad": ("BAD  ", "bold red"),
}


def doctor(
    environment: Mapping[str, str],
    *,
    as_json: bool,
    only: Sequence[str] = (),
    parts: Mapping[str, Look] | None = None,
) -> int:
    """Print every check as it is made; return the exit status.

    Args:
        environment: Variables.
        as_json: Print facts for machines.
        only: Parts to look at; all of them if empty.
        parts: Part -> look at it; None for all that are installed.

    Raises:
        UnknownPartError: There is no such part to look at.

    Returns:
        0 if all is well, 1 if something does harm, 2 if something that is needed does not work.
    """
    console = Console(highlight=False)
    found: list[Check] = []
    known = looks() if parts is None else parts
    if strange := [name for name in only if name not in known]:
        raise UnknownPartError(strange[0], known)
    chosen = {name: look for name, look in known.items() if name in (only or known)}
    for check in _made(environment, chosen):
        found.append(check)
        if not as_json:
            console.print(_line(check))
    if as_json:
        print_json(found)
    return worst(found)


def looks() -> Mapping[str, Look]:
    """Return a look at each part; those whose libraries are missing are reported as extras."""
    from tidegauge.cli.doctor_machine import machine_checks  # noqa: PLC0415 - needed only to run

    found: dict[str, Look] = {"machine": machine_checks}
    if find_spec("pydantic") is not None:
        from tidegauge.cli.doctor_kafka import kafka_checks  # noqa: PLC0415 - needs an extra
        from tidegauge.cli.doctor_models import model_checks  # noqa: PLC0415 - as above
        from tidegauge.cli.doctor_settings import settings_checks  # noqa: PLC0415 - as above
        from tidegauge.cli.doctor_upgrade import upgrade_checks  # noqa: PLC0415 - as above

        found |= {
            _SETTINGS: settings_checks,
            "kafka": kafka_checks,
            "upgrade": upgrade_checks,
            "models": model_checks,
        }
    if find_spec("sentence_transformers") is not None:
        found["embedder"] = _embedder
    return found


def _embedder(environment: Mapping[str, str]) -> Iterable[Check]:
    from tidegauge.cli.doctor_embedder import (  # noqa: PLC0415 - takes seconds to import
        embedder_checks,
        try_backends,
    )

    return embedder_checks(environment, try_backends)


def _made(environment: Mapping[str, str], parts: Mapping[str, Look]) -> Iterator[Check]:
    """Yield the checks of all parts; one that fails does not keep the others from being made."""
    known = without_unknown(environment)
    for part, look in parts.items():
        try:
            yield from look(environment if part == _SETTINGS else known)
        except TidegaugeError as error:
            yield Check(what=part, level="bad", found=str(error))


def _line(check: Check) -> Text:
    mark, style = _MARKS[check.level]
    return Text.assemble(
        (mark, style),
        f"{check.what:<27}{check.found}",
        (f"\n{'':32}-> {check.remedy}" if check.remedy else "", "yellow"),
    )
