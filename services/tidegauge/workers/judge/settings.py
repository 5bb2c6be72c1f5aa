"""The judge worker's settings, from the environment."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr

from tidegauge.quality.golden_set import QUESTIONS
from tidegauge.runtime.settings import WindowSettings

__all__ = ["JudgeSettings"]

_FIRST_QUESTIONS = 24
"""Questions of the first stage: enough for a judge that is far from guessing, and quick."""


class JudgeSettings(WindowSettings):
    """Read from the environment; see each field's description."""

    prefix = "TIDEGAUGE_JUDGE_"

    url: str = Field(
        default="http://127.0.0.1:8000", description="Address of the judges' vLLM server."
    )
    api_key: SecretStr | None = Field(
        default=None, description="Bearer token for the judges' server, if it wants one."
    )
    model: str = Field(
        default="tidegauge-judge", description="The judges' model, as its server names it."
    )
    judges: str = Field(
        default="likelihood,helpfulness",
        description="Which judges to ask, between commas: likelihood, "
        "groundedness_likelihood, a built-in rubric (see "
        "`tidegauge judge list`), or a YAML file with a rubric or a classifier of your own.",
    )
    likelihood_rate: float = Field(
        default=0.2,
        gt=0,
        le=1,
        description="Largest share of the answers for each judge that reads likelihoods.",
    )
    rubric_rate: float = Field(
        default=0.05,
        gt=0,
        le=1,
        description="Largest share of the answers for each rubric and each classifier.",
    )
    conversation_rate: float = Field(
        default=0.05,
        gt=0,
        le=1,
        description="Share of the conversations for each rubric that grades whole conversations, "
        "such as goal; neither load nor the budget change it.",
    )
    conversation_idle_minutes: float = Field(
        default=30.0,
        gt=0,
        description="Minutes without an exchange after which a conversation has ended.",
    )
    conversation_most_turns: int = Field(
        default=50,
        ge=2,
        description="Turns at which a conversation is judged although it goes on.",
    )
    minimum_rate: float = Field(
        default=0.02,
        gt=0,
        le=1,
        description="Share below which neither load nor the budget push an answer's chance.",
    )
    tokens_per_second: float = Field(
        default=0.0,
        ge=0,
        description="Tokens that all judges together may take; the shares above are then upper "
        "limits. 0 for no budget.",
    )
    sampling_period_seconds: int = Field(
        default=60, ge=1, description="Event time after which the budget is allotted anew."
    )
    salt: str = Field(
        default="tidegauge",
        min_length=1,
        description="Salt of the sampling hash; changing it draws anew.",
    )
    rubric_retry: bool = Field(
        default=True,
        description="Whether an unclear grade is asked for again, with reasoning.",
    )
    likelihood_system: str = Field(
        default="",
        description="System message shown to the likelihood judge where a conversation has none.",
    )
    labels_by: Literal["logprobs", "scoring"] = Field(
        default="logprobs",
        description="How a rubric's judge is asked for the probabilities of its grades: logprobs "
        "of the likeliest next tokens, in one call, or vLLM's /generative_scoring, in a call for "
        "each grade and over the whole vocabulary, where the server has it.",
    )
    reasons_below: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Scores of rubrics below which the judge is asked for its reason as well, "
        "which alarms then show; 0 for never.",
    )
    context: str = Field(
        default="guess",
        description="Where the context of an answer stands, between commas: system, tools, "
        "documents, tagged, headed; guess is all but the first, none is no context.",
    )
    context_tags: str = Field(
        default="",
        description="Names of the tags around context, between commas, in place of the usual "
        "ones such as context and documents.",
    )
    hallucination_rate: float = Field(
        default=1.0,
        ge=0,
        le=1,
        description="Share of the answers whose numbers, dates, names, addresses and quotations "
        "are looked for in their context; no model is asked, it takes some milliseconds an answer.",
    )
    references_file: Path | None = Field(
        default=None,
        description="Answers that are known to be right, for the judge of correctness: JSON lines "
        'of "question", as clients ask it, and "reference".',
    )
    golden_set_file: Path | None = Field(
        default=None,
        description='Golden answers of your own, beside the built-in: JSON lines of "kind", '
        '"question", "answer", and where there are "system", "context", "reference", '
        '"tool_calls"; kind is good, or what is bad about the answer.',
    )
    golden_set_questions: int = Field(
        default=QUESTIONS,
        ge=1,
        le=QUESTIONS,
        description="Most of the built-in questions that the judges are qualified on; a judge that "
        "the first 24 qualify, or show to be far from it, is spared the rest.",
    )
    concurrency: int = Field(
        default=4, ge=1, description="Most questions to the judges' server at a time."
    )
    gateway_metrics_url: str = Field(
        default="",
        description="Address of the gateway's metrics, such as http://127.0.0.1:8081/metrics, if "
        "judging is to give way to the gateway's clients.",
    )
    first_token_limit_seconds: float = Field(
        default=2.0,
        gt=0,
        description="Mean time to the first token of the gateway's clients above which fewer "
        "questions are asked; needs the address of the gateway's metrics.",
    )
    deadline_seconds: float = Field(
        default=12.0, gt=0, description="Longest time for the judgments of one batch of answers."
    )
    max_age_seconds: float = Field(
        default=900.0,
        ge=0,
        description="Answers older than this are counted as too old and not judged; 0 for none.",
    )
    request_seconds: float = Field(
        default=30.0, gt=0, description="Longest time for one question to the judges' server."
    )
    qualification_hours: float = Field(
        default=24.0, gt=0, description="Time between the judges' qualification runs."
    )
    port: int = Field(
        default=8093, ge=0, le=65535, description="Where health and metrics are served."
    )
    host: str = Field(default="127.0.0.1", description="Interface for health and metrics.")
    group: str = Field(default="judge", description="Consumer group.")

    @property
    def names(self) -> tuple[str, ...]:
        """Return the judges' names, each once, in their order."""
        names = (name.strip() for name in self.judges.split(","))
        return tuple(dict.fromkeys(name for name in names if name))

    @property
    def qualification_stages(self) -> tuple[int, ...]:
        """Return the number of questions in each stage of a qualification run."""
        first = min(_FIRST_QUESTIONS, self.golden_set_questions)
        return tuple(dict.fromkeys((first, self.golden_set_questions)))
