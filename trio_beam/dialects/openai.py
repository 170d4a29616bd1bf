"""The OpenAI protocol, as hosted APIs and most servers speak it.

Text goes out and comes back: a beam is continued by resending its text, which a server may cut
into other tokens than it sampled (``exact=False``). Three shapes of answer are read: completions
with the legacy arrays, completions with a chat-style ``content``, and chat completions.

Recorded: vLLM 0.32, llama.cpp (b11549), llama-cpp-python 0.2.60. From documentation: the hosted API.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import attrs
import msgspec

from trio_beam.core.language_model import SampleRequest
from trio_beam.core.prompt import Prompt
from trio_beam.dialects.common.dialect import DIALECTS, Answer, Dialect, Exchange, WireRequest
from trio_beam.dialects.common.encoding import PrefixEncoder, encode_string, max_tokens_of, splice
from trio_beam.dialects.openai_blocks import continuation_of
from trio_beam.dialects.openai_wire import (
    AnyChoice,
    AnyCompletion,
    Counts,
    decode_without_top,
    decoder,
)
from trio_beam.errors import ConfigError, MalformedResponse, RequestRejected

#: Asks for the last message, the assistant's, to be continued: vLLM, SGLang; llama.cpp does so anyway.
_CONTINUE: dict[str, Any] = {"continue_final_message": True, "add_generation_prompt": False}
#: Most tokens that a word of one token may add to a prompt without a new turn.
_OWN_TOKENS = 3


@attrs.frozen(kw_only=True, eq=False)
class PreparedPrompt:
    """A prompt in JSON, up to the place where the beam's text goes."""

    api: Literal["completions", "chat"]
    json: bytes
    prefix: PrefixEncoder


@DIALECTS.register("openai")
class OpenAI(Dialect):
    """Text in, text and log-probabilities out."""

    name: ClassVar[str] = "openai"
    can_stream: ClassVar[bool] = True

    #: Fields beside ``top_p`` that keep a server of this kind from changing the distribution.
    plain: ClassVar[dict[str, Any]] = {}

    #: Whether nobody has named this dialect, so that the server may be anything.
    _guessed = False
    _continues: bool | None = None

    def configure(self) -> Exchange[int | None]:
        """Asks nothing: there is no call for that."""
        self._guessed = True
        slots = yield from super().configure()
        return slots

    def continues_chat(self) -> Exchange[bool | None]:
        """By the server's count: what is continued adds its own token to the prompt, and no new turn."""
        counts: list[int] = []
        user = {"role": "user", "content": "Count."}
        for more in ([], [{"role": "assistant", "content": "One"}]):
            flags = _CONTINUE if more else {}
            fields = {"model": self.model, "max_tokens": 1, "messages": [user, *more], **flags}
            body = msgspec.json.encode(fields)
            try:
                answer: AnyCompletion = yield WireRequest(
                    path="/chat/completions", decode=decode_without_top, body=body, most_tokens=1
                )
            except RequestRejected:
                return False
            if answer.usage is None or answer.usage.prompt_tokens is None:
                return None
            counts.append(answer.usage.prompt_tokens)
        added = counts[1] - counts[0]
        return True if added == 1 else False if added > _OWN_TOKENS else None

    def prepare(self, prompt: Prompt) -> Exchange[PreparedPrompt]:
        """Encode the prompt.

        For a chat it asks a server that nobody has named, once, whether it continues messages.

        Raises:
            ConfigError: it does not.
        """
        yield from ()
        if prompt.messages is not None and self.api == "completions":
            raise ConfigError(
                "api", "'chat' or 'auto' for chat messages with this dialect", self.api
            )
        messages = self._messages_of(prompt)
        prefix = PrefixEncoder(lambda beam: encode_string(beam.fragment))
        if messages is None:
            return PreparedPrompt(
                api="completions", json=encode_string(prompt.text or ""), prefix=prefix
            )
        if self._guessed and self._continues is None:
            # A server that does not tell is taken at its word, which is that it is OpenAI's.
            self._continues = (yield from self.continues_chat()) is not False
        if self._continues is False:
            bound = (
                "a string: this server opens a new turn where the assistant's message is to be"
                " continued (name the dialect if that is wrong)"
            )
            raise ConfigError("prompt", bound, "chat messages")
        return PreparedPrompt(api="chat", json=msgspec.json.encode(messages)[1:-1], prefix=prefix)

    def prompt_length(self, prepared: PreparedPrompt) -> int:
        """An upper bound, by its bytes; what a chat template adds is about as long as the messages' JSON."""
        return max_tokens_of(prepared.json)

    def sample(self, prepared: PreparedPrompt, request: SampleRequest) -> Exchange[Answer]:
        """One request, or a few while the server's limits are being learnt."""
        completion, n = yield from self._within_limits(
            request.n,
            max(1, request.top_logprobs),
            lambda n, top: self._request(prepared, request, n, top),
        )
        return self._answer(completion, prepared, request, n)

    def _request(
        self, prepared: PreparedPrompt, request: SampleRequest, n: int, top: int
    ) -> WireRequest[AnyCompletion]:
        fields: dict[str, Any] = {
            "model": self.model,
            "max_tokens": request.max_tokens,
            "temperature": request.temperature,
            "top_p": 1,
        }
        if n > 1:
            fields["n"] = n
        if request.seed is not None:
            fields["seed"] = request.seed
        prefix = prepared.prefix(request.beam)
        if self.stream:
            fields |= {"stream": True, "stream_options": {"include_usage": True}}
        if prepared.api == "completions":
            path, name, value = "/completions", "prompt", b'"%s%s"' % (prepared.json, prefix)
            fields["logprobs"] = top
        else:
            path, name, value = "/chat/completions", "messages", b"[%s]" % prepared.json
            fields |= {"logprobs": True, "top_logprobs": top}
            if request.beam.continuation is not None:
                last = b'{"role":"assistant","content":"%s"}' % prefix
                value = b"[%s,%s]" % (prepared.json, last)
                fields |= _CONTINUE
        return WireRequest(
            path=path,
            decode=decoder(top=request.top_logprobs > 0, stream=self.stream, n=n),
            body=splice(name, value, fields | self.plain),
            most_tokens=n * request.max_tokens,
        )

    def _note_shape(self, choices: Sequence[AnyChoice]) -> None:
        if self.shape is None:
            given = next((choice.logprobs for choice in choices if choice.logprobs), None)
            if given is not None:
                self.shape = "content" if given.content is not None else "legacy"

    def _answer(
        self, completion: AnyCompletion, prepared: PreparedPrompt, request: SampleRequest, n: int
    ) -> Answer:
        given: Sequence[AnyChoice] = completion.choices
        self._note_shape(given)
        choices = sorted(given, key=lambda choice: choice.index)[:n]
        if not choices:
            raise MalformedResponse("the answer holds no choices")
        if len(choices) < n:
            self.limits.fewer(len(choices))  # n was ignored, or cut down without a word
        usage = completion.usage or Counts()
        # The server's count of generated tokens is only sure to be this choice's if it is alone.
        counted = usage.completion_tokens if len(choices) == 1 else None
        generated = min(counted or 0, request.max_tokens)
        echo = request.beam if prepared.api == "chat" else None
        return Answer(
            continuations=tuple(
                continuation_of(choice, request, echo, generated) for choice in choices
            ),
            prompt_tokens=max(0, usage.prompt_tokens or 0),
        )
