"""A bounded set of customer labels, so that totals stay small with any number of customers."""

from __future__ import annotations

from tidegauge.schemas.measures import OTHER_LABEL, SHADOW_CUSTOMER

__all__ = ["Customers"]


class Customers:
    """Gives the first customers seen a label of their own; the rest share one.

    Args:
        most: Number of customers with a label of their own.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: set[str] = set()

    def label(self, customer: str, *, shadow: bool = False) -> str:
        """Return the label under which a customer's numbers are added up.

        Example:
            >>> customers = Customers(most=1)
            >>> [customers.label(name) for name in ("acme", "zeta", "acme")]
            ['acme', 'other', 'acme']
        """
        if shadow:
            return SHADOW_CUSTOMER
        if customer in self._known:
            return customer
        if len(self._known) >= self._most:
            return OTHER_LABEL
        self._known.add(customer)
        return customer
