"""A language model as judge, asked a yes/no question about each candidate.

The score is log p(yes) - log p(no), in nats: the log-odds, from the probabilities of the answer's first
token, or of the last yes or no of an answer that reasons first. At the first token they are exact where the
server tells those of given tokens (vLLM, SGLang), elsewhere as far as they are among the most probable.

Generative verifiers: Zhang et al. 2024 (arXiv 2408.15240).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs

from trio_beam.core.beam import Beam
from trio_beam.core.block import Continuation, Token
from trio_beam.core.language_model import LanguageModel
from trio_beam.core.model_scorer import ModelScorer
from trio_beam.core.prompt import Prompt, fill_in, text_of
from trio_beam.core.scorer import SCORERS
from trio_beam.core.validation import PARAMETER, Parameter, as_tuple, boolean, documented, integer
from trio_beam.core.weights import log_sum
from trio_beam.errors import ConfigError, LogprobsUnavailable

QUESTION = """Here is a task and the beginning of an answer to it.

Task:
{prompt}

Answer so far:
{text}

Is the answer correct so far? Reply with one word, yes or no."""


def _check_question(_: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    if not isinstance(value, str) or "{text}" not in value:
        raise ConfigError(
            attribute.name, "a text with {text} (and {prompt}) as placeholders", value
        )


def _check_words(_: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    good = isinstance(value, tuple) and value
    if not good or not all(isinstance(one, str) and _plain(one) for one in value):
        raise ConfigError(attribute.name, "a word, or some", value)


@SCORERS.register("judge")
@documented
@attrs.frozen(kw_only=True)
class Judge(ModelScorer):
    """A scorer that asks a model: ``BeamSearchConfig(scorer=Judge(...))``, or ``scorer="judge"``.

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
                help="The yes/no question, with {prompt} and {text} as placeholders for the prompt and the"
                " candidate's text.",
            )
        },
    )
    yes: tuple[str, ...] = attrs.field(
        default=("yes",),
        converter=as_tuple,
        validator=_check_words,
        metadata={
            PARAMETER: Parameter(kind="texts", help="Words that mean yes, in any capitalisation.")
        },
    )
    no: tuple[str, ...] = attrs.field(
        default=("no",),
        converter=as_tuple,
        validator=_check_words,
        metadata={PARAMETER: Parameter(kind="texts", help="Words that mean no.")},
    )
    chat: bool = boolean(
        default=True,
        help="Whether to send the question as a user message through the model's template, or as text.",
    )
    top_logprobs: int = integer(
        20, minimum=2, help="Number of alternatives to request for each token of the answer."
    )
    max_tokens: int = integer(
        1,
        minimum=1,
        unit="tokens",
        help="Maximum length of the answer. With more than 1 the judge may reason first: the last yes or no"
        " is its verdict.",
    )

    @property
    def model(self) -> LanguageModel | None:
        """The endpoint to ask."""
        return self.endpoint

    @property
    def labels(self) -> tuple[str, ...]:
        """The words that mean yes or no, unless it may reason first."""
        return (*self.yes, *self.no) if self.max_tokens == 1 else ()

    def ask(self, prompt: Prompt, beam: Beam) -> Prompt:
        """Build the question about a candidate."""
        question = fill_in(self.question, prompt=text_of(prompt), text=beam.answer)
        if self.chat:
            return Prompt(messages=({"role": "user", "content": question},))
        return Prompt(text=question)

    def read(self, answers: Sequence[Continuation]) -> float:
        """Return the log-odds, in nats.

        Raises:
            LogprobsUnavailable: the answer has neither yes nor no, or with one token begins with neither.
        """
        tokens = answers[0].tokens
        if answers[0].reasoning is not None and not tokens:
            raise LogprobsUnavailable(
                f"the judge is still thinking after {self.max_tokens} tokens: raise max_tokens, or switch its"
                " thinking off"
            )
        if self.max_tokens == 1:
            return self.log_odds(tokens[0].top if tokens else ())
        words = set(map(_plain, (*self.yes, *self.no)))
        for token in reversed(tokens):
            if _plain(token.text) in words:
                return self.log_odds(token.top or (token,))
        raise LogprobsUnavailable(
            f"the judge says neither {self.yes[0]!r} nor {self.no[0]!r} within {self.max_tokens} tokens: ask"
            " for one of them at the end, or raise max_tokens"
        )

    def log_odds(self, top: Sequence[Token]) -> float:
        """Return log p(yes) - log p(no), in nats, from alternatives of a token of the answer.

        They are the words themselves if the server tells their probabilities, else the most probable tokens.
        If one of the two is not among these, it counts with the least probability there, its upper bound.

        Raises:
            LogprobsUnavailable: neither is among them.
        """
        yes, no = (
            [token.logprob for token in top if _plain(token.text) in set(map(_plain, words))]
            for words in (self.yes, self.no)
        )
        if not yes and not no:
            raise LogprobsUnavailable(
                f"the judge answers neither {self.yes[0]!r} nor {self.no[0]!r}: neither is among the"
                f" {len(top)} most probable beginnings of its answer; ask for one word, or name others"
            )
        lowest = min(token.logprob for token in top)
        return (log_sum(yes) if yes else lowest) - (log_sum(no) if no else lowest)


def _plain(text: str) -> str:
    return text.strip(" \t\n.,!:;'\"*▁Ġ").casefold()
