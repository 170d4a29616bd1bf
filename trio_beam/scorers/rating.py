"""A language model as judge, asked for a number about each candidate.

The score is the mean of the numbers in its answers.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any, ClassVar

import attrs

from trio_beam.core.beam import Beam
from trio_beam.core.block import Continuation
from trio_beam.core.language_model import LanguageModel
from trio_beam.core.model_scorer import ModelScorer
from trio_beam.core.prompt import Prompt, fill_in, text_of
from trio_beam.core.scorer import SCORERS
from trio_beam.core.validation import (
    PARAMETER,
    Parameter,
    boolean,
    documented,
    integer,
    number,
)
from trio_beam.errors import ConfigError, MalformedResponse

QUESTION = """Here is a task and the beginning of an answer to it.

Task:
{prompt}

Answer so far:
{text}

How good is the answer so far? Reply with a number from {minimum} (wrong) to {maximum} (perfect)."""
#: A number, and what it is out of ("8/10", "8 out of 10").
_NUMBER = re.compile(r"(?<![\w.,])(-?\d+(?:[.,]\d+)?)(?:\s*(?:/|out of)\s*\d+)?", re.IGNORECASE)


def _check_question(_: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    if not isinstance(value, str) or "{text}" not in value:
        bound = "a text with {text} (and {prompt}, {minimum}, {maximum}) as placeholders"
        raise ConfigError(attribute.name, bound, value)


@SCORERS.register("rating")
@documented
@attrs.frozen(kw_only=True)
class Rating(ModelScorer):
    """A scorer that asks a model for a number: ``BeamSearchConfig(scorer=Rating(samples=4))``.

    The last number within the bounds counts, so the model may reason before it, if `max_tokens` allows.

    Args:
        endpoint: an open `Endpoint` or another `LanguageModel` to ask; None: the one being searched.

    Raises:
        ConfigError: names the field and its bound.
    """

    endpoint: LanguageModel | None = None
    question: str = attrs.field(
        default=QUESTION,
        validator=_check_question,
        metadata={
            PARAMETER: Parameter(
                kind="text",
                help="The question, with {prompt}, {text}, {minimum} and {maximum} as placeholders.",
            )
        },
    )
    minimum: float = number(0, help="The worst number.")
    maximum: float = number(10, help="The best number, above the minimum.")
    samples: int = integer(
        1, minimum=1, help="Answers about each candidate; their mean is its score."
    )
    temperature: float = number(
        1.0, minimum=0, help="Temperature of the answers; with 0 more than one sample is a waste."
    )
    max_tokens: int = integer(
        16, minimum=1, unit="tokens", help="Maximum length of an answer, with any reasoning."
    )
    chat: bool = boolean(
        default=True,
        help="Whether to send the question as a user message through the model's template, or as text.",
    )
    #: No alternatives are read.
    top_logprobs: ClassVar[int] = 0

    def __attrs_post_init__(self) -> None:
        if self.maximum <= self.minimum:
            raise ConfigError("maximum", f"above the minimum ({self.minimum:g})", self.maximum)

    @property
    def model(self) -> LanguageModel | None:
        """The endpoint to ask."""
        return self.endpoint

    def ask(self, prompt: Prompt, beam: Beam) -> Prompt:
        """Build the question about a candidate."""
        question = fill_in(
            self.question,
            prompt=text_of(prompt),
            text=beam.answer,
            minimum=f"{self.minimum:g}",
            maximum=f"{self.maximum:g}",
        )
        if self.chat:
            return Prompt(messages=({"role": "user", "content": question},))
        return Prompt(text=question)

    def read(self, answers: Sequence[Continuation]) -> float:
        """Return the mean of the answers' numbers; answers without one do not count.

        Raises:
            MalformedResponse: no answer has a number within the bounds.
        """
        found = [self._number(answer.data.decode("utf-8", "replace")) for answer in answers]
        numbers = [one for one in found if one is not None]
        if not numbers:
            shown = answers[-1].data.decode("utf-8", "replace")[-200:] if answers else ""
            raise MalformedResponse(
                f"the judge gives no number from {self.minimum:g} to {self.maximum:g}; it says {shown!r}:"
                " ask for one at the end, or raise max_tokens",
                attempts=1,
            )
        return math.fsum(numbers) / len(numbers)

    def _number(self, text: str) -> float | None:
        numbers = [float(found[1].replace(",", ".")) for found in _NUMBER.finditer(text)]
        within = [one for one in numbers if self.minimum <= one <= self.maximum]
        return within[-1] if within else None
