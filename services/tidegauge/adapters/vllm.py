"""What the judge worker asks of a vLLM server: the next token, a text's likelihood, a reply.

Errors: TidegaugeError
└── JudgeServerError
    ├── JudgeUnreachableError
    ├── JudgeRefusedError
    └── JudgeReplyError
"""

from __future__ import annotations

import asyncio
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

import aiohttp

from tidegauge.quality.likelihood import ScoredToken
from tidegauge.runtime.environment import shown_address
from tidegauge.schemas import TidegaugeError
from tidegauge.schemas.exchange import Message

__all__ = [
    "JudgeRefusedError",
    "JudgeReply",
    "JudgeReplyError",
    "JudgeServerError",
    "JudgeUnreachableError",
    "NextToken",
    "VllmClient",
]

TOP_TOKENS: Final = 20
"""Most next tokens that vLLM tells of by default."""

_OK = 200
_BUSY = frozenset({408, 425, 429})
_FIRST_SERVER_ERROR = 500
_FIRST_WAIT_SECONDS = 0.25
_SHOWN_CHARACTERS = 200
_WAITING = re.compile(r"^vllm:num_requests_waiting(?:\{[^}]*\})? ([0-9.eE+]+)$", re.MULTILINE)


class JudgeServerError(TidegaugeError):
    """The judge's server did not give what was asked for."""


class JudgeUnreachableError(JudgeServerError):
    """The server is away, too slow or failing: worth another try later."""


class JudgeRefusedError(JudgeServerError):
    """The server will not take this request, now or later."""


class JudgeReplyError(JudgeServerError):
    """The server's reply is not of the form that vLLM gives."""


@dataclass(frozen=True, slots=True)
class NextToken:
    """What could come next.

    Attributes:
        log_probabilities: Token -> its log-probability, of the most likely ones.
        tokens: Tokens that the call took.
    """

    log_probabilities: Mapping[str, float | None]
    tokens: int


@dataclass(frozen=True, slots=True)
class JudgeReply:
    """A text that the model wrote, and the tokens that the call took."""

    text: str
    tokens: int


class VllmClient:
    """Asks one server, a few times where it is busy or away.

    Args:
        url: Where it listens, with or without ``/v1``.
        api_key: Sent as a bearer token, if any.
        timeout_seconds: For one request, once connected.
        connect_seconds: For connecting.
        attempts: How often a request is tried.
        connections: Most connections at a time.

    Attributes:
        address: The address as it may be printed.
    """

    def __init__(  # noqa: PLR0913 - each has a default and a name of its own
        self,
        url: str,
        *,
        api_key: str | None = None,
        timeout_seconds: float = 60.0,
        connect_seconds: float = 5.0,
        attempts: int = 3,
        connections: int = 32,
    ) -> None:
        if not url.startswith(("http://", "https://")):
            raise JudgeRefusedError(
                f"the judge's address is {shown_address(url)!r}: it must begin with http:// or https://"
            )
        self._url = url.rstrip("/").removesuffix("/v1")
        self.address = shown_address(url)
        self._api_key = api_key
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds, sock_connect=connect_seconds)
        self._attempts = attempts
        self._connections = connections
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Open the connection pool."""
        headers = {"Authorization": f"Bearer {self._api_key}"} if self._api_key else {}
        self._session = aiohttp.ClientSession(
            headers=headers,
            timeout=self._timeout,
            connector=aiohttp.TCPConnector(limit=self._connections),
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def next_token(self, model: str, messages: Sequence[Message]) -> NextToken:
        """Return the most likely tokens after the last message, which is left unfinished.

        Raises:
            JudgeServerError: See the module's tree.
        """
        reply = await self._chat(
            model, messages, unfinished=True, max_tokens=1, logprobs=True, top_logprobs=TOP_TOKENS
        )
        try:
            choice = reply["choices"][0]
            content = (choice.get("logprobs") or {}).get("content") or []
            top = content[0]["top_logprobs"] if content else []
            found = {str(each["token"]): _number(each.get("logprob")) for each in top}
        except (KeyError, IndexError, TypeError, AttributeError) as error:
            raise _malformed("the log-probabilities of the next token", error) from error
        return NextToken(found, _tokens(reply))

    async def read(self, model: str, messages: Sequence[Message]) -> tuple[ScoredToken, ...]:
        """Return the likelihood of each token of a conversation that ends within its last message.

        Raises:
            JudgeServerError: See the module's tree.
        """
        reply = await self._chat(model, messages, unfinished=True, max_tokens=1, prompt_logprobs=0)
        try:
            found = tuple(_scored(place) for place in reply["prompt_logprobs"])
        except (KeyError, TypeError, ValueError, AttributeError, StopIteration) as error:
            raise _malformed("prompt_logprobs", error) from error
        return found

    async def complete(
        self, model: str, messages: Sequence[Message], *, max_tokens: int
    ) -> JudgeReply:
        """Return the model's most likely reply.

        Raises:
            JudgeServerError: See the module's tree.
        """
        reply = await self._chat(model, messages, unfinished=False, max_tokens=max_tokens)
        try:
            text = reply["choices"][0]["message"]["content"] or ""
        except (KeyError, IndexError, TypeError) as error:
            raise _malformed("a message", error) from error
        return JudgeReply(str(text), _tokens(reply))

    async def count_tokens(self, model: str, messages: Sequence[Message]) -> int:
        """Return how many tokens come before the answer to these messages.

        Raises:
            JudgeServerError: See the module's tree.
        """
        body = {"model": model, "messages": _plain(messages), "add_generation_prompt": True}
        reply = await self._post("/tokenize", body)
        count = reply.get("count")
        if not isinstance(count, int):
            raise _malformed("the count of tokens", TypeError(f"count is {count!r}"))
        return count

    async def waiting(self) -> int:
        """Return how many requests wait in the server's queue.

        Raises:
            JudgeServerError: See the module's tree.
        """
        text = await self._request("GET", "/metrics", None)
        found = [float(number) for number in _WAITING.findall(text)]
        return int(sum(found))

    async def _chat(
        self, model: str, messages: Sequence[Message], *, unfinished: bool, **asked: object
    ) -> Mapping[str, Any]:
        body = {
            "model": model,
            "messages": _plain(messages),
            "temperature": 0,
            "add_generation_prompt": not unfinished,
            "continue_final_message": unfinished,
            **asked,
        }
        return await self._post("/v1/chat/completions", body)

    async def _post(self, path: str, body: Mapping[str, object]) -> Mapping[str, Any]:
        text = await self._request("POST", path, body)
        try:
            reply = json.loads(text)  # takes NaN, which servers write although JSON has none
        except ValueError as error:
            raise _malformed("JSON", error) from error
        if not isinstance(reply, dict):
            raise _malformed("a JSON object", TypeError(type(reply).__name__))
        return reply

    async def _request(self, method: str, path: str, body: Mapping[str, object] | None) -> str:
        wait = _FIRST_WAIT_SECONDS
        for attempt in range(1, self._attempts + 1):
            try:
                return await self._once(method, path, body)
            except JudgeUnreachableError:
                if attempt == self._attempts:
                    raise
            await asyncio.sleep(wait)
            wait *= 2
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def _once(self, method: str, path: str, body: Mapping[str, object] | None) -> str:
        if self._session is None:
            raise JudgeUnreachableError("the client is closed: use it in an async with block")
        where = f"{self.address}{path}"
        try:
            async with self._session.request(method, f"{self._url}{path}", json=body) as response:
                text = await response.text(errors="replace")
        except (aiohttp.ClientError, TimeoutError) as error:
            # The message of an invalid URL is the URL itself.
            said = "" if isinstance(error, aiohttp.InvalidURL) else f": {error}"
            raise JudgeUnreachableError(
                f"the judge at {where} does not answer ({type(error).__name__}{said}): is it "
                "running, and is TIDEGAUGE_JUDGE_URL its address?"
            ) from error
        if response.status == _OK:
            return text
        said = f"the judge at {where} answered {response.status}: {text[:_SHOWN_CHARACTERS]!r}"
        if response.status >= _FIRST_SERVER_ERROR or response.status in _BUSY:
            raise JudgeUnreachableError(said)
        raise JudgeRefusedError(said)


def _plain(messages: Sequence[Message]) -> list[dict[str, str]]:
    return [{"role": message.role, "content": message.content} for message in messages]


def _scored(place: Mapping[str, Mapping[str, object]] | None) -> ScoredToken:
    """Read one position: vLLM names the text's own token first, then likelier ones."""
    if not place:
        return ScoredToken(None, None)
    token_id, found = next(iter(place.items()))
    return ScoredToken(int(token_id), _number(found.get("logprob")))


def _number(value: object) -> float | None:
    if not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def _tokens(reply: Mapping[str, object]) -> int:
    usage = reply.get("usage")
    total = usage.get("total_tokens") if isinstance(usage, dict) else None
    return total if isinstance(total, int) else 0


def _malformed(wanted: str, error: Exception) -> JudgeReplyError:
    return JudgeReplyError(
        f"the judge's reply does not hold {wanted} ({error}): is it a vLLM server of version "
        "0.10 or later?"
    )
