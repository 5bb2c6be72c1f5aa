from __future__ import annotations

import pytest

from tidegauge.reports.text import category, clip, lead, plain


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("two\nlines\tand  spaces", "two lines and spaces"),
        ("gelb\u202eneffo\u2066x", "gelbneffox"),
        ("nul\x00 bell\x07", "nul\N{REPLACEMENT CHARACTER} bell\N{REPLACEMENT CHARACTER}"),
        ("half \ud83d of a pair", "half \N{REPLACEMENT CHARACTER} of a pair"),
        ("عربي 你好 👩‍👩‍👧", "عربي 你好 👩‍👩‍👧"),
        ("", ""),
    ],
)
def test_plain_text_stays_on_its_line_and_in_its_direction(text: str, shown: str) -> None:
    assert plain(text) == shown


def test_a_long_text_is_cut_and_tells_its_length() -> None:
    cut = clip("x" * 10_000, 100)
    assert cut == "x" * 100 + "… (10,000 characters)"


def test_a_text_of_the_limit_is_not_cut() -> None:
    assert clip("x" * 100, 100) == "x" * 100


def test_blanks_beyond_the_limit_do_not_hide_that_the_text_went_on() -> None:
    assert clip("x" + " " * 500 + "y", 100) == "x… (502 characters)"


@pytest.mark.parametrize("value", ["</script>", "<b>", "a\\u003cb", "'\"`", "\u2028\u2029"])
def test_a_category_has_nothing_that_markup_or_a_script_could_mean(value: str) -> None:
    assert not set(category(value)) & set("<>&\"'`\\\u2028\u2029")


def test_a_category_is_never_empty_nor_long() -> None:
    assert category("\u202e") == "(blank)"
    assert len(category("k" * 10_000)) == 60


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("P95 is 1.5 s. It was 0.9 s.", "P95 is 1.5 s."),
        ("no full stop", "no full stop"),
        ("", ""),
        ("x" * 900 + ". y", "x" * 240 + "… (903 characters)"),
    ],
)
def test_the_lead_is_the_first_sentence(text: str, first: str) -> None:
    assert lead(text) == first
