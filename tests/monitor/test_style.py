"""The page's colours can be read: WCAG 2.2's contrast, in light and in dark."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest

STYLE = (files("tidegauge.monitor.web") / "templates" / "style.css").read_text("utf-8")
TONES = ("critical", "warn", "info", "ok", "quiet")
READ = [
    *((tone, f"{tone}-ground") for tone in TONES),
    *(("ink", f"{tone}-ground") for tone in TONES),
    *(("soft", f"{tone}-ground") for tone in TONES),
    *((text, ground) for text in ("ink", "soft", "link") for ground in ("ground", "card")),
    *(("link", f"{tone}-ground") for tone in TONES),
    ("card", "link"),
]
SEEN = [("now", "track"), ("now", "card"), *((tone, "track") for tone in TONES)]


def colours(mode: str) -> dict[str, str]:
    light, dark = re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)
    found = dict(re.findall(r"--([\w-]+): (#[0-9a-f]+);", light))
    if mode == "dark":
        found |= dict(re.findall(r"--([\w-]+): (#[0-9a-f]+);", dark))
    return found


def luminance(colour: str) -> float:
    digits = colour.removeprefix("#")
    if len(digits) == 3:
        digits = "".join(2 * digit for digit in digits)
    channels = [int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_text_has_a_contrast_of_4_5(mode: str) -> None:
    found = colours(mode)
    poor = {
        (text, ground): round(contrast(found[text], found[ground]), 2)
        for text, ground in READ
        if contrast(found[text], found[ground]) < 4.5
    }
    assert not poor


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_marks_have_a_contrast_of_3(mode: str) -> None:
    found = colours(mode)
    poor = [pair for pair in SEEN if contrast(found[pair[0]], found[pair[1]]) < 3]
    assert not poor


def test_both_modes_know_every_colour() -> None:
    light, dark = re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)
    names = [set(re.findall(r"--([\w-]+):", part)) for part in (light, dark)]
    assert names[0] == names[1]


def test_it_loads_nothing() -> None:
    assert "url(" not in STYLE
    assert "@import" not in STYLE


def test_every_display_is_one_that_browsers_know() -> None:
    found = set(re.findall(r"display: ?([\w-]+)", STYLE))
    assert found
    assert found <= {"block", "inline", "inline-block", "flow-root", "flex", "grid", "none"}
