"""Let a model choose the answer among the final texts.

It sees all of them at once; they are shown in several orders, so that their place does not decide.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import attrs

from trio_beam.core.answer_rule import ANSWERS
from trio_beam.core.beam import Beam
from trio_beam.core.block import Continuation
from trio_beam.core.language_model import LanguageModel
from trio_beam.core.model_answer import ModelAnswer
from trio_beam.core.model_scorer import ModelScorer
from trio_beam.core.prompt import Prompt, fill_in, text_of
from trio_beam.core.validation import PARAMETER, Parameter, boolean, documented, integer
from trio_beam.errors import ConfigError, MalformedResponse

QUESTION = """Here is a task and several answers to it.

Task:
{prompt}

{answers}

Which answer is the best? Reply with its number."""


def _check_question(_: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    if not isinstance(value, str) or "{answers}" not in value:
        bound = "a text with {answers} (and {prompt}) as placeholders"
        raise ConfigError(attribute.name, bound, value)


@ANSWERS.register("select")
@documented
@attrs.frozen(kw_only=True)
class Select(ModelAnswer):
    """Chooses the beam that a model prefers most often: ``BeamSearchConfig(answer=Select())``.

    The last number of its answer counts, so it may reason before it, if `max_tokens` allows.

    Args:
        endpoint: an open `Endpoint` or another `LanguageModel` to ask; None: the one being searched.

    Raises:
        ConfigError: names the field and its bound.
    """

    endpoint: LanguageModel | None = None
    orders: int = integer(
        4,
        minimum=1,
        help="Orders in which the answers are shown, each by one request and with another one first; at most"
        " one per answer.",
    )
    question_text: str = attrs.field(
        default=QUESTION,
        validator=_check_question,
        metadata={
            PARAMETER: Parameter(
                kind="text",
                help="The question, with {prompt} and {answers} as placeholders; numbered from 1.",
            )
        },
    )
    max_tokens: int = integer(
        16, minimum=1, unit="tokens", help="Maximum length of its answer, with any reasoning."
    )
    chat: bool = boolean(
        default=True,
        help="Whether to send the question as a user message through the model's template, or as text.",
    )

    def question(self, beams: Sequence[Beam]) -> ModelScorer:
        """Return what to ask about the beams."""
        return _Question(select=self, beams=tuple(beams))


@attrs.frozen(kw_only=True)
class _Question(ModelScorer):
    """Which of the beams is the best?"""

    select: Select
    beams: tuple[Beam, ...]

    @property
    def model(self) -> LanguageModel | None:
        return self.select.endpoint

    @property
    def max_tokens(self) -> int:
        return self.select.max_tokens

    @property
    def top_logprobs(self) -> int:
        return 0

    def ask(self, prompt: Prompt, beam: Beam) -> Prompt:
        first = next(place for place, one in enumerate(self.beams) if one is beam)
        shown = [*self.beams[first:], *self.beams[:first]]
        answers = [f"Answer {number}:\n{one.answer}" for number, one in enumerate(shown, 1)]
        question = fill_in(
            self.select.question_text, prompt=text_of(prompt), answers="\n\n".join(answers)
        )
        if self.select.chat:
            return Prompt(messages=({"role": "user", "content": question},))
        return Prompt(text=question)

    def read(self, answers: Sequence[Continuation]) -> float:
        verdict = answers[0].data.decode("utf-8", "replace") if answers else ""
        numbers = [int(found) for found in re.findall(r"(?<![\w.])\d{1,9}(?![\w])", verdict)]
        named = [number for number in numbers if 1 <= number <= len(self.beams)]
        if not named:
            raise MalformedResponse(
                f"asked for the best of {len(self.beams)} answers, the model names none; it says"
                f" {verdict[-200:]!r}: raise max_tokens, or ask for a number at the end",
                attempts=1,
            )
        return float(named[-1] - 1)
