"""Whether given texts support an answer, checked without a model."""

from tidegauge.quality.support.check import Support, Unsupported, check_support, unsupported_facts
from tidegauge.quality.support.checked_facts import FactKind

__all__ = ["FactKind", "Support", "Unsupported", "check_support", "unsupported_facts"]
