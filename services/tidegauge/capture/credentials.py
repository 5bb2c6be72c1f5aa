"""How credentials look: passwords, keys, tokens, and the places where they are written.

Where a pattern has groups, the secret is what the last one matched, and the text around it stays.
No pattern repeats a part that can match the same text in two ways, and what precedes a secret is
bounded, so each takes time linear in the length of the text.

A quoted secret may hold quotation marks that are escaped, and the whole may stand in a string that
is escaped again. So the patterns are given each quotation mark as a character that tells how often
it is escaped; ``quotation_mark`` makes it.
"""

from __future__ import annotations

import re
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Callable
from typing import Final

__all__ = ["CREDENTIALS", "Kind", "quotation_mark", "whole_match"]

_ESCAPED: Final = {'"': "\ue000\ue001", "'": "\ue002\ue003"}
"""Characters for quotation marks that are escaped once, and for those escaped more often."""


def quotation_mark(mark: str, backslashes: int) -> str:
    """Return the character for a quotation mark, single or double, after so many backslashes.

    Each time that a text is quoted within another, ``n`` backslashes become ``2n + 1``.
    """
    return _ESCAPED[mark][backslashes > 1] if backslashes else mark


def whole_match(text: str) -> int:
    """Return the length of a match that needs no further test."""
    return len(text)


_MARKS: Final = "\"'" + "".join(_ESCAPED.values())


class Kind:
    r"""A kind of text that must not be captured.

    Args:
        label: What replaces it.
        hints: The pattern matches only texts with one of them, in lower case; empty for all.
        pattern: A regular expression for it, or a larger one whose last group is it; ``\"'``
            in a set of characters stands for all quotation marks, escaped ones included.
        length: How many characters of a match belong to it; 0 if the match is none.
    """

    __slots__ = ("hints", "label", "length", "pattern")

    def __init__(
        self,
        label: str,
        hints: tuple[str, ...],
        pattern: str,
        length: Callable[[str], int] = whole_match,
    ) -> None:
        self.label = label
        self.hints = hints
        self.pattern = re.compile(pattern.replace(r"\"'", _MARKS), re.DOTALL)
        self.length = length


def _basic_length(text: str) -> int:
    """Return the length of a match that decodes to a user and a password (RFC 7617)."""
    padded = text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4)
    try:
        return len(text) if b":" in b64decode(padded, validate=True) else 0
    except Base64Error:
        return 0


_PREFIXES: Final = (
    *("sk", "pk", "rk", "tg", "hf", "gsk", "glpat", "glsa", "ghp", "gho", "ghu", "ghs", "ghr"),
    *("github_pat", "npm", "pypi", "xoxa", "xoxb", "xoxe", "xoxp", "xoxr", "xoxs", "xapp", "shpat"),
    *("shpss", "whsec", "dop_v1", "hvs", "lin_api", "figd", "nvapi", "xai", "r8", "sq0atp"),
    *("sq0csp", "rpa", "sntrys", "dckr"),
)
_BEFORE: Final = r"(?<![A-Za-z0-9])"
_QUOTED: Final = "|".join(
    # A string ends at its own mark or at one that is escaped less often; twice its own mark is
    # how SQL and CSV write one.
    rf"(?<={mark})(?:[^{mark}{outer}\r\n]|{mark}{mark}(?=\w)){{2,}}"
    for single in ('"', "'")
    for outer, mark in (
        ("", single),
        (single, _ESCAPED[single][0]),
        (single + _ESCAPED[single][0], _ESCAPED[single][1]),
    )
)
_PASSWORDS: Final = (
    r"pass(?:[-_]?words?|wd|phrase|code)|passwort|kennwort|contrase[nñ]a|senha|mot de passe|pwd"
    r"|пароль|密码|密碼|パスワード|비밀번호"
)
_WORDS: Final = (
    rf"{_PASSWORDS}|secrets?|token|credentials?"
    r"|(?:api|access|private|account|auth|signing|encryption)[-_ ]?key"
)
_VALUE: Final = (
    r"(?!(?i:null|none|true|false|undefined)\b)"
    rf"({_QUOTED}|(?<![\"'])[^\s\"'<>]{{3,}}[^\s\"'<>.,;])"
)
_PASSWORD_HINTS: Final = (
    *("pass", "kennwort", "contrase", "senha", "mot de", "pwd"),
    *("пароль", "密码", "密碼", "パスワード", "비밀번호"),
)
_WORD_HINTS: Final = (*_PASSWORD_HINTS, "secret", "token", "credential", "key")

CREDENTIALS: Final = (
    Kind(
        "[secret]",
        ("-----begin",),
        r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----.*?"
        r"(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|\Z)",
    ),
    Kind(
        "[secret]",
        (
            *(f"{prefix}{mark}" for prefix in _PREFIXES for mark in "-_."),
            *("aiza", "ya29", "akia", "asia", "age-secret", "sg."),
        ),
        rf"{_BEFORE}(?:(?:{'|'.join(_PREFIXES)})[-_.][A-Za-z0-9_-]{{16,}}"
        r"|AIza[A-Za-z0-9_-]{30,}|ya29\.[A-Za-z0-9_-]{16,}|(?:AKIA|ASIA)[A-Z0-9]{16}\b"
        r"|AGE-SECRET-KEY-1[A-Z0-9]{20,}|SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,})",
    ),
    # JSON web tokens. The lookahead finds the first dot once for each run of characters; without
    # it, each `eyJ` of a run would look for the dot again.
    Kind(
        "[secret]",
        ("eyj",),
        r"(?<![A-Za-z0-9_-])(?=[A-Za-z0-9_-]{11,}\.[A-Za-z0-9_-]{8})(?:[A-Za-z0-9_-]*?[_-])??"
        r"(eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)?)",
    ),
    Kind(
        "[secret]",
        ("authorization",),
        r"(?i:authorization)[\"']?\s{0,4}[:=]\s{0,4}[\"']?(?:[A-Za-z][A-Za-z0-9-]{0,19}[ \t]{1,4})?"
        r"([^\s\"'<>]{4,})",
    ),
    # RFC 7616: what answers the challenge, from which a password can be guessed.
    Kind(
        "[secret]",
        ("digest",),
        r"\b(?i:digest)[ \t]{1,4}(?=\w{1,20}=)[^\r\n]{0,500}?\bresponse=\"?([0-9a-fA-F]{16,})",
    ),
    # Addresses of webhooks and bots are secrets themselves.
    Kind(
        "[secret]",
        ("hooks.slack", "webhook"),
        r"(?:\bhooks\.slack(?:-gov)?\.com/[a-z]{1,20}/|/webhooks?/|/webhookb2/)"
        r"((?=[\w@/-]{0,64}\d)[\w@/-]{24,})",
    ),
    Kind("[secret]", ("bot",), r"\bbot(\d{6,12}:[\w-]{30,})"),
    Kind(
        "[secret]",
        ("bearer",),
        r"\b(?i:bearer):?[ \t]{1,4}[\"']?((?:[A-Za-z0-9._~+/-]{16,}"
        r"|(?=[A-Za-z._~+/-]{0,15}\d)[A-Za-z0-9._~+/-]{8,})=*)",
    ),
    Kind("[secret]", ("basic",), r"\b(?i:basic)[ \t]{1,4}([A-Za-z0-9+/]{6,}={0,2})", _basic_length),
    Kind("[secret]", ("cookie",), r"(?i:cookie)[\"']?:[ \t]{0,4}[\"']?([\w.-]{1,64}=[^\"'\r\n]+)"),
    # The password of a URL, and signatures in its query.
    Kind("[secret]", ("://",), r"://[^\s/:@\"'<>]{0,128}:([^\s/\"'<>]{1,256})@"),
    Kind("[secret]", ("=",), r"[?&](?:key|sig|signature|code|auth|sid|session)=([^\s\"'<>&#]{6,})"),
    # An assignment: `password = …`, `"api_key": "…"`, `DB_SECRET_KEY=…`, `<token>…`. Or a sentence,
    # `the password is …`, if the value does not look like a word.
    Kind(
        "[secret]",
        _WORD_HINTS,
        rf"(?i:{_WORDS})(?:"
        rf"(?:[A-Z0-9_-][\w-]{{0,24}})?[\"'\])]{{0,2}}\s{{0,4}}(?:=>|:=|==|[:=>])\s{{0,4}}[\"']?{_VALUE}"
        r"|[ \t]{1,4}(?:is|ist|lautet|est|es)[: \t]{1,4}[\"'`]?"
        r"((?=[^\s\"'`]{0,64}[\d!@#$%^&*_])[^\s\"'`<>]{3,}[^\s\"'`<>.,;]))",
    ),
    # `pass` is also a word of tests and of Python: `--- PASS: TestOrder`, `pass: the third`.
    Kind(
        "[secret]",
        ("pass", "pw"),
        r"(?:(?<![A-Za-z])(?:[Pp]ass|[Pp]w)|(?<=_)P(?:ASS|W)|(?<![A-Za-z])(?:PASS|PW)(?==))[\"']?"
        r"\s{0,4}(?:=>|:=|==|[:=])\s{0,4}"
        rf"(?:[\"']|(?=[^\s\"']{{0,64}}[\d!@#$%^&*_])){_VALUE}",
    ),
    # A password without anything between: `password hunter2`, if it has a digit.
    Kind(
        "[secret]",
        _PASSWORD_HINTS,
        rf"(?i:{_PASSWORDS})[ \t]{{1,4}}[\"'`]?"
        r"((?=[^\s\"'`]{0,64}\d)[^\s\"'`<>]{3,}[^\s\"'`<>.,;])",
    ),
    Kind(
        "[secret]",
        ("pin", "cvv", "cvc"),
        r"\b(?i:pin|cvv2?|cvc2?)[\"']?\s{0,4}[:=]\s{0,4}[\"']?(\d{3,8})\b",
    ),
    # Options of commands: `curl -u ann:…`, `sshpass -p …`, `mysql -p…`, `--password …`.
    Kind("[secret]", (" -u",), r"\s-u[ \t]{0,4}[\"']?[^\s:\"'/]{1,64}:([^\s\"'/]{2,})(?![^\s\"'])"),
    Kind(
        "[secret]",
        ("sshpass", "mysql", "mariadb"),
        r"\b(?:sshpass|mysql|mysqldump|mariadb)\b[^\r\n]{0,120}?\s-p(?:(?<=sshpass -p)[ \t]{0,4})?"
        r"[\"']?([^\s\"'-][^\s\"']+)",
    ),
    Kind(
        "[secret]",
        ("--",),
        rf"--[\w-]{{0,16}}(?i:{_WORDS})[\w-]{{0,16}}[ \t]{{1,4}}[\"']?(?!-){_VALUE}",
    ),
)
