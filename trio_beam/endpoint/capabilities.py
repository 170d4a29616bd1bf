"""The server capabilities that searches depend on. Pure data."""

from __future__ import annotations

from typing import Any

import attrs

from trio_beam.endpoint.batch_noise import PRINTED


@attrs.frozen(kw_only=True)
class Capabilities:
    """Capabilities of a server, found by querying and testing it. None means inconclusive.

    Attributes:
        base_url: the server's base URL.
        dialect: name of the dialect in use.
        model: the model's name.
        server: name and version of the server.
        context_tokens: context length in tokens, including the prompt.
        slots: number of sequences processed at the same time.
        max_n: maximum number of choices per request; 1 if ``n`` is ignored or refused; None: no limit
            found.
        choices_differ: whether the choices of one request are independent samples.
        seed_repeats: whether the same seed reproduces the same tokens.
        seed_repeats_beside_others: whether the same seed reproduces them while the server does other work.
        batch_noise: largest difference (nats) found between a token's log-probability alone and beside
            other requests.
        seed_plus_index: whether choice i equals the result of a request with seed + i.
        logprobs: shape of the log-probabilities: ``"native"``, ``"content"`` or ``"legacy"``.
        max_logprobs: maximum number of alternatives per token; None: no limit found.
        raw_logprobs: whether log-probabilities are the model's own at any temperature.
        end_of_text_counted: whether the end-of-text token has a log-probability.
        token_ids_in: whether the server accepts token ids as a prompt.
        token_ids_out: whether the server returns token ids.
        continues_chat: whether the server continues a final assistant message.
        thinks_apart: whether the model's thinking arrives apart from its text or is hidden, so that only
            searches in a single block are possible; None if the short answer of the test shows no thinking.
        streams: whether the server streams on request.
        stops_when_closed: whether an otherwise idle server stops working when the connection is closed.
        notes: known caveats of such servers.
        inexact: reasons why a search is not exact; empty if it is.
    """

    base_url: str
    dialect: str
    model: str
    server: str | None = None
    context_tokens: int | None = None
    slots: int | None = None
    max_n: int | None = None
    choices_differ: bool | None = None
    seed_repeats: bool | None = None
    seed_repeats_beside_others: bool | None = None
    batch_noise: float | None = None
    seed_plus_index: bool | None = None
    logprobs: str | None = None
    max_logprobs: int | None = None
    raw_logprobs: bool | None = None
    end_of_text_counted: bool | None = None
    token_ids_in: bool = False
    token_ids_out: bool = False
    continues_chat: bool | None = None
    thinks_apart: bool | None = None
    streams: bool | None = None
    stops_when_closed: bool | None = None
    notes: tuple[str, ...] = ()
    inexact: tuple[str, ...] = attrs.field(init=False)

    @inexact.default
    def _why(self) -> tuple[str, ...]:
        return tuple(_reasons(self))

    @property
    def caveats(self) -> tuple[str, ...]:
        """Consequences of the server's batches for seeds and scores; empty if nothing was found."""
        return tuple(_caveats(self))

    @property
    def n(self) -> bool:
        """Whether one request may ask for more than one choice."""
        return self.max_n != 1

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON-compatible values."""
        return attrs.asdict(self)


def _caveats(found: Capabilities) -> list[str]:
    caveats = []
    if found.seed_repeats and found.seed_repeats_beside_others is False:
        caveats.append(
            "a seed gives the same tokens only while the server has nothing else to do: its numbers depend"
            " on the batch, so concurrent searches cannot be repeated token by token"
        )
    if found.batch_noise is not None and found.batch_noise > PRINTED:
        caveats.append(
            f"the same token alone and beside other requests differed by up to {found.batch_noise:.2g}"
            " nats: scores and weights are only that precise, per token"
        )
    return caveats


def _reasons(found: Capabilities) -> list[str]:
    reasons = []
    if not (found.token_ids_in and found.token_ids_out):
        reasons.append(
            "beams are continued by their text, which the server may tokenize differently than it sampled it"
        )
    if found.raw_logprobs is False:
        reasons.append(
            "log-probabilities are scaled by the temperature: they are the model's own only at"
            " proposal_temperature=1"
        )
    if found.end_of_text_counted is False:
        reasons.append(
            "the token that ends a text has no log-probability, so finished beams score too high"
        )
    if found.choices_differ is False:
        reasons.append("the choices of one request are all the same: set max_n=1")
    if found.seed_repeats is False:
        reasons.append("the same seed gave different tokens: a search cannot be repeated")
    if found.thinks_apart:
        reasons.append(
            "thinking arrives apart from the text or is hidden, so only searches in a single block are"
            " possible (tokens_per_step >= max_tokens)"
        )
    if found.continues_chat is False:
        reasons.append(
            "an assistant message is not continued, so a chat cannot be searched; a string can"
        )
    return reasons
