"""What may leave the process, and what may not."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegauge.capture.redaction import find_private, redact

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NSJ9.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("mail jo.doe+x@mail.example.co.uk now", "mail [email] now"),
        ("mailto:ann%40example.org", "mailto:[email]"),
        ("ann&#64;example.org, ann&#x40;example.org", "[email], [email]"),
        (r"ann\u0040example\u002eorg", "[email]"),
        ("ann\uff20example.org", "[email]"),
        ("call +49 30 901820 or (030) 901 8200", "call [phone] or [phone]"),
        ("tel 0044 20 7946 0958", "tel [phone]"),
        ("card 4111 1111 1111 1111 please", "card [card] please"),
        ("card 4111-1111-1111-1111", "card [card]"),
        ("scan_4111_1111_1111_1111", "scan_[card]"),
        ("card 4111.1111.1111.1111.", "card [card]."),
        ("card 4111\u00a01111\u00a01111\u00a01111", "card [card]"),
        ("no.4111111111111111 123", "no.[card] 123"),
        ("of 2024 4111 1111 1111 1111", "of 2024 [card]"),
        ("3782.822463.10005", "[card]"),
        ("IBAN DE89 3704 0044 0532 0130 00.", "IBAN [iban]."),
        ("GB82WEST12345698765432", "[iban]"),
        ('"ann"@example.org, "ann b"@example.org', "[email], [email]"),
        (r'{"to": "\"ann\"@example.org"}', '{"to": "[email]"}'),
        ("o'brien@example.org, 'ann@example.org'", "[email], '[email]'"),
        ("de89 3704 0044 0532 0130 00 and then", "[iban] and then"),
        ("DE89-3704-0044-0532-0130-00 GB82 WEST 1234 5698 7654 32", "[iban] [iban]"),
        ("be68 5390 0754 7034 then", "[iban] then"),
    ],
)
def test_personal_data_are_redacted(text: str, redacted: str) -> None:
    assert redact(text) == redacted


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("my key is sk-abcdefghijklmnop1234", "my key is [secret]"),
        ("ghp_0123456789abcdefghij0123456789abcdef", "[secret]"),
        ("github_pat_11ABCDEFG0abcdefghijkl_mnopqrst", "[secret]"),
        ("AKIAIOSFODNN7EXAMPLE", "[secret]"),
        (f"cookie {JWT}, x-{JWT}", "cookie [secret], x-[secret]"),
        ("Authorization: Bearer abcdefghijklmnopqrstuv", "Authorization: Bearer [secret]"),
        ("Authorization: Basic dXNlcjpwYXNz", "Authorization: Basic [secret]"),
        ("authorization=abcdef", "authorization=[secret]"),
        ("curl with Basic dXNlcjpwYXNz", "curl with Basic [secret]"),
        ("BEARER abcdef0123456789", "BEARER [secret]"),
        (
            'Digest realm="a", response="6629fae49393a05397450978507c4ef1", nc=1',
            'Digest realm="a", response="[secret]", nc=1',
        ),
        (
            "https://hooks.slack.com/services/T00000000/B00000000/abcdefghijklmnop",
            "https://hooks.slack.com/services/[secret]",
        ),
        (
            "https://chat.example/api/webhooks/123456789012345678/abcdefgh-ijklmnop_q",
            "https://chat.example/api/webhooks/[secret]",
        ),
        ("/bot123456789:AAabcdefghijklmnopqrstuvwxyz012345/send", "/bot[secret]/send"),
        ('"pass_word": "hunter2"', '"pass_word": "[secret]"'),
        ("Cookie: sid=abcd; theme=x\nok", "Cookie: [secret]\nok"),
        ("password=hunter2hunter2 ok", "password=[secret] ok"),
        ("Password = hunter2.", "Password = [secret]."),
        ('{"password": "correct horse", "a": 1}', '{"password": "[secret]", "a": 1}'),
        ("{'db_password': 'hunter2'}", "{'db_password': '[secret]'}"),
        ("AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG/bPxRf", "AWS_SECRET_ACCESS_KEY=[secret]"),
        ("export PGPASSWORD=abcd", "export PGPASSWORD=[secret]"),
        ("x-api-key: 0123abcd", "x-api-key: [secret]"),
        ('clientSecret => "abc def"', 'clientSecret => "[secret]"'),
        ("<password>hunter2</password>", "<password>[secret]</password>"),
        ("mysql --password hunter2 --host x", "mysql --password [secret] --host x"),
        ("the password is hunter2, really", "the password is [secret], really"),
        ('password = "it\'s mine"', 'password = "[secret]"'),
        ('Password "hunter2", password hunter2', 'Password "[secret]", password [secret]'),
        (r'{"password": "hun\"ter", "a": "b"}', '{"password": "[secret]", "a": "b"}'),
        (r'{"password": "\"hunter\"", "a": 1}', '{"password": "[secret]", "a": 1}'),
        (r"{'password': 'h\'unter', 'a': 1}", "{'password': '[secret]', 'a': 1}"),
        (r'"{\"token\": \"hun\\\"ter\", \"a\": 1}"', r'"{\"token\": \"[secret]\", \"a\": 1}"'),
        ('password = "hun""ter", "a"', 'password = "[secret]", "a"'),
        ('{"password": "", "a": "b"}', '{"password": "", "a": "b"}'),
        ("user: ann pass: hunter2", "user: ann pass: [secret]"),
        ("pass=hunter2 pw: x9y8z7", "pass=[secret] pw: [secret]"),
        ('{"pass": "hunter", "pw": "abcd"}', '{"pass": "[secret]", "pw": "[secret]"}'),
        ("SMTP_PASS: hunter2", "SMTP_PASS: [secret]"),
        ("\u5bc6\u7801\uff1ahunter2", "\u5bc6\u7801\uff1a[secret]"),
        ('{"pin": "1234", "cvc": 123}', '{"pin": "[secret]", "cvc": [secret]}'),
        ("curl -u ann:hunter2 https://x", "curl -u ann:[secret] https://x"),
        ("sshpass -p hunter2 ssh x", "sshpass -p [secret] ssh x"),
        ("mysql -u ann -phunter2 db", "mysql -u ann -p[secret] db"),
        (
            "postgres://ann:hunter2@db/x redis://:pw@h",
            "postgres://ann:[secret]@db/x redis://:[secret]@h",
        ),
        ("amqp://u:p@ss#1?x@host", "amqp://u:[secret]@host"),
        ("https://a.example/b?sig=abcdef123&x=1", "https://a.example/b?sig=[secret]&x=1"),
        (
            "a -----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY----- b",
            "a [secret] b",
        ),
        ("-----BEGIN PGP PRIVATE KEY BLOCK-----\nxcLY", "[secret]"),
    ],
)
def test_credentials_are_redacted(text: str, redacted: str) -> None:
    assert redact(text) == redacted


def test_credentials_in_tool_arguments_are_redacted_and_the_calls_stay_json() -> None:
    arguments = {
        "to": "ann@example.org",
        "body": f"Hi\nBearer abcdef0123456789abcdef\n{JWT}",
        "password": 'correct "horse',
        "card": "4111 1111 1111 1111",
    }
    calls = [{"function": {"name": "send", "arguments": json.dumps(arguments)}}]
    text = json.dumps(calls).replace("@", r"\u0040")
    (call,) = json.loads(redact(text))
    assert json.loads(call["function"]["arguments"]) == {
        "to": "[email]",
        "body": "Hi\nBearer [secret]\n[secret]",
        "password": "[secret]",
        "card": "[card]",
    }


@pytest.mark.parametrize(
    "text",
    [
        "order 4111 1111 1111 1112 of 2024-11-03",
        "version 1.2.3, 100,000 units at 3.14159265358979",
        "DE00370400440532013000 is no account",
        "see the @property decorator",
        "the year 2024 and 12345",
        "10:30-11:45, room 12",
        "3 + 4 = 7",
        "user@localhost",
        "my secretary: John Smith",
        "max_tokens: 4096, token: null",
        "a basic TypeScript course, Basic Authentication",
        "the password is not accepted",
        "token limits and password rules, at token 4096",
        "docker run -u 1000 -p 8080:80, mysql -u ann -p db, ls -u a",
        "--- PASS: TestOrder_1 (0.00s), PASS: 1200 tests",
        "pass: the third, def f(): pass, passed: 1200, boarding pass",
        "a pin: none, spin=12345, pinned: 1234",
        "https://example.org:8080/path and 127.0.0.1:80",
        r"C:\temp\new, 100%25 of \\server",
    ],
)
def test_what_stays(text: str) -> None:
    assert redact(text) == text


@given(st.text(alphabet="a1 -.@:/+()\nDEsk_=\\u04", max_size=400))
def test_redacting_twice_changes_nothing_more(text: str) -> None:
    once = redact(text)
    assert redact(once) == once


@given(st.text(max_size=200))
def test_spans_are_in_order_and_within_the_text(text: str) -> None:
    places = [place for span in find_private(text) for place in (span.start, span.end)]
    assert places == sorted(places)
    assert all(0 <= place <= len(text) for place in places)


@pytest.mark.parametrize(
    "piece",
    [
        *(
            "1 ",
            "4",
            "4111 ",
            "4111.1111.",
            "digest response=",
            "/webhooks/1",
            "bot123456:",
            "a@",
            "a.",
            "(0",
            "AB12 ",
            "de89",
            "-eyJ",
            "-eyJ-",
            '"a',
            '""a',
            "o'",
            'token="\\"',
            "pass: ",
            "eyJ",
        ),
        *(
            "_eyJaaaaaaaa-",
            "eyJaaaaaaaa.",
            "-----BEGIN ",
            "-----BEGIN PRIVATE KEY-----",
            "sk-",
            "\\",
        ),
        *("\\u0040", "%40", "password ", "password=", "password is 1", '"secret":"', "--token "),
        *(
            "://",
            "://a:",
            "bearer a",
            "basic aaaa ",
            "authorization: ",
            "cookie:a=",
            "?key=",
            "\uff14",
        ),
    ],
)
def test_the_time_grows_with_the_length_and_not_with_its_square(piece: str) -> None:
    def processor_seconds(length: int) -> float:
        text = piece * (length // len(piece))
        began = time.thread_time()
        redact(text)
        return time.thread_time() - began

    short = min(processor_seconds(4_096) for _ in range(3))
    # Sixteen times the length takes 16 times as long; with a quadratic pattern, 256 times.
    assert processor_seconds(65_536) < 80 * max(short, 1e-3)
