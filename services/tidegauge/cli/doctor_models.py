"""What ``tidegauge doctor`` says of the upstreams and the judge: each is asked what it will be."""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from tidegauge.cli.check import Check
from tidegauge.reports.formatting import duration
from tidegauge.runtime.environment import shown_address
from tidegauge.runtime.settings import load

__all__ = ["clock_check", "model_checks"]

_SECONDS: Final = 30.0
_LONGEST_ANSWER: Final = 4 << 20
_SHOWN_MODELS: Final = 6
_CLOCKS_DIFFER: Final = 5.0
"""Seconds; an HTTP date is of whole seconds, and an answer takes a while."""
_CLOCKS_HARM: Final = 60.0

_UPSTREAM_URL = "TIDEGAUGE_UPSTREAM_URL"
_JUDGE_URL = "TIDEGAUGE_JUDGE_URL"
_JUDGE_MODEL = "TIDEGAUGE_JUDGE_MODEL"


class _Failed(Exception):  # noqa: N818 - becomes a check
    def __init__(self, found: str, remedy: str) -> None:
        super().__init__(found)
        self.found, self.remedy = found, remedy


@dataclass(frozen=True, slots=True)
class _Server:
    """An OpenAI-compatible server.

    Attributes:
        what: Name of the check.
        url: Base URL, with or without ``/v1``.
        named_by: What names the address, for the remedy.
        key: Its API key.
        key_named_by: What names the key.
    """

    what: str
    url: str
    named_by: str
    key: str = ""
    key_named_by: str = ""

    def ask(self, path: str, body: object = None) -> tuple[Any, float]:
        """Return the JSON of an answer, and how far this machine's clock is ahead, in seconds.

        Raises:
            _Failed: There is none.
        """
        base = self.url.rstrip("/").removesuffix("/v1")
        data = None if body is None else json.dumps(body).encode()
        headers = {"content-type": "application/json"}
        if self.key:
            headers["authorization"] = f"Bearer {self.key}"
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        shown = shown_address(base)
        if not _is_address(base):
            raise _Failed(
                f"{shown} is no address of a server",
                f"mend {self.named_by}: http://host:port, without a user",
            )
        try:
            request = urllib.request.Request(base + path, data, headers)  # noqa: S310 - operator's
            with opener.open(request, timeout=_SECONDS) as answer:
                return json.loads(answer.read(_LONGEST_ANSWER)), _ahead(answer.headers)
        except urllib.error.HTTPError as error:
            with error:
                said = error.read(300).decode(errors="replace").strip()
            raise _Failed(
                f"{shown}{path} answers {error.code}: {ascii(said)[1:-1]}", self._mend(error.code)
            ) from None
        except (http.client.HTTPException, json.JSONDecodeError, UnicodeDecodeError):
            raise _Failed(
                f"{shown} is no OpenAI-compatible server: {path} is not answered with JSON",
                f"mend {self.named_by}",
            ) from None
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            if isinstance(reason, ConnectionResetError | TimeoutError):
                remedy = f"see whether it works, and whether {self.named_by} names it"
            else:
                remedy = f"start it, or mend {self.named_by}"
            why = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
            raise _Failed(f"{shown} does not answer: {why}", remedy) from None

    def models(self) -> tuple[list[str], float]:
        """Return the names of its models, and how far this machine's clock is ahead.

        Raises:
            _Failed: It does not tell them.
        """
        found, ahead = self.ask("/v1/models")
        try:
            return [str(model["id"]) for model in found["data"]], ahead
        except (KeyError, TypeError):
            raise _Failed(
                f"{shown_address(self.url)}/v1/models names no models", f"mend {self.named_by}"
            ) from None

    def _mend(self, status: int) -> str:
        if status in {401, 403}:
            return f"mend {self.key_named_by or 'its API key'}"
        if status in {404, 405}:
            return f"mend {self.named_by}: it must be the address before /v1"
        return "see its log"


def model_checks(environment: Mapping[str, str]) -> Iterator[Check]:
    """Ask upstreams and judge for their models and for an answer.

    Args:
        environment: Variables.
    """
    offered: dict[str, list[str]] = {}
    for server, wanted in _upstreams(environment):
        yield from _served(server, wanted, offered, _completes)
    if not environment.get(_JUDGE_URL):
        return
    try:
        from tidegauge.workers.judge.settings import JudgeSettings  # noqa: PLC0415 - an extra
    except ModuleNotFoundError:
        return  # reported with the extras
    settings = load(JudgeSettings, environment)
    key = settings.api_key.get_secret_value() if settings.api_key else ""
    judge = _Server("judge", settings.url, _JUDGE_URL, key, "TIDEGAUGE_JUDGE_API_KEY")
    answers = _judges if "likelihood" in settings.judges.split(",") else _completes
    yield from _served(judge, settings.model, offered, answers)


def _upstreams(environment: Mapping[str, str]) -> Iterator[tuple[_Server, str | None]]:
    """Yield each upstream, and the model that it has to have; None for any."""
    path = environment.get("TIDEGAUGE_GATEWAY_CONFIG")
    if path:
        try:
            from tidegauge.gateway.configuration import load as load_models  # noqa: PLC0415 - extra
        except ModuleNotFoundError:
            return
        from tidegauge.gateway.errors import ConfigurationError  # noqa: PLC0415 - as above

        try:
            models = load_models(Path(path)).models
        except ConfigurationError:
            return  # told with the settings
        for name, model in models.items():
            for number, upstream in enumerate(model.upstreams, start=1):
                what = f"upstream {name}" + (f" {number}" if len(model.upstreams) > 1 else "")
                key = environment.get(upstream.api_key_env or "", "")
                named = upstream.api_key_env or "api_key_env"
                yield _Server(what, upstream.url, path, key, named), upstream.model or name
    elif url := environment.get(_UPSTREAM_URL):
        variable = environment.get("TIDEGAUGE_GATEWAY_UPSTREAM_API_KEY_ENV", "")
        named = variable or "TIDEGAUGE_GATEWAY_UPSTREAM_API_KEY_ENV"
        key = environment.get(variable, "")
        yield _Server("upstream", url, _UPSTREAM_URL, key, named), None


def _served(
    server: _Server,
    wanted: str | None,
    offered: dict[str, list[str]],
    answers: Callable[[_Server, str], str],
) -> Iterator[Check]:
    """Check one server, and remember which models it has."""
    try:
        ahead = _look_for(server, wanted, offered)
        began = time.monotonic()
        found = answers(server, wanted or offered[server.what][0])
    except _Failed as failure:
        yield Check(what=server.what, level="bad", found=failure.found, remedy=failure.remedy)
        return
    took, address = duration(time.monotonic() - began), shown_address(server.url)
    yield Check(what=server.what, level="ok", found=f"{address} {found} ({took})")
    yield from clock_check(ahead, f"the clock of {address}")


def _look_for(server: _Server, wanted: str | None, offered: dict[str, list[str]]) -> float:
    """Look for a model; return how far this machine's clock is ahead of the server's."""
    names, ahead = server.models()
    offered[server.what] = names
    if not names:
        raise _Failed(f"{shown_address(server.url)} has no model", "load one there")
    if wanted is not None and wanted not in names:
        raise _Failed(
            f"{shown_address(server.url)} has no model {wanted!r}: it has {_listed(names)}",
            _other_place(server, wanted, offered),
        )
    return ahead


def _other_place(server: _Server, wanted: str, offered: Mapping[str, Sequence[str]]) -> str:
    for what, names in offered.items():
        if what != server.what and wanted in names:
            return f"the {what} has it: are the two addresses swapped? Mend {server.named_by}"
    named = _JUDGE_MODEL if server.what == "judge" else f"the model's name in {server.named_by}"
    return f"set {named} to one of them, or mend {server.named_by}"


def _completes(server: _Server, model: str) -> str:
    body = {
        "model": model,
        "messages": [{"role": "user", "content": "Say yes."}],
        "max_tokens": 1,
    }
    found, _ = server.ask("/v1/chat/completions", body)
    if not isinstance(found, dict) or not found.get("choices"):
        raise _Failed(f"{shown_address(server.url)} answers a chat without choices", "see its log")
    return f"answers as {model!r}"


def _judges(server: _Server, model: str) -> str:
    """Ask as the likelihood judge does: for the probabilities of an answer that is given."""
    body = {
        "model": model,
        "messages": [
            {"role": "user", "content": "Say yes."},
            {"role": "assistant", "content": "Yes."},
        ],
        "add_generation_prompt": False,
        "continue_final_message": True,
        "max_tokens": 1,
        "prompt_logprobs": 0,
    }
    found, _ = server.ask("/v1/chat/completions", body)
    if not isinstance(found, dict) or not found.get("prompt_logprobs"):
        _completes(server, model)
        raise _Failed(
            f"{shown_address(server.url)} answers as {model!r}, without the probabilities of a "
            "prompt: the likelihood judge needs vLLM",
            f"set {_JUDGE_URL} to a vLLM server, or leave likelihood out of TIDEGAUGE_JUDGE_JUDGES",
        )
    return f"judges with {model!r}"


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return (
            parts.scheme in {"http", "https"}
            and bool(parts.hostname)
            and parts.port != 0  # raises for what is no number
            and not parts.username
            and not parts.password
        )
    except ValueError:
        return False


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN_MODELS} more" if len(names) > _SHOWN_MODELS else ""
    return ", ".join(ascii(name[:80]) for name in names[:_SHOWN_MODELS]) + more


def _ahead(headers: Mapping[str, str]) -> float:
    """Return how far this machine's clock is ahead of the answer's date; 0 without one."""
    try:
        return time.time() - parsedate_to_datetime(headers["date"]).timestamp()
    except (KeyError, TypeError, ValueError):
        return 0.0


def clock_check(ahead: float, whose: str) -> Iterator[Check]:
    """Say by how much this machine's clock differs from another one, if it does.

    Args:
        ahead: By how many seconds it is ahead.
        whose: The other clock.
    """
    if abs(ahead) <= _CLOCKS_DIFFER:
        return
    direction = "ahead of" if ahead > 0 else "behind"
    yield Check(
        what="clock",
        level="bad" if abs(ahead) > _CLOCKS_HARM else "warning",
        found=f"this machine's clock is {duration(abs(ahead))} {direction} {whose}: windows, "
        "ranges of time and ages of answers are wrong by as much",
        remedy="let both machines set their clocks by NTP",
    )
