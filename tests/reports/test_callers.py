from __future__ import annotations

import pytest

from tidegauge.reports.callers import CallerTable, caller_table
from tidegauge.schemas.findings import Callers, CallerShare


def table(hits: int, trials: int, *shares: tuple[str, int, int, bool]) -> CallerTable:
    return caller_table(
        Callers(
            hits=hits,
            trials=trials,
            shares=tuple(
                CallerShare(customer=customer, hits=mine, trials=all_mine, apart=apart)
                for customer, mine, all_mine, apart in shares
            ),
        )
    )


def test_one_callers_change_is_told_with_its_shares() -> None:
    found = table(20, 250, ("acme", 19, 40, True), ("globex", 1, 110, False))
    acme, globex = found.lines
    assert (acme.name, acme.of_these.share, acme.of_all.share) == ("acme", 0.95, 0.16)
    # Clopper and Pearson's interval of 19 of 20.
    assert acme.of_these.low == pytest.approx(0.7513, abs=1e-4)
    assert acme.of_these.high == pytest.approx(0.9987, abs=1e-4)
    assert globex.of_all.share == pytest.approx(0.44)
    assert found.others is not None
    assert found.others.of_these.share == 0
    assert found.others.of_all.share == pytest.approx(0.4)
    assert found.sentence == (
        "Most of them come from acme, and of the other requests a smaller part: "
        "one caller's change rather than everybody's."
    )


def test_everybodys_change_is_said_to_be_that() -> None:
    found = table(60, 210, ("acme", 40, 140, False), ("globex", 20, 70, False))
    assert found.others is None
    assert "everybody's change rather than one caller's" in found.sentence


def test_several_callers_are_named() -> None:
    three = [(name, 10, 10, True) for name in ("a", "b", "c")]
    found = table(32, 200, *three, ("d", 2, 170, False))
    assert "come from a, b and c" in found.sentence
    assert "3 callers' change" in found.sentence


def test_a_caller_who_brings_the_smaller_part_is_not_blamed_for_all() -> None:
    found = table(90, 250, ("acme", 50, 130, False), ("globex", 40, 50, True))
    assert found.sentence.startswith("globex sends a larger part of them than of the other")
    assert "most come from others" in found.sentence


def test_too_few_are_said_to_be_too_few() -> None:
    assert table(4, 200, ("acme", 4, 150, False)).sentence.startswith(
        "Only 4 of them are in the sample: too few"
    )
    assert table(1, 9, ("acme", 1, 5, False)).sentence.startswith("Only 1 of them is in")


def test_a_single_caller_cannot_be_told_from_everybody() -> None:
    assert "nobody to tell its change from" in table(50, 200, ("", 50, 200, False)).sentence


def test_names_are_made_fit_to_be_read() -> None:
    found = table(20, 90, ("\u202eemca\x00" + "x" * 500, 15, 15, True), ("", 5, 75, False))
    assert "\u202e" not in found.sentence + found.lines[0].name
    assert "\x00" not in found.lines[0].name
    assert found.lines[0].name.endswith("(506 characters)")
    assert found.lines[1].name == "(unnamed)"
