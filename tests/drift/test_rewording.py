from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from tidegauge.drift import descriptors
from tidegauge.drift.rewording import MANNERS, Manner, reword

TEXT = "what is the best way to change my flight"


@pytest.mark.parametrize("manner", MANNERS)
def test_the_same_draw_gives_the_same_words(manner: Manner) -> None:
    first = reword(TEXT, manner, np.random.default_rng(1))
    assert first == reword(TEXT, manner, np.random.default_rng(1))
    assert first != TEXT


def test_politeness_is_around_the_request() -> None:
    assert TEXT in reword(TEXT, "polite", np.random.default_rng(1))


def test_slips_move_letters_and_keep_them() -> None:
    slipped = reword(TEXT, "typos", np.random.default_rng(1))
    assert Counter(slipped) == Counter(TEXT)
    assert reword("a", "typos", np.random.default_rng(1)) == "a"


def test_another_language_is_one_to_people_and_to_the_monitor() -> None:
    german = reword(TEXT, "german", np.random.default_rng(1))
    assert german == "was ist die beste weg zu ändere mein flug"
    assert descriptors.language(TEXT) == "en"
    assert descriptors.language(german) == "de"
    assert reword("Where is Oslo?", "german", np.random.default_rng(1)) == "wo ist Oslo?"
