"""The interface of the asyncio original, for its users: a plain call that blocks until it is done."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Protocol

import attrs
import trio

from trio_beam.core.beam import Beam
from trio_beam.core.config import BeamSearchConfig
from trio_beam.core.events import Event
from trio_beam.core.language_model import RequestContext
from trio_beam.core.prompt import PromptLike, check_prompt
from trio_beam.core.seeds import base_seed, sample_number
from trio_beam.core.steps import Expansion, Outcome, Reaction, Round, Sampling
from trio_beam.core.usage import UsageMeter
from trio_beam.core.validation import check_integer, check_number
from trio_beam.endpoint.endpoint import Endpoint
from trio_beam.engine.round import run_round
from trio_beam.engine.search import beam_search
from trio_beam.errors import ConfigError, TrioBeamError
from trio_beam.observers.debug import DebugLines
from trio_beam.scorers.power import Power

#: (text, token texts, log p, alpha * log p, whether the model ended), as in the original.
_Sample = tuple[str, list[str], list[float], list[float], bool]


class Client(Protocol):
    """Names an endpoint: an ``openai.OpenAI`` will do."""

    @property
    def api_key(self) -> Any:
        """A string or None."""

    @property
    def base_url(self) -> Any:
        """A string, or something whose ``str`` is one."""


class BeamSearchSampling:
    """Beam search as one synchronous call, with the original's parameters.

    The parameters are those of `BeamSearchConfig` and `Endpoint`; only these differ:

    Args:
        debug: print the original's ``[BeamSearch]`` lines.
        supports_n_param: False sends a request for each continuation.
        timeout: seconds for one attempt of a request.

    Raises:
        ConfigError: a parameter is out of its bounds.
    """

    def __init__(
        self,
        alpha: float = 4.0,
        beam_width: int = 2,
        n_per_beam: int = 2,
        tokens_per_step: int = 192,
        use_length_penalty: bool = True,
        length_penalty: float = 0.6,
        proposal_temperature: float = 1.0,
        top_logprobs: int = 5,
        debug: bool = False,
        supports_n_param: bool = True,
        max_concurrent: int = 100,
        timeout: float = 300.0,
        seed: int | None = None,
    ) -> None:
        self.alpha = alpha
        self.beam_width = beam_width
        self.n_per_beam = n_per_beam
        self.tokens_per_step = tokens_per_step
        self.use_length_penalty = use_length_penalty
        self.length_penalty = length_penalty
        self.proposal_temperature = proposal_temperature
        self.top_logprobs = top_logprobs
        self.debug = debug
        self.supports_n_param = supports_n_param
        self.max_concurrent = max_concurrent
        self.timeout = timeout
        self.seed = seed
        self.name = f"BeamSearch(α={alpha},width={beam_width},n={n_per_beam},tps={tokens_per_step})"
        self._num_expansions = 0
        self._best_score = 0.0
        check_number("timeout", timeout, 0, above=True)
        check_integer("max_concurrent", max_concurrent, 1)
        self._config(tokens_per_step)  # a bad parameter is known here, not at the first call

    def generate(
        self, client: Client, prompt: PromptLike, max_tokens: int = 512
    ) -> tuple[str, int, int]:
        """Search, and block until it is done.

        Args:
            client: has ``api_key``, ``base_url`` and, if the server lists several models,
                ``default_model``.
            prompt: as for `beam_search`.
            max_tokens: greatest length of the completion, in tokens.

        Returns:
            The completion, and the prompt and completion tokens of all requests together.

        Raises:
            TrioBeamError: called inside Trio; there, use `beam_search`.
            SearchFailed: as `beam_search`.
        """
        if trio.lowlevel.in_trio_run():
            raise TrioBeamError(
                "generate() blocks, so it cannot be called inside Trio:"
                " use `await trio_beam.beam_search(endpoint, prompt, config)` there"
            )

        async def main() -> tuple[str, int, int]:
            model = getattr(client, "default_model", None)
            return await self._run_with_client(
                client.api_key, client.base_url, model, prompt, max_tokens
            )

        return _run_in_asyncio(main) if _in_asyncio() else trio.run(main)

    def get_num_expansions(self) -> int:
        """Blocks that the last search went through; 0 before the first."""
        return self._num_expansions

    def get_best_score(self) -> float:
        """Score of the last search's best beam; 0.0 before the first."""
        return self._best_score

    async def _run_with_client(
        self, api_key: Any, base_url: Any, model: str | None, prompt: PromptLike, max_tokens: int
    ) -> tuple[str, int, int]:
        """Open an endpoint, search on it, and close it whatever happens."""
        if api_key is not None and not isinstance(api_key, str):
            raise ConfigError("client.api_key", "a string or None", type(api_key).__name__)
        async with Endpoint(
            str(base_url) if base_url else "https://api.openai.com/v1",
            model=model,
            api_key=api_key or None,
            max_concurrent=self.max_concurrent,
            max_n=None if self.supports_n_param else 1,
            attempt_timeout=self.timeout,
        ) as endpoint:
            return await self._generate_async(endpoint, prompt, max_tokens)

    async def _generate_async(
        self, client: Endpoint, prompt: PromptLike, max_tokens: int = 512
    ) -> tuple[str, int, int]:
        """Search on an open endpoint: (completion, prompt tokens, completion tokens)."""
        observers = [DebugLines()] if self.debug else []
        result = await beam_search(client, prompt, self._config(max_tokens), observers=observers)
        self._num_expansions = result.rounds
        self._best_score = result.score
        return result.text, result.usage.prompt_tokens, result.usage.completion_tokens

    async def _expand_beams_parallel(
        self, client: Endpoint, active_beams: Sequence[Beam], prompt: PromptLike, block_num: int
    ) -> tuple[list[Beam], int, int]:
        """Expand all beams at the same time: (scored candidates, prompt tokens, completion tokens)."""
        expanded = [
            Expansion(
                rank=rank,
                beam=beam,
                n=self.n_per_beam,
                max_tokens=self.tokens_per_step,
                seed=self._seed(block_num, rank),
            )
            for rank, beam in enumerate(active_beams)
        ]
        keeper = await self._run_round(client, prompt, expanded, block_num)
        candidates = [
            expanded[rank].beam.extend(continuation)
            for rank, outcome in sorted(keeper.outcomes.items())
            for _, continuation in sorted(outcome.continuations.items())
        ]
        scores = Power()(candidates, keeper.config)
        scored = [
            attrs.evolve(candidate, score=score)
            for candidate, score in zip(candidates, scores, strict=True)
        ]
        return scored, keeper.meter.prompt_tokens, keeper.completion_tokens

    async def _sample_continuation_multiple_async(
        self, client: Endpoint, prompt: str, prefix: str, max_tokens: int, n: int
    ) -> tuple[list[_Sample], int, int]:
        """Sample n continuations of a text: (samples, prompt tokens, completion tokens)."""
        expansion = Expansion(
            rank=0, beam=Beam(), n=n, max_tokens=max_tokens, seed=self._seed(0, 0, prefix)
        )
        keeper = await self._run_round(client, prompt + prefix, [expansion], 0)
        samples: list[_Sample] = []
        for _, continuation in sorted(keeper.outcomes[0].continuations.items()):
            log_p = [token.logprob for token in continuation.tokens]
            texts = [token.text for token in continuation.tokens]
            target = [self.alpha * value for value in log_p]
            text = continuation.data.decode("utf-8", "replace")
            samples.append((text, texts, log_p, target, continuation.finish_reason == "stop"))
        return samples, keeper.meter.prompt_tokens, keeper.completion_tokens

    async def _run_round(
        self, client: Endpoint, prompt: PromptLike, expansions: Sequence[Expansion], number: int
    ) -> _OneRound:
        keeper = _OneRound(self._config(self.tokens_per_step))
        context = RequestContext(meter=keeper.meter, emit=_ignore)
        sampler = await client.start(check_prompt(prompt), context)
        sampling = Sampling.of(keeper.config, enumerate=False, proposal_logprobs=False)
        expand = Round(
            number=number, purpose="expand", expansions=tuple(expansions), sampling=sampling
        )
        await run_round(sampler, expand, keeper, keeper.meter, _ignore)
        for outcome in keeper.outcomes.values():
            if outcome.errors:
                raise outcome.errors[0]
        return keeper

    def _seed(self, block_num: int, rank: int, text: str = "") -> int | None:
        """A seed for each beam (or text) of each block, derived from the search's own."""
        if self.seed is None:
            return None
        number = sample_number(block_num + 1, rank, 0, width=self.beam_width, n=self.n_per_beam)
        return base_seed(self.seed, text) + number

    def _config(self, max_tokens: int) -> BeamSearchConfig:
        return BeamSearchConfig(
            alpha=self.alpha,
            beam_width=self.beam_width,
            n_per_beam=self.n_per_beam,
            tokens_per_step=self.tokens_per_step,
            max_tokens=max_tokens,
            use_length_penalty=self.use_length_penalty,
            length_penalty=self.length_penalty,
            proposal_temperature=self.proposal_temperature,
            top_logprobs=self.top_logprobs,
            seed=self.seed,
        )


class _OneRound:
    """Keeps the outcomes of a single round, without a search around it."""

    def __init__(self, config: BeamSearchConfig) -> None:
        self.config = config
        self.meter = UsageMeter()
        self.outcomes: dict[int, Outcome] = {}

    def receive(self, outcome: Outcome) -> Reaction:
        self.outcomes[outcome.rank] = outcome
        return Reaction()

    @property
    def completion_tokens(self) -> int:
        return sum(
            continuation.generated
            for outcome in self.outcomes.values()
            for continuation in outcome.continuations.values()
        )


def _ignore(_: Event) -> None:
    pass


def _in_asyncio() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let Ctrl-C interrupt this thread; asyncio's own handler would wait for the loop, which waits."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _run_in_asyncio(main: Callable[[], Awaitable[tuple[str, int, int]]]) -> tuple[str, int, int]:
    """Run under a loop of another library: in a thread, since signals can have one owner only.

    Blocks the loop, as a synchronous call does. Ctrl-C cancels the search before it passes on.
    """
    scope = trio.CancelScope()
    token: list[trio.lowlevel.TrioToken] = []
    outcome: list[tuple[str, int, int] | BaseException] = []

    async def cancellable() -> None:
        token.append(trio.lowlevel.current_trio_token())
        with scope:
            outcome.append(await main())

    def body() -> None:
        try:
            trio.run(cancellable)
        except BaseException as error:  # noqa: ASYNC103  # handed to the caller's thread
            outcome.append(error)

    thread = threading.Thread(target=body, name="trio_beam.generate")
    thread.start()
    try:
        with _interruptible():
            thread.join()
    except BaseException:
        # If it has not begun yet, or is over, there is nothing to cancel.
        with suppress(IndexError, trio.RunFinishedError):
            token[0].run_sync_soon(scope.cancel)
        thread.join()
        raise
    result = outcome[0]
    if isinstance(result, BaseException):
        raise result
    return result
