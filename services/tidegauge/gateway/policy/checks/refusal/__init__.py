"""Whether a model's answer is a refusal, by how its opening is worded; for 15 languages.

Nothing but the answer is read, so a swapped model is judged like the one before. How well that
works, by model and by language, is measured by ``tidegauge bench checks``.
"""

from __future__ import annotations

from tidegauge.gateway.policy.checks.refusal.scoring import (
    LANGUAGES,
    Opening,
    assess,
    opening_of,
    words_of,
)

__all__ = ["LANGUAGES", "Opening", "assess", "opening_of", "words_of"]
