from __future__ import annotations

from tidegauge.detection.indicators import Hits
from tidegauge.monitoring.verdicts import callers_of
from tidegauge.schemas.findings import Callers, CallerShare
from tidegauge.schemas.sketches import Sampled

STRANGE = Hits("strange", of="asked")


def sample(**counts: tuple[int, int]) -> list[Sampled]:
    """Of each caller so many strange requests, and so many others."""
    found: list[Sampled] = []
    for customer, (strange, others) in counts.items():
        for shows in [("asked", "strange")] * strange + [("asked",)] * others:
            found.append(Sampled(len(found), customer, shows))
    return found


def test_one_caller_who_brings_all_strange_requests_stands_apart() -> None:
    found = callers_of(STRANGE, sample(acme=(12, 30), globex=(0, 160), initech=(0, 54)))
    assert found == Callers(
        hits=12,
        trials=256,
        shares=(CallerShare(customer="acme", hits=12, trials=42, apart=True),),
    )


def test_a_caller_who_sends_nothing_else_stands_apart_however_many_there_are() -> None:
    found = callers_of(STRANGE, sample(acme=(190, 1), globex=(10, 55)))
    assert found is not None
    assert [(one.customer, one.apart) for one in found.shares] == [
        ("acme", True),
        ("globex", False),
    ]


def test_where_everybody_brings_them_nobody_stands_apart() -> None:
    found = callers_of(STRANGE, sample(acme=(30, 70), globex=(20, 50), initech=(10, 25)))
    assert found is not None
    assert [(one.customer, one.hits, one.trials) for one in found.shares] == [
        ("acme", 30, 100),
        ("globex", 20, 70),
        ("initech", 10, 35),
    ]
    assert not any(one.apart for one in found.shares)


def test_a_few_requests_show_nothing_by_chance() -> None:
    found = callers_of(STRANGE, sample(acme=(2, 60), globex=(0, 60), initech=(0, 60)))
    assert found is not None
    assert not found.shares[0].apart


def test_the_largest_five_are_named_equals_by_name() -> None:
    crowd = {f"c{number}": (1 + number // 2, 3) for number in range(9)}
    found = callers_of(STRANGE, sample(**crowd))
    assert found is not None
    assert [one.customer for one in found.shares] == ["c8", "c6", "c7", "c4", "c5"]
    assert (found.hits, found.trials) == (25, 52)


def test_requests_that_were_not_asked_do_not_count() -> None:
    left_out = [Sampled(99, "globex", ("something",))]
    found = callers_of(STRANGE, sample(acme=(1, 1)) + left_out)
    assert found is not None
    assert found.trials == 2


def test_where_none_is_sampled_nothing_is_said() -> None:
    assert callers_of(STRANGE, sample(acme=(0, 5))) is None
    assert callers_of(STRANGE, []) is None
