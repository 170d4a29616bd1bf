"""A healthy server over a language that is known exactly, and what may be said of beams over it.

Three words and an end; the next one depends on the last one only. What is sampled depends on the text and the
seed. Both calls are spoken, and a chat's last message is continued by whichever way it is asked.
"""

from __future__ import annotations

import random
from typing import Any

import attrs
import trio

from tests.core.language import END, logprobs
from tests.servers.quirks.quirk import Ask, Reply
from trio_beam import SearchResult

#: As they are in a text; the end is in none.
WORDS = (" a", " é", " ñ")
_LETTERS = "aéñ"
_END = "</s>"
PROMPT = "Once>"
MESSAGES = ({"role": "user", "content": PROMPT},)


def numbers_of(text: str) -> list[int]:
    """The words of a text."""
    return [_LETTERS.index(letter) for letter in text if letter in _LETTERS]


@attrs.define
class KnownModel:
    """The server.

    Attributes:
        ended: the texts that it has ended.
        begun: the texts that it has written, whole or in part.
    """

    ended: set[str] = attrs.field(factory=set)
    begun: set[str] = attrs.field(factory=set)

    async def __call__(self, ask: Ask) -> Reply:
        """Answer after a second."""
        await trio.sleep(1)
        if ask.path == "/v1/models":
            return Reply(answer={"object": "list", "data": [{"id": "m", "owned_by": "somebody"}]})
        if ask.path not in ("/v1/completions", "/v1/chat/completions"):
            return Reply(status=404, answer={"error": {"message": f"no route {ask.path}"}})
        return Reply(answer=self._complete(ask))

    def _complete(self, ask: Ask) -> dict[str, Any]:
        body = ask.body
        assert body.get("temperature", 1) == 1
        assert body.get("top_p", 1) == 1
        if ask.chat:
            *asked, last = body["messages"]
            said = last["content"] if last["role"] == "assistant" else ""
            prompt = 4 * len(asked) + len(numbers_of(said)) + (2 if said else 4)
            if said == "One":  # a word of one token
                prompt += 1
        else:
            said = body["prompt"].partition(">")[2]
            prompt = 2 + len(numbers_of(said))
        before = numbers_of(said)
        n = body.get("n") or 1
        choices = [self._choice(ask, before, index) for index in range(n)]
        written = sum(one.pop("written") for one in choices)
        return {
            "id": "x",
            "object": "text_completion",
            "model": body["model"],
            "choices": choices,
            "usage": {
                "prompt_tokens": prompt,
                "completion_tokens": written,
                "total_tokens": prompt + written,
            },
        }

    def _choice(self, ask: Ask, before: list[int], index: int) -> dict[str, Any]:
        body = ask.body
        source = random.Random(f"{before}|{(body.get('seed') or 0) + index}")
        asked = body.get("max_tokens", 16)
        sampled: list[int] = []
        last = before[-1] if before else None
        entries = []
        top = body.get("top_logprobs") if ask.chat else body.get("logprobs")
        top = 0 if isinstance(top, bool) else top or 0
        while len(sampled) < asked and sampled[-1:] != [END]:
            values = logprobs(last)
            (last,) = source.choices(range(END + 1), [2.718281828459045**value for value in values])
            sampled.append(last)
            entries.append(_entry(last, values, top))
        words = [WORDS[number] for number in sampled if number != END]
        whole = "".join(WORDS[number] for number in before)
        self.begun |= {whole + "".join(words[:end]) for end in range(len(words) + 1)}
        ended = sampled[-1] == END
        text = "".join(words)
        if ended:
            self.ended.add(whole + text)
        return {
            "index": index,
            "finish_reason": "stop" if ended else "length",
            "logprobs": _shown(entries, ask) if body.get("logprobs") else None,
            "written": len(sampled),
            **({"message": {"role": "assistant", "content": text}} if ask.chat else {"text": text}),
        }

    def check(self, result: SearchResult, *, all_scored: bool = True) -> None:
        """Assert that each beam is a text of the model's, ended where it says so, with its probability.

        Args:
            result: of a search.
            all_scored: whether the score is that of the text; else at least not better than it may be.
        """
        for beam in result.beams:
            assert beam.text in self.begun, beam.text
            if beam.finish_reason == "stop":
                assert beam.text in self.ended, beam.text
            assert beam.logprob is not None
            sure, possible = logprob_of(beam.text, ended=False), logprob_of(beam.text, ended=True)
            right = possible if beam.finish_reason == "stop" else sure
            if all_scored:
                assert abs(beam.logprob - right) < 1e-9, (beam.text, beam.logprob, right)
            else:
                assert not result.exact
                assert beam.logprob <= 0


def logprob_of(text: str, *, ended: bool) -> float:
    """The log-probability of a text, in nats."""
    numbers = [*numbers_of(text), *([END] if ended else [])]
    befores = [None, *numbers]
    return sum(logprobs(a)[b] for a, b in zip(befores, numbers, strict=False))


def _entry(number: int, values: list[float], top: int) -> dict[str, Any]:
    shown = sorted(range(END + 1), key=lambda other: -values[other])[:top]
    own = _one(number, values)
    return {**own, "top_logprobs": [_one(other, values) for other in shown]}


def _one(number: int, values: list[float]) -> dict[str, Any]:
    word = _END if number == END else WORDS[number]
    return {"token": word, "logprob": values[number], "bytes": list(word.encode())}


def _shown(entries: list[dict[str, Any]], ask: Ask) -> dict[str, Any]:
    if ask.chat:
        return {"content": entries}
    rows = [
        {other["token"]: other["logprob"] for other in entry["top_logprobs"]} for entry in entries
    ]
    return {
        "tokens": [entry["token"] for entry in entries],
        "token_logprobs": [entry["logprob"] for entry in entries],
        "top_logprobs": rows,
        "text_offset": [0] * len(entries),
    }
