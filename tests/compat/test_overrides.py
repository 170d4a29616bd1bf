"""The coroutine methods are what a search goes through: an override or a mock of one changes the search."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any
from unittest.mock import AsyncMock, create_autospec, patch

import httpx
import pytest
import trio
from trio.testing import MockClock

from tests.servers.hosted_chat import HostedChat
from trio_beam import (
    Beam,
    BeamSearchSampling,
    ContextOverflow,
    Continuation,
    Endpoint,
    SampleRequest,
    SearchFailed,
    ServerError,
    Token,
)
from trio_beam.testing import FakeEndpoint

#: (text, tokens, log p, alpha * log p, whether the model ended).
YES = (" yes", [" yes"], [-0.1], [-0.4], True)
GO_ON = (" on", [" on"], [-0.05], [-0.2], False)


def strategy_of(cls: type[BeamSearchSampling] = BeamSearchSampling, **changes: Any) -> Any:
    return cls(**{"tokens_per_step": 4, "seed": 3} | changes)


def endpoint_on(http: httpx.AsyncClient) -> Endpoint:
    return Endpoint("http://api/v1", model="m", dialect="openai", http_client=http)


# -- mocks


async def test_a_mock_of_the_samples_is_what_is_searched() -> None:
    strategy = strategy_of()
    mock = AsyncMock(return_value=([YES, YES], 10, 2))
    with patch.object(strategy, "_sample_continuation_multiple_async", mock):
        assert await strategy._generate_async(FakeEndpoint(), "p", 8) == (" yes", 10, 2)
    [call] = mock.await_args_list
    _, prompt, prefix, max_tokens = call.args
    assert (prompt, prefix, max_tokens, call.kwargs) == ("p", "", 4, {"n": 4})
    assert strategy.get_num_expansions() == 1
    assert strategy.get_best_score() == pytest.approx(-0.4)


async def test_a_mock_of_a_block_is_what_is_searched() -> None:
    strategy = strategy_of()
    mock = AsyncMock(return_value=([GO_ON, YES], 7, 5))
    with patch.object(BeamSearchSampling, "_expand_beams_parallel", mock):
        found = await strategy._generate_async(FakeEndpoint(), "p", 16)
    # In each of four blocks the same beam comes back; the one that has ended is kept, and is one of two.
    assert found == (" on", 4 * 7, 4 * 5)
    assert [call.args[3] for call in mock.await_args_list] == [0, 1, 2, 3]
    assert [list(call.args[1]) for call in mock.await_args_list] == [
        [("", [], [], [], False)] * 2,
        *([[GO_ON]] * 3),
    ]


def test_mocks_count_under_generate_too() -> None:
    strategy = strategy_of()
    spec = create_autospec(strategy._expand_beams_parallel, return_value=([YES], 1, 1))
    strategy._expand_beams_parallel = spec
    client = SimpleNamespace(api_key="k", base_url="http://nowhere.invalid/v1", default_model="m")
    assert strategy.generate(client, "p", 8, dialect="openai") == (" yes", 1, 1)
    spec.assert_awaited_once()


def test_the_outer_methods_are_gone_through_as_well() -> None:
    strategy = strategy_of()
    client = SimpleNamespace(api_key="k", base_url="http://nowhere.invalid/v1", default_model="m")
    with patch.object(strategy, "_generate_async", AsyncMock(return_value=("x", 1, 2))) as inner:
        assert strategy.generate(client, "p", 8) == ("x", 1, 2)
    named, *rest = inner.await_args_list[0].args
    assert (named.api_key, named.base_url, named.default_model) == ("k", client.base_url, "m")
    assert rest == ["p", 8]
    with patch.object(strategy, "_run_with_client", AsyncMock(return_value=("y", 3, 4))) as outer:
        assert strategy.generate(client, "p", 8) == ("y", 3, 4)
    outer.assert_awaited_once_with(
        api_key="k", base_url=client.base_url, model="m", prompt="p", max_tokens=8
    )


# -- overrides


class Filtering(BeamSearchSampling):
    """Keeps the candidates without red, and notes what it was given."""

    seen: list[tuple[int, list[str]]]

    async def _expand_beams_parallel(
        self, client: Any, active_beams: Sequence[Any], prompt: Any, block_num: int
    ) -> Any:
        self.seen.append((block_num, [beam[0] for beam in active_beams]))
        candidates, *tokens = await super()._expand_beams_parallel(
            client, active_beams, prompt, block_num
        )
        return [one for one in candidates if "red" not in one.text], *tokens


async def test_an_override_of_a_block_filters_candidates(autojump_clock: MockClock) -> None:
    api, strategy = HostedChat(latency=1.0), strategy_of(Filtering, n_per_beam=8)
    strategy.seen = []
    async with api.client() as http, endpoint_on(http) as endpoint:
        text, _, _ = await strategy._generate_async(endpoint, "p", 12)
        plain, _, _ = await strategy_of(n_per_beam=8)._generate_async(endpoint, "p", 12)
    assert "red" not in text
    assert "red" in plain
    assert [number for number, _ in strategy.seen] == [0, 1, 2]
    assert strategy.seen[0][1] == ["", ""]
    assert trio.current_time() == pytest.approx(2 * 3)  # all beams of a block at the same time
    assert api.bodies[0]["n"] == 16


async def test_beams_that_an_override_only_hands_on_keep_their_token_ids() -> None:
    class Handing(BeamSearchSampling):
        async def _expand_beams_parallel(self, *args: Any) -> Any:
            return await super()._expand_beams_parallel(*args)

        async def _sample_continuation_multiple_async(self, *args: Any, **kwargs: Any) -> Any:
            return await super()._sample_continuation_multiple_async(*args, **kwargs)

    model, plain = FakeEndpoint(), FakeEndpoint()
    found = await strategy_of(Handing)._generate_async(model, "p", 12)
    assert found == await strategy_of()._generate_async(plain, "p", 12)
    assert all(request.beam.exact for request in model.requests)
    seeds = {request.seed for request in model.requests}  # the order of tasks is Trio's
    assert seeds == {request.seed for request in plain.requests}
    assert len(seeds) == len(model.requests)


async def test_a_search_prepares_its_prompt_once(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[object] = []
    start = FakeEndpoint.start

    async def counted(self: FakeEndpoint, prompt: Any, context: Any) -> Any:
        started.append(prompt)
        return await start(self, prompt, context)

    monkeypatch.setattr(FakeEndpoint, "start", counted)
    await strategy_of()._generate_async(FakeEndpoint(), "p", 12)
    assert len(started) == 1


class Shouting(BeamSearchSampling):
    """Makes samples of its own from the model's."""

    async def _sample_continuation_multiple_async(
        self, client: Any, prompt: Any, prefix: str, max_tokens: int, n: int
    ) -> Any:
        await trio.lowlevel.checkpoint()
        samples, *tokens = await super()._sample_continuation_multiple_async(
            client, prompt, prefix, max_tokens, n
        )
        return [(text.upper(), *rest) for text, *rest in samples], *tokens


async def test_an_override_of_the_samples_changes_the_text_that_is_continued() -> None:
    api = HostedChat()
    async with api.client() as http, endpoint_on(http) as endpoint:
        text, _, _ = await strategy_of(Shouting)._generate_async(endpoint, "p", 8)
    assert text == text.upper()
    assert len(text.split()) == 8
    continued = [body["messages"][1]["content"] for body in api.bodies[1:]]
    assert len(continued) == 2
    assert all(prefix == prefix.upper() != "" for prefix in continued)
    assert any(text.startswith(prefix) for prefix in continued)


class Rewarding(BeamSearchSampling):
    """Prefers cats: what it adds to alpha * log p counts in the score."""

    async def _sample_continuation_multiple_async(
        self, client: Any, prompt: Any, prefix: str, max_tokens: int, n: int
    ) -> Any:
        samples, *tokens = await super()._sample_continuation_multiple_async(
            client, prompt, prefix, max_tokens, n
        )
        for one in samples:
            one.log_target[:] = [100.0 if token == " cat" else 0.0 for token in one.tokens]
        return samples, *tokens


async def test_the_log_target_is_what_counts() -> None:
    strategy = strategy_of(Rewarding, use_length_penalty=False)
    text, _, _ = await strategy._generate_async(FakeEndpoint(), "p", 8)
    assert strategy.get_best_score() == 100.0 * text.count(" cat") > 100


async def test_an_override_of_the_score_counts() -> None:
    class Shortest(BeamSearchSampling):
        def _calculate_beam_score(self, log_target: list[float], length: int) -> float:
            return float(-length)

    strategy = strategy_of(Shortest, n_per_beam=8)
    await strategy._generate_async(FakeEndpoint(), "p", 8)
    assert strategy.get_best_score() == -1.0  # one of sixteen ends at once


async def test_candidates_need_not_continue_the_beams() -> None:
    class Rewriting(BeamSearchSampling):
        async def _expand_beams_parallel(
            self, client: Any, active_beams: Any, prompt: Any, block_num: int
        ) -> Any:
            text = f"draft {block_num}"
            return [(text, [text], [-0.5 * (3 - block_num)], [-2.0 * (3 - block_num)], False)], 1, 1

    strategy = strategy_of(Rewriting)
    assert await strategy._generate_async(FakeEndpoint(), "p", 12) == ("draft 2", 3, 3)
    assert strategy.get_best_score() == -2.0


async def test_candidates_may_be_beams_or_objects_with_the_same_attributes() -> None:
    block = Continuation(tokens=(Token(" b", -0.2),), data=b" b", finish_reason="stop")

    class Named:
        text, tokens, log_p, log_target, finished = GO_ON

    class Mixing(BeamSearchSampling):
        async def _expand_beams_parallel(
            self, client: Any, active_beams: Any, prompt: Any, block_num: int
        ) -> Any:
            return [Beam().extend(block), Named(), list(GO_ON)], 0, 0

    strategy = strategy_of(Mixing, beam_width=1)
    assert (await strategy._generate_async(FakeEndpoint(), "p", 8))[0] == " b"


async def test_no_candidates_at_all_is_an_empty_text() -> None:
    strategy = strategy_of()
    strategy._expand_beams_parallel = AsyncMock(return_value=([], 3, 0))
    assert await strategy._generate_async(FakeEndpoint(), "p", 8) == ("", 3, 0)


async def test_an_override_may_use_the_calls_of_openai_that_it_knows() -> None:
    """In the original it gets an ``AsyncOpenAI``, which its users' overrides send their requests by."""

    class Own(BeamSearchSampling):
        async def _sample_continuation_multiple_async(
            self, client: Any, prompt: Any, prefix: str, max_tokens: int, n: int
        ) -> Any:
            response = await client.chat.completions.create(
                model=client.default_model,
                messages=[
                    {"role": "user", "content": prompt},
                    {"role": "assistant", "content": prefix},
                ],
                max_tokens=max_tokens,
                n=n,
                logprobs=True,
            )
            samples = []
            for choice in response.choices:
                log_p = [token.logprob for token in choice.logprobs.content]
                tokens = [token.token for token in choice.logprobs.content]
                target = [self.alpha * value for value in log_p]
                ended = choice.finish_reason == "stop"
                samples.append((choice.message.content, tokens, log_p, target, ended))
            usage = response.usage
            return samples, usage.prompt_tokens, usage.completion_tokens

    api = HostedChat(length=7)
    with api.serve() as url, trio.fail_after(30):
        strategy = strategy_of(Own)
        named = SimpleNamespace(api_key="k", base_url=url, default_model="grok-2-1212")
        text, _, completion_tokens = await trio.to_thread.run_sync(
            strategy.generate, named, "Which?", 8
        )
    assert len(text.split()) == 7
    assert completion_tokens == 4 * 4 + 4 * 3
    assert {headers["authorization"] for headers in api.headers} == {"Bearer k"}


# -- failures


@pytest.mark.promise(1)
async def test_what_had_come_back_of_a_failed_block_is_kept(autojump_clock: MockClock) -> None:
    async def before(request: SampleRequest) -> None:
        if len(model.requests) == 3:  # the second beam of block 2
            await trio.sleep(5)  # by then the first one is back
            raise ServerError("it broke", status=500, attempts=3)

    model = FakeEndpoint(latency=1.0, before=before)
    with pytest.raises(SearchFailed, match="it broke") as caught:
        await strategy_of()._generate_async(model, "p", 8)
    [failure] = caught.value.failures
    assert (failure.round, failure.attempts, failure.beam.length) == (2, 3, 4)
    partial = caught.value.partial
    assert max(beam.length for beam in partial.beams) == 8
    assert partial.usage.completion_tokens == 4 * 4 + 2 * 4
    assert partial.usage.requests == 3


@pytest.mark.promise(1)
async def test_a_failing_beam_cancels_its_siblings(autojump_clock: MockClock) -> None:
    async def before(request: SampleRequest) -> None:
        if len(model.requests) == 2:
            await trio.sleep(0.5)
            raise ServerError("it broke", status=500)

    model = FakeEndpoint(latency=1.0, before=before)
    with pytest.raises(SearchFailed):
        await strategy_of()._generate_async(model, "p", 8)
    assert trio.current_time() == pytest.approx(1.5)
    assert (model.in_flight, model.cancelled) == (0, 1)


async def test_an_error_of_an_override_fails_the_search() -> None:
    strategy = strategy_of()
    strategy._expand_beams_parallel = AsyncMock(side_effect=ServerError("no", status=503))
    with pytest.raises(SearchFailed, match="no") as caught:
        await strategy._generate_async(FakeEndpoint(), "p", 8)
    assert [failure.round for failure in caught.value.failures] == [1]


async def test_a_bug_in_an_override_arrives_as_itself() -> None:
    strategy = strategy_of()
    strategy._sample_continuation_multiple_async = AsyncMock(side_effect=ZeroDivisionError)
    with pytest.raises(ZeroDivisionError):
        await strategy._generate_async(FakeEndpoint(), "p", 8)


async def test_a_beam_that_fills_the_context_does_not_end_the_others() -> None:
    async def before(request: SampleRequest) -> None:
        if len(model.requests) == 2:
            raise ContextOverflow("full", status=400)

    model = FakeEndpoint(before=before)
    text, _, _ = await strategy_of()._generate_async(model, "p", 12)
    assert text
    assert len(model.requests) > 3
