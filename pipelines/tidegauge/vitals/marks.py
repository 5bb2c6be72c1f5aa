"""What a response was made with that changes at a moment: system prompt, served model, tags.

An adapter (LoRA) is a model of its own name to vLLM, so that the served model tells it. Tags are
what the application says: the prompt's version, an experiment.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tidegauge.schemas import measures
from tidegauge.schemas.exchange import ResponseEvent
from tidegauge.schemas.system_prompts import system_prompt
from tidegauge.vitals.customers import Customers

__all__ = ["Marks"]

_MOST = 32
_NAME = 80
_TAGS: Final = {"prompt_version": "prompt version", "experiment": "experiment"}
"""Tag -> its title."""


class Marks:
    """Counts responses by their system prompt, the model that served them, and their tags.

    Values beyond the first 32 of each share a label, so that totals stay small where every
    request has a prompt of its own. A prompt is named by eight digits of its hash.
    """

    def __init__(self) -> None:
        self._prompts = Customers(_MOST)
        self._models = Customers(_MOST)
        self._tags = {tag: Customers(_MOST) for tag in _TAGS}

    def totals(self, event: ResponseEvent) -> Mapping[str, Mapping[str, int]]:
        """Return what a response adds to its window's totals; nothing for a shadow."""
        if event.shadow:
            return {}
        found = {}
        if event.served_model:
            label = self._models.label(event.served_model[:_NAME])
            found[measures.made_with("served model")] = {label: 1}
        if event.capture == "full" and event.messages and not event.omitted_characters:
            label = self._prompts.label(system_prompt(event.messages))
            found[measures.made_with("system prompt")] = {label: 1}
        for tag, values in self._tags.items():
            if value := event.tags.get(tag):
                found[measures.made_with(_TAGS[tag])] = {values.label(value[:_NAME]): 1}
        return found
