"""The interface of the asyncio original: a plain blocking call and its coroutine methods."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import trio

from trio_beam.asyncio.bridge import in_trio
from trio_beam.compat.clients import Client, NamedServer, key_text, opened
from trio_beam.compat.expansion import Result, expand_all
from trio_beam.compat.loops import run_blocking
from trio_beam.compat.parameters import Parameters
from trio_beam.compat.rounds import MethodRounds
from trio_beam.compat.sampling import sample
from trio_beam.compat.session import Session
from trio_beam.compat.text_beam import Prefix, beam_of_prefix, extend, full, text_beam
from trio_beam.core.language_model import LanguageModel
from trio_beam.core.prompt import PromptLike
from trio_beam.core.steps import Expansion
from trio_beam.core.usage_meter import UsageMeter
from trio_beam.engine.beam_search import BeamSearchRun
from trio_beam.errors import ContextOverflow
from trio_beam.http.clients import AsyncClient


class BeamSearchSampling(Parameters):
    """Beam search as a synchronous call, with the original's parameters and methods.

    A search goes through coroutine methods that call each other: `_run_with_client`, `_generate_async`,
    `_expand_beams_parallel` for each block and `_sample_continuation_multiple_async` for each of its beams.
    Overriding or mocking one therefore changes the search. A search and its overrides always run in Trio:
    they await Trio's functions (`trio.sleep`, a nursery), not asyncio's. The methods themselves may be
    awaited in Trio and in asyncio, where cancelling the task cancels the search.

    Beams, candidates and samples are tuples: (text, tokens, log p, alpha * log p, whether it has ended).

    The parameters are those of `BeamSearchConfig` and `Endpoint`, except:

    Args:
        debug: print the original's ``[BeamSearch]`` lines.
        supports_n_param: False: send a request per continuation.
        timeout: seconds for one attempt of a request.
        raw: whether to continue a string as plain text; if not, it is a user message to the chat call.

    Raises:
        ConfigError: a parameter is out of bounds.
    """

    _last_num_expansions = 0
    _last_best_score = 0.0

    def generate(
        self,
        client: Client,
        prompt: PromptLike,
        max_tokens: int = 512,
        *,
        raw: bool | None = None,
        dialect: str | None = None,
        http_client: AsyncClient | None = None,
    ) -> tuple[str, int, int]:
        """Search, and block until done, inside asyncio too (with a warning in the log).

        Args:
            client: a sync or async OpenAI client, or anything with ``api_key``, ``base_url`` and, if the
                server lists several models, ``default_model``.
            prompt: a user message, or a list of chat messages.
            max_tokens: maximum length of the completion in tokens.
            raw: overrides the strategy's value for this call.
            dialect: likewise.
            http_client: likewise.

        Returns:
            The completion, and the total prompt and completion tokens of all requests.

        Raises:
            TrioBeamError: called inside Trio; there, use `beam_search`.
            SearchFailed: as `beam_search`.
        """
        server = NamedServer.of(client)
        ours: dict[str, Any] = {
            "headers": server.headers or None,
            "raw": raw,
            "dialect": dialect,
            "http_client": http_client,
        }

        async def search() -> tuple[str, int, int]:
            # Only given options are passed: an override may have just the original's parameters.
            return await self._run_with_client(
                api_key=server.api_key,
                base_url=server.base_url,
                model=server.default_model,
                prompt=prompt,
                max_tokens=max_tokens,
                **{name: value for name, value in ours.items() if value is not None},
            )

        return run_blocking(search)

    def get_num_expansions(self) -> int:
        """Return the number of blocks of the last search; 0 before the first."""
        return self._last_num_expansions

    def get_best_score(self) -> float:
        """Return the best score of the last search; 0.0 before the first."""
        return self._last_best_score

    @in_trio
    async def _run_with_client(
        self,
        api_key: Any,
        base_url: Any,
        model: str | None,
        prompt: PromptLike,
        max_tokens: int,
        **ours: Any,
    ) -> tuple[str, int, int]:
        """Search on a named server; return (completion, prompt tokens, completion tokens).

        Args:
            api_key: as `Client.api_key`.
            base_url: as `Client.base_url`.
            model: None: the only model that the server lists.
            prompt: as for `generate`.
            max_tokens: as for `generate`.
            ours: further attributes of `NamedServer`.
        """
        key = await key_text(api_key)
        server = NamedServer(api_key=key, base_url=base_url, default_model=model, **ours)
        try:
            return await self._generate_async(server, prompt, max_tokens)
        finally:
            with trio.move_on_after(1, shield=True):
                await server.aclose()

    @in_trio
    async def _generate_async(
        self, client: Client | LanguageModel, prompt: PromptLike, max_tokens: int = 512
    ) -> tuple[str, int, int]:
        """Search; return (completion, prompt tokens, completion tokens) by the methods' own counts.

        Args:
            client: an `Endpoint` (opened for the search unless already open), another `LanguageModel`, or a
                client that names a server.
            prompt: as for `generate`.
            max_tokens: as for `generate`.

        Raises:
            SearchFailed: as `beam_search`.
        """
        async with self._session(client) as session:
            rounds = MethodRounds(
                session,
                lambda beams, block: self._expand_beams_parallel(client, beams, prompt, block),
                self._calculate_beam_score,
                self.alpha,
                self.beam_width,
            )
            run = BeamSearchRun(
                session,
                session.asked(prompt),
                self._config(max_tokens, scorer=rounds.score),
                self._observers(),
                runner=rounds.run,
            )
            result = await run.run()
        self._last_num_expansions = result.rounds
        self._last_best_score = result.score
        return result.text, result.usage.prompt_tokens, result.usage.completion_tokens

    @in_trio
    async def _expand_beams_parallel(
        self,
        client: Client | LanguageModel,
        active_beams: Sequence[Any],
        prompt: PromptLike,
        block_num: int,
    ) -> Result:
        """Expand all beams concurrently; return (scored candidates, prompt tokens, completion tokens).

        Args:
            client: as for `_generate_async`.
            active_beams: tuples, or `Beam` objects.
            prompt: as for `generate`.
            block_num: number of the block, from 0.

        Raises:
            EndpointError: a beam could not be expanded; the others were cancelled.
        """
        beams = [text_beam(beam, self.alpha) for beam in active_beams]

        async def expand(place: int, count: int) -> Result:
            beam = beams[place]
            seed = self._seed(block_num, place) if beam.seed is None else beam.seed
            try:
                samples, prompts, completions = await self._sample_continuation_multiple_async(
                    client,
                    prompt,
                    Prefix.of(beam, seed),
                    beam.max_tokens or self.tokens_per_step,
                    n=self.n_per_beam * count,
                )
            except ContextOverflow:
                if not beam.text:
                    raise
                return [full(beam)], 0, 0
            candidates = [extend(beam, text_beam(one, self.alpha)) for one in samples]
            for one in candidates:
                one.score = self._calculate_beam_score(one.log_target, len(one.tokens))
            return candidates, prompts, completions

        async with self._session(client) as session:
            expanded = await expand_all(beams, expand)
            if expanded.errors:
                session.failed = expanded
                raise expanded.errors[min(expanded.errors)]
        return expanded.all()

    @in_trio
    async def _sample_continuation_multiple_async(
        self,
        client: Client | LanguageModel,
        prompt: PromptLike,
        prefix: str,
        max_tokens: int,
        n: int,
    ) -> Result:
        """Sample n continuations of a text; return (samples, prompt tokens, completion tokens).

        Args:
            client: as for `_generate_async`.
            prompt: as for `generate`.
            prefix: the beginning of the assistant's message; with `raw`, the text after the prompt.
            max_tokens: maximum length of each, in tokens.
            n: number of samples.

        Raises:
                EndpointError: a request failed.
        """
        seed = prefix.seed if isinstance(prefix, Prefix) else self._seed(0, 0, prefix)
        expansion = Expansion(
            rank=0, beam=beam_of_prefix(prefix), n=n, max_tokens=max_tokens, seed=seed
        )
        async with self._session(client) as session:
            return await sample(session, prompt, expansion, self._config(max_tokens))

    def _sample_continuation_multiple(
        self, client: Client, prompt: PromptLike, prefix: str, max_tokens: int, n: int
    ) -> Result:
        """Call `_sample_continuation_multiple_async`, and block until done.

        Raises:
            TrioBeamError: called inside Trio.
            EndpointError: a request failed.
        """
        return run_blocking(
            lambda: self._sample_continuation_multiple_async(client, prompt, prefix, max_tokens, n)
        )

    @asynccontextmanager
    async def _session(self, client: Any) -> AsyncIterator[Session]:
        """Yield the session of the current search, or a new one."""
        current = Session.current(self, client)
        if current is not None:
            yield current
            return
        named = client if isinstance(client, NamedServer) else None
        async with opened(client, **self._endpoint_options(named)) as model:
            raw = self.raw if named is None or named.raw is None else named.raw
            session = Session(
                owner=self,
                client=client,
                model=model,
                raw=raw,
                meter=UsageMeter(),
                emit=next(iter(self._observers()), lambda _: None),
            )
            with session.entered():
                yield session
