"""What the judge worker asks of a vLLM server: the next token, a text's likelihood, a reply.

Errors: TidegaugeError
└── JudgeServerError
    ├── JudgeUnreachableError
    │   └── JudgeFailedError
    ├── JudgeRefusedError
    ├── JudgeReplyError
    └── JudgeUnusableError
"""

from __future__ import annotations

import asyncio
import json
import math
import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp

from tidegauge.adapters.connection_pool import ConnectionPool
from tidegauge.adapters.quotations import without_quotations
from tidegauge.quality.likelihood import ScoredToken
from tidegauge.runtime.clock import now_ms
from tidegauge.runtime.environment import authority_of, shown_address
from tidegauge.schemas import TidegaugeError
from tidegauge.schemas.exchange import Message, Usage

__all__ = [
    "JudgeCall",
    "JudgeFailedError",
    "JudgeRefusedError",
    "JudgeReply",
    "JudgeReplyError",
    "JudgeServerError",
    "JudgeUnreachableError",
    "JudgeUnusableError",
    "NextToken",
    "ServerLoad",
    "VllmClient",
]

_OK = 200
_BUSY = frozenset({408, 425, 429})
_UNUSABLE = frozenset({401, 403, 404, 405, 410, 501})
_FIRST_SERVER_ERROR = 500
_INTERNAL_ERROR = 500
_FIRST_WAIT_SECONDS = 0.25
_SHOWN_CHARACTERS = 200
_READ_CHARACTERS = 4_000
_MOST_CALLS = 10_000
_GATEWAY_KEY = "tg-"
_TOKEN_ID = re.compile(r"token_id:\d+")
_WAITING = re.compile(r"^vllm:num_requests_waiting(?:\{[^}]*\})? ([0-9.eE+]+)$", re.MULTILINE)
_CACHE_USAGE = re.compile(
    r"^vllm:(?:gpu_|kv_)cache_usage_perc(?:\{[^}]*\})? ([0-9.eE+-]+)$", re.MULTILINE
)
_STARTED = re.compile(r"^process_start_time_seconds ([0-9.eE+]+)$", re.MULTILINE)


class JudgeServerError(TidegaugeError):
    """The judge's server did not give what was asked for."""


class JudgeUnreachableError(JudgeServerError):
    """The server is away, too slow or failing: worth another try later."""


class JudgeFailedError(JudgeUnreachableError):
    """The server is there and failed on this request, each time."""


class JudgeRefusedError(JudgeServerError):
    """The server will not take this request, now or later."""


class JudgeReplyError(JudgeServerError):
    """The server's reply is not of the form that vLLM gives."""


class JudgeUnusableError(JudgeServerError):
    """The server lacks what the judge needs: the model, a permission, an API, a part of it."""


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
class ServerLoad:
    """How busy a server is.

    Attributes:
        waiting: Requests in its queue.
        cache_usage: Share of its key-value cache that is in use; 0 if it does not tell.
        started_ms: When its process was started, Unix milliseconds; None if it does not tell, as
            where several processes answer.
    """

    waiting: int = 0
    cache_usage: float = 0.0
    started_ms: int | None = None


@dataclass(frozen=True, slots=True)
class JudgeReply:
    """A text that the model wrote.

    Attributes:
        text: The text.
        tokens: Tokens that the call took.
        finished: Whether the model has ended it.
    """

    text: str
    tokens: int
    finished: bool = True


@dataclass(frozen=True, slots=True)
class JudgeCall:
    """A call that a server answered.

    Attributes:
        model: The model asked for.
        start_ms: When it was asked, Unix milliseconds.
        end_ms: When it had answered.
        usage: Tokens; None if the server told none.
    """

    model: str
    start_ms: int
    end_ms: int
    usage: Usage | None


class VllmClient(ConnectionPool):
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
        authority: Host and port, by which gateways call the server, too.
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
        authority = authority_of(url)
        if not url.startswith(("http://", "https://")) or authority is None:
            raise JudgeRefusedError(
                f"the judge's address is {shown_address(url)!r}: it must be http:// or https://, a "
                "host, and a port that is a number if there is one"
            )
        super().__init__(
            aiohttp.ClientTimeout(total=timeout_seconds, sock_connect=connect_seconds),
            headers={"Authorization": f"Bearer {api_key}"} if api_key else {},
            connections=connections,
        )
        self._url = url.rstrip("/").removesuffix("/v1")
        self.address = shown_address(url)
        self.authority = authority
        # A gateway, which this key is for, tells of the calls itself.
        counted = not (api_key or "").startswith(_GATEWAY_KEY)
        self._calls: deque[JudgeCall] = deque(maxlen=_MOST_CALLS if counted else 0)
        self._attempts = attempts
        self._names: dict[tuple[str, str], bool] = {}

    async def next_token(
        self, model: str, messages: Sequence[Message], *, top: int = 20
    ) -> NextToken:
        """Return the most likely tokens after the last message, which is left unfinished.

        Args:
            model: The model's name on the server.
            messages: The messages.
            top: Number of tokens to ask for.

        Raises:
            JudgeServerError: See the module's tree.
        """
        reply = await self._chat(
            model, messages, unfinished=True, max_tokens=1, logprobs=True, top_logprobs=top
        )
        try:
            told = reply["choices"][0].get("logprobs")
            content = (told or {}).get("content") or []
            likely = content[0]["top_logprobs"] if content else []
            found = {str(each["token"]): _number(each.get("logprob")) for each in likely}
        except (KeyError, IndexError, TypeError, AttributeError) as error:
            raise _malformed("the log-probabilities of the next token", error) from error
        if told is None:
            raise JudgeUnusableError(
                f"the judge at {self.address} tells no log-probabilities of the next token: use a "
                "server and a model that do"
            )
        if found and all(_TOKEN_ID.fullmatch(token) for token in found):
            raise JudgeUnusableError(
                f"the judge at {self.address} names tokens by their numbers: start it without "
                "--return-tokens-as-token-ids"
            )
        return NextToken(found, _tokens(reply))

    async def read(self, model: str, messages: Sequence[Message]) -> tuple[ScoredToken, ...]:
        """Return the likelihood of each token of a conversation that ends within its last message.

        Raises:
            JudgeServerError: See the module's tree.
        """
        reply = await self._chat(model, messages, unfinished=True, max_tokens=1, prompt_logprobs=0)
        if reply.get("prompt_logprobs") is None:
            raise JudgeUnusableError(
                f"the judge at {self.address} tells no likelihoods of the prompt's tokens "
                "(prompt_logprobs is null): use a vLLM server that does"
            )
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
            choice = reply["choices"][0]
            text = choice["message"]["content"] or ""
            finished = choice.get("finish_reason") != "length"
        except (KeyError, IndexError, TypeError, AttributeError) as error:
            raise _malformed("a message", error) from error
        return JudgeReply(str(text), _tokens(reply), finished)

    async def load(self) -> ServerLoad:
        """Return how busy the server is, by its own metrics.

        Raises:
            JudgeServerError: See the module's tree.
        """
        text = await self._request("GET", "/metrics", None)
        started = _STARTED.search(text)
        return ServerLoad(
            waiting=int(sum(map(float, _WAITING.findall(text)))),
            cache_usage=max(map(float, _CACHE_USAGE.findall(text)), default=0.0),
            started_ms=round(1000 * float(started[1])) if started else None,
        )

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
        return await self.post("/v1/chat/completions", body)

    async def _are_one(self, asked: str, answered: object) -> bool:
        """Whether the server lists two names for one model: it answers with the first of them."""
        known = self._names.get((asked, str(answered)))
        if known is None:
            try:
                listed = _json(await self._request("GET", "/v1/models", None)).get("data")
                roots = {each["id"]: each.get("root") for each in listed or ()}
            except (JudgeServerError, TypeError, KeyError, AttributeError):
                return False
            root = roots.get(asked)
            known = root is not None and root == roots.get(answered)
            self._names[asked, str(answered)] = known
        return known

    async def post(self, path: str, body: Mapping[str, object]) -> Mapping[str, Any]:
        """Return the reply of one of the server's APIs.

        Args:
            path: The API's path.
            body: The request, with the ``model``.

        Raises:
            JudgeServerError: See the module's tree.
        """
        start_ms = now_ms()
        reply = _json(await self._request("POST", path, body))
        self._calls.append(JudgeCall(str(body["model"]), start_ms, now_ms(), _usage(reply)))
        if reply.get("error"):
            said = without_quotations(str(reply["error"])[:_READ_CHARACTERS], body)
            said = said[:_SHOWN_CHARACTERS]
            raise JudgeRefusedError(f"the judge at {self.address}{path} answered: {said!r}")
        model = str(body["model"])
        answered = reply.get("model", model)
        if answered != model and not await self._are_one(model, answered):
            raise JudgeUnusableError(
                f"the judge at {self.address} was asked for the model {model!r}, and "
                f"{str(answered)[:_SHOWN_CHARACTERS]!r} answered: its scores would be another "
                "judge's; set the judge's model to the name under which the server has it"
            )
        return reply

    def take_calls(self) -> Iterator[JudgeCall]:
        """Yield the calls that were answered since the last time; any thread may ask."""
        while self._calls:
            yield self._calls.popleft()

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
        text = without_quotations(text[:_READ_CHARACTERS], body)
        said = f"the judge at {where} answered {response.status}: {text[:_SHOWN_CHARACTERS]!r}"
        if response.status in _UNUSABLE:
            raise JudgeUnusableError(said)
        if response.status == _INTERNAL_ERROR:
            raise JudgeFailedError(said)
        if response.status >= _FIRST_SERVER_ERROR or response.status in _BUSY:
            raise JudgeUnreachableError(said)
        raise JudgeRefusedError(said)


def _json(text: str) -> Mapping[str, Any]:
    try:
        reply = json.loads(text)  # takes NaN, which servers write although JSON has none
    except (ValueError, RecursionError) as error:
        raise _malformed("JSON", error) from error
    if not isinstance(reply, dict):
        raise _malformed("a JSON object", TypeError(type(reply).__name__))
    return reply


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


def _usage(reply: Mapping[str, object]) -> Usage | None:
    told = reply.get("usage")
    if not isinstance(told, dict):
        return None
    prompt, total = told.get("prompt_tokens"), told.get("total_tokens")
    details = told.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else None
    if not isinstance(total, int):
        return None
    if not isinstance(prompt, int) or prompt > total:
        prompt = total
    return Usage(
        input_tokens=prompt,
        output_tokens=total - prompt,
        cached_tokens=cached if isinstance(cached, int) else None,
    )


def _tokens(reply: Mapping[str, object]) -> int:
    usage = reply.get("usage")
    total = usage.get("total_tokens") if isinstance(usage, dict) else None
    return total if isinstance(total, int) else 0


def _malformed(wanted: str, error: Exception) -> JudgeReplyError:
    return JudgeReplyError(
        f"the judge's reply does not hold {wanted} ({error}): is it a vLLM server of version "
        "0.10 or later?"
    )
