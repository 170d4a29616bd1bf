"""A language model that replies with the texts of a script."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import attrs
import trio

from trio_beam.core.block import LENGTH, STOP, Continuation, Token
from trio_beam.core.language_model import RequestContext, SampleRequest
from trio_beam.core.prompt import Prompt
from trio_beam.errors import ConfigError, LogprobsUnavailable
from trio_beam.testing.recorder import Recorder


@attrs.frozen
class Reply:
    """One text of a script, with its failure and delay.

    Attributes:
        text: the whole text, which a search receives in blocks. Each word is a token, with the white space
            before it.
        logprob: log-probability of the whole text, in nats, spread evenly over its tokens; None: -1 each.
        tokens: the tokens, instead of `text` and `logprob`.
        error: raised where the text would end.
        delay: seconds before each block of the text; infinity for a text that never arrives.
    """

    text: str = ""
    logprob: float | None = attrs.field(default=None, kw_only=True)
    tokens: Sequence[Token] = attrs.field(default=(), kw_only=True)
    error: Exception | None = attrs.field(default=None, kw_only=True)
    delay: float = attrs.field(default=0.0, kw_only=True)

    def __attrs_post_init__(self) -> None:
        if not isinstance(self.text, str) or (self.text and self.tokens):
            raise ConfigError("text", "a string, and without `tokens`", self.text)
        if self.logprob is not None and not -math.inf < self.logprob <= 0:
            raise ConfigError("logprob", "a number of nats up to 0", self.logprob)
        if not self.delay >= 0:
            raise ConfigError("delay", "a number of seconds from 0 up", self.delay)

    @classmethod
    def of(cls, item: Any) -> Reply:
        """Make a reply of an item of a script (`ReplyLike`).

        Raises:
            ConfigError: it is not such an item.
        """
        match item:
            case Reply():
                return item
            case str():
                return cls(item)
            case Exception():
                return cls(error=item)
            case (str(text), float() | int() as logprob):
                return cls(text, logprob=logprob)
        bound = "texts, (text, log-probability), `Reply` objects and exceptions"
        raise ConfigError("script", bound, item)

    def spell(self) -> tuple[Token, ...]:
        """Return its tokens."""
        if self.tokens:
            return tuple(self.tokens)
        words = re.findall(r"\s*\S+|\s+$", self.text)
        each = -1.0 if self.logprob is None else self.logprob / max(1, len(words))
        return tuple(Token(word, each) for word in words)


#: A text; a text with its log-probability (nats); a failure; or a `Reply`.
ReplyLike: TypeAlias = str | tuple[str, float] | Exception | Reply
Script: TypeAlias = ReplyLike | Sequence[ReplyLike]


class ScriptedModel(Recorder):
    """A `LanguageModel` for tests that replies with the texts of a script.

    ``ScriptedModel(["yes", ("no", -3.0), ServerError("broken", status=500), Reply("maybe", delay=60)])``

    Each new text that a search asks for is the next one of the script, which starts over after the last. A
    beam continues along the text it is a prefix of, and finishes with it; if it is a prefix of several texts,
    its continuations take them in turn. So results do not depend on the order in which beams are expanded.
    Sampling parameters change nothing. A failure among the texts of a request fails the whole request, as on
    a server.

    A mapping has a script for each prompt (the string, or the content of the last chat message), so that
    concurrent searches get their own texts. Delays are slept on Trio's clock: with an autojump clock, hours
    pass in no time.

    Args:
        script: the texts in order, or a mapping from prompts to texts.

    Raises:
        ConfigError: the script is empty or contains anything else.
    """

    def __init__(self, script: Script | Mapping[str, Script]) -> None:
        super().__init__()
        self._by_prompt = isinstance(script, Mapping)
        scripts = script if isinstance(script, Mapping) else {"": script}
        if not scripts:
            raise ConfigError("script", "at least one text", script)
        self._replies = {prompt: _replies(one) for prompt, one in scripts.items()}
        self._drawn: Counter[tuple[str, str]] = Counter()  # by prompt and beam

    async def start(self, prompt: Prompt, context: RequestContext) -> _Started:
        """Take a prompt.

        Raises:
            ConfigError: the script has others only.
        """
        del context
        await trio.lowlevel.checkpoint()
        text = _text_of(prompt)
        key = text if self._by_prompt else ""
        if key not in self._replies:
            known = ", ".join(map(repr, self._replies))
            raise ConfigError("prompt", f"one that the script has ({known})", text)
        return _Started(self, key, len(text.split()))

    async def answer(self, request: SampleRequest, prompt: str) -> Sequence[Continuation]:
        """Continue with the next texts.

        Raises:
            Exception: the failure of one of them.
            LookupError: the beam is not a prefix of any text.
        """
        if request.enumerate:
            raise LogprobsUnavailable("a scripted model has no distribution to enumerate")
        drawn = self._draw(prompt, request.beam.full_text, request.n)
        await trio.sleep(max(reply.delay for reply, _ in drawn))
        for reply, rest in drawn:
            if reply.error is not None and len(rest) < request.max_tokens:
                raise reply.error
        return [_block(reply, rest, request.max_tokens) for reply, rest in drawn]

    def _draw(self, prompt: str, beam: str, count: int) -> list[tuple[Reply, Sequence[Token]]]:
        """The next replies that a beam is a prefix of, each with its remaining tokens."""
        fitting = [
            (reply, rest)
            for reply in self._replies[prompt]
            if (rest := _behind(beam, reply.spell())) is not None
        ]
        if not fitting:
            raise LookupError(f"the script has no text that begins with {beam!r}")
        first = self._drawn[prompt, beam]
        self._drawn[prompt, beam] += count
        return [fitting[(first + index) % len(fitting)] for index in range(count)]


@attrs.define
class _Started:
    """The model with a prompt."""

    _model: ScriptedModel
    _key: str
    prompt_length: int

    async def sample(
        self, request: SampleRequest, context: RequestContext
    ) -> Sequence[Continuation]:
        return await self._model.record(request, context, self._key, self.prompt_length)


def _replies(script: Any) -> list[Reply]:
    pair = isinstance(script, tuple) and len(script) == 2 and isinstance(script[1], float | int)
    alone = pair or isinstance(script, str) or not isinstance(script, Sequence)
    replies = [Reply.of(item) for item in ([script] if alone else script)]
    if not replies:
        raise ConfigError("script", "at least one text", script)
    return replies


def _text_of(prompt: Prompt) -> str:
    if prompt.messages is None:
        return prompt.text or ""
    content = prompt.messages[-1].get("content")
    return content if isinstance(content, str) else ""


def _behind(beginning: str, tokens: Sequence[Token]) -> Sequence[Token] | None:
    """The tokens after those that spell `beginning`; None if the first ones do not."""
    for count in range(len(tokens) + 1):
        if not beginning:
            return tokens[count:]
        if count == len(tokens) or not beginning.startswith(tokens[count].text):
            return None
        beginning = beginning[len(tokens[count].text) :]
    return None


def _block(reply: Reply, rest: Sequence[Token], max_tokens: int) -> Continuation:
    tokens = tuple(rest[:max_tokens])
    ends = len(rest) <= max_tokens and reply.error is None
    return Continuation(
        tokens=tokens,
        data=b"".join(token.data for token in tokens),
        finish_reason=STOP if ends else LENGTH,
    )
