from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tidegauge.schemas.measures import OTHER_LABEL, SHADOW_CUSTOMER
from tidegauge.vitals.customers import Customers


@given(st.lists(st.text(max_size=4), max_size=40), st.integers(0, 5))
def test_labels_are_bounded_and_stable(names: list[str], most: int) -> None:
    customers = Customers(most)
    labels = [customers.label(name) for name in names]
    assert len(set(labels) - {OTHER_LABEL}) <= most
    own = {name for name, label in zip(names, labels, strict=True) if name == label}
    assert all(customers.label(name) == name for name in own)


def test_a_shadow_request_is_nobodys() -> None:
    customers = Customers(most=1)
    assert customers.label("acme", shadow=True) == SHADOW_CUSTOMER
    assert customers.label("zeta") == "zeta", "a shadow request takes no customer's place"
