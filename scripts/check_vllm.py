"""Compare searches on a real vLLM with the server's own scores of their tokens.

For each of some random searches (prompts in several scripts, strings and chats, all block lengths) and
every beam it returns: the server scores the same tokens again as a part of a prompt, detokenizes their
ids, and gives the same for the same seed. Prints what differs and by how much; exit code 1 if a text is
wrong or a log-probability is off by more than the noise of bfloat16.

    uv run python scripts/check_vllm.py http://127.0.0.1:8000/v1
    uv run python scripts/check_vllm.py http://127.0.0.1:8000/v1 --searches 100 --seed 2
"""

from __future__ import annotations

import argparse
import random
import statistics
from typing import Any

import attrs
import httpx
import trio

from trio_beam import BeamSearchConfig, Endpoint, beam_search
from trio_beam.core.beam import Beam
from trio_beam.core.prompt import PromptLike

PROMPTS: list[PromptLike] = [
    "Once upon a time",
    "Dear Sir: ",
    "Repeat: 🦜🫠漢字 🦜🫠漢字 🦜🫠漢字 🦜🫠",
    "Grüße aus Köln, wo",
    "नमस्ते दुनिया, यह",
    "def add(a, b):\n    return",
    [{"role": "user", "content": "Say yes."}],
    [{"role": "user", "content": "Write three emoji and the word 漢字."}],
]
#: Nats by which one token may be off: read with a prompt, bfloat16 adds up in another order.
NOISE = 0.25


@attrs.define
class Found:
    """Results of the searches."""

    searches: int = 0
    beams: int = 0
    tokens: int = 0
    ended: int = 0
    inexact: int = 0
    cut_otherwise: int = 0
    replayed: int = 0
    off: list[float] = attrs.field(factory=list)
    wrong_texts: list[str] = attrs.field(factory=list)


@attrs.frozen
class Server:
    """The server, accessed without trio_beam."""

    client: httpx.AsyncClient
    root: str
    model: str

    async def post(self, path: str, **fields: Any) -> Any:
        response = await self.client.post(self.root + path, json={"model": self.model, **fields})
        response.raise_for_status()
        return response.json()

    async def ids_of(self, prompt: PromptLike) -> list[int]:
        what = {"prompt": prompt} if isinstance(prompt, str) else {"messages": prompt}
        ids: list[int] = (await self.post("/tokenize", **what))["tokens"]
        return ids

    async def text_of(self, ids: list[int]) -> str:
        text: str = (await self.post("/detokenize", tokens=ids))["prompt"]
        return text

    async def score(self, prompt: list[int], ids: list[int]) -> list[float]:
        answer = await self.post(
            "/v1/completions", prompt=[*prompt, *ids], echo=True, max_tokens=0, logprobs=0
        )
        values: list[float] = answer["choices"][0]["logprobs"]["token_logprobs"]
        return values[len(prompt) : len(prompt) + len(ids)]


async def check_beam(server: Server, prompt: list[int], beam: Beam, found: Found) -> None:
    ids = [token.id for token in beam.tokens if token.id is not None]
    found.beams += 1
    found.tokens += len(ids)
    found.ended += beam.finished
    found.inexact += not beam.exact
    again = await server.score(prompt, ids)
    found.off += [
        abs(token.logprob - value) for token, value in zip(beam.tokens, again, strict=True)
    ]
    visible = ids[:-1] if beam.finished else ids
    before, whole = await server.text_of(prompt), await server.text_of([*prompt, *visible])
    expected = whole.removeprefix(before).rstrip("\ufffd")
    if beam.text.rstrip("\ufffd") != expected:
        found.wrong_texts.append(f"{beam.text!r}, not {expected!r}")
    if visible and (await server.post("/tokenize", prompt=before + beam.text))["tokens"] != [
        *prompt,
        *visible,
    ]:
        found.cut_otherwise += 1


async def check(options: argparse.Namespace) -> Found:
    source = random.Random(options.seed)
    found = Found()
    async with (
        Endpoint(options.url, dialect="vllm", stream=options.stream) as endpoint,
        httpx.AsyncClient(timeout=120) as client,
    ):
        for number in range(options.searches):
            prompt = source.choice(PROMPTS)
            config = BeamSearchConfig(
                beam_width=source.randint(1, 3),
                n_per_beam=source.randint(1, 3),
                tokens_per_step=source.randint(1, 7),
                max_tokens=source.randint(4, 16),
                proposal_temperature=source.choice([0.7, 1.0, 1.3]),
                seed=number,
            )
            result = await beam_search(endpoint, prompt, config)
            server = Server(client, options.url.removesuffix("/v1"), endpoint.model or "")
            ids = await server.ids_of(prompt)
            for beam in result.beams:
                await check_beam(server, ids, beam, found)
            again = await beam_search(endpoint, prompt, config)
            found.replayed += again.text == result.text
            found.searches += 1
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("url", help="with its /v1")
    parser.add_argument("--searches", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--stream", action="store_true")
    options = parser.parse_args()
    found = trio.run(check, options)
    print(
        f"{found.searches} searches, {found.beams} beams ({found.ended} ended), {found.tokens} tokens"
    )
    print(f"marked inexact: {found.inexact}")
    print(f"texts that differ from what the server makes of the ids: {len(found.wrong_texts)}")
    print(f"log-probabilities read again: mean {statistics.mean(found.off):.4f} nats off", end="")
    print(f", worst {max(found.off):.4f}")
    print(f"the same seed gave the same text: {found.replayed} of {found.searches}")
    print(f"beams whose text the server cuts into other tokens: {found.cut_otherwise}")
    for text in found.wrong_texts:
        print("  wrong:", text)
    if found.wrong_texts or found.inexact or max(found.off) > NOISE:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
