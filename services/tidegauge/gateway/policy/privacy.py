"""Limits the text that events carry: full, redacted or none, up to a length limit."""

from __future__ import annotations

import re
from typing import Final

from tidegauge.schemas.exchange import Capture, Message

__all__ = ["captured_messages", "captured_text", "redact"]

_SECRETS: Final = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
    r"|\b(?:sk|pk|rk|tg|xox[abprs]|gh[pousr]|glpat|hf|npm|pypi|AIza|ya29)[-_][A-Za-z0-9_\-]{16,}"
    r"|\b(?:sk|hf|gh[pousr]|npm)_[A-Za-z0-9]{16,}"
    r"|\bAIza[A-Za-z0-9_\-]{30,}"
    r"|\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"
    r"|\beyJ[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]*"
    r"|(?<=[Bb]earer )[A-Za-z0-9._~+/\-]{16,}=*"
    r"|(?i:(?<=password=)|(?<=password: )|(?<=api_key=)|(?<=token=))[^\s\"'&,]{6,}",
    re.DOTALL,
)
_EMAIL: Final = re.compile(
    r"(?<![\w.+-])[\w.+-]{1,64}@(?:[\w-]{1,63}\.){1,8}[^\W\d_]{2,24}(?![\w-])"
)
_IBAN: Final = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b")
_CARD: Final = re.compile(r"(?<![\d.,-])(?:\d[ -]?){12,18}\d(?![\d-])")
_PHONE: Final = re.compile(
    r"(?<![\w.,/-])(?:\+|00)\d(?:[ ./()-]{0,2}\d){6,13}(?![\w-])"
    r"|(?<![\w.,/-])\(?0?\d{2,4}\)?[ /-]\d{3}[ -]?\d{2,4}(?:[ -]?\d{2,4})?(?![\w-])"
)
_IBAN_MODULUS: Final = 97


def redact(text: str) -> str:
    """Replace e-mail addresses, phone, card and account numbers, keys and tokens.

    Card numbers must pass the Luhn check and IBANs theirs (ISO 13616, mod 97), so that
    order numbers stay readable. Names and addresses are not recognised.

    Example:
        >>> redact("write to ann@example.org or call +49 30 1234567")
        'write to [email] or call [phone]'
    """
    text = _SECRETS.sub("[secret]", text)
    if "@" in text:
        text = _EMAIL.sub("[email]", text)
    text = _IBAN.sub(lambda match: "[iban]" if _is_iban(match[0]) else match[0], text)
    text = _CARD.sub(lambda match: "[card]" if _is_card(match[0]) else match[0], text)
    return _PHONE.sub("[phone]", text)


def _is_iban(text: str) -> bool:
    compact = text.replace(" ", "")
    digits = "".join(str(int(character, 36)) for character in compact[4:] + compact[:4])
    return int(digits) % _IBAN_MODULUS == 1


def _is_card(text: str) -> bool:
    digits = [int(character) for character in text if character.isdigit()]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0 and len(set(digits)) > 1


def captured_text(text: str | None, capture: Capture, limit: int) -> str | None:
    """Return a text as an event may carry it, at most its last ``limit`` characters."""
    if text is None or capture == "none":
        return None
    if len(text) > limit:
        text = text[len(text) - limit :]
    return redact(text) if capture == "redacted" else text


def captured_messages(
    messages: tuple[Message, ...], capture: Capture, limit: int
) -> tuple[Message, ...]:
    """Return the messages as an event may carry them.

    If they are longer than ``limit`` characters, their end is kept, since the answer is to the
    last messages.
    """
    if capture == "none":
        return ()
    if capture == "full" and _size(messages) <= limit:
        return messages
    kept: list[Message] = []
    for message in reversed(messages):
        if limit <= 0:
            break
        content = captured_text(message.content, capture, limit) or ""
        limit -= len(message.content)
        calls = captured_text(message.tool_calls, capture, max(0, limit))
        limit -= len(message.tool_calls or "")
        kept.append(Message(role=message.role[:32], content=content, tool_calls=calls or None))
    return tuple(reversed(kept))


def _size(messages: tuple[Message, ...]) -> int:
    size = 0
    for message in messages:
        size += len(message.content) + len(message.role)
        if message.tool_calls is not None:
            size += len(message.tool_calls)
    return size
