"""Checks of an answer, each a pure function from texts to a finding."""

from __future__ import annotations

from tidegauge.gateway.policy.checks.all_checks import (
    Finding,
    check,
    check_wording,
    forms_unchecked,
)
from tidegauge.gateway.policy.checks.answer_forms import has_form

__all__ = ["Finding", "check", "check_wording", "forms_unchecked", "has_form"]
