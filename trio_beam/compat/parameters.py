"""The original's parameters, converted to configurations of ours."""

from __future__ import annotations

import math
from typing import Any

from trio_beam.compat.clients import NamedServer
from trio_beam.core.config import BeamSearchConfig
from trio_beam.core.events import Observer
from trio_beam.core.seeds import base_seed, sample_number
from trio_beam.core.validation import check_integer, check_number
from trio_beam.endpoint.endpoint import Endpoint
from trio_beam.http.clients import AsyncClient
from trio_beam.observers.debug import DebugLines


class Parameters:
    """Parameters of `BeamSearchConfig` and `Endpoint` under the original's names and in its order.

    Raises:
        ConfigError: a parameter is out of bounds.
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
        *,
        raw: bool = False,
        dialect: str = "auto",
        http_client: AsyncClient | None = None,
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
        self.raw = raw
        self.dialect = dialect
        self.http_client = http_client
        self.name = f"BeamSearch(α={alpha},width={beam_width},n={n_per_beam},tps={tokens_per_step})"
        check_number("timeout", timeout, 0, above=True)
        check_integer("max_concurrent", max_concurrent, 1)
        self._config(tokens_per_step)  # report invalid parameters here, not at the first call
        Endpoint("http://127.0.0.1", **self._endpoint_options(None))

    def _calculate_beam_score(self, log_target: list[float], length: int) -> float:
        """Return the score of `length` tokens with these values of alpha * log p; higher is better."""
        if length == 0:
            return -math.inf
        divisor = float(length**self.length_penalty) if self.use_length_penalty else 1.0
        return sum(log_target) / divisor

    def _endpoint_options(self, named: NamedServer | None) -> dict[str, Any]:
        return {
            "dialect": (named and named.dialect) or self.dialect,
            "http_client": (named and named.http_client) or self.http_client,
            "max_concurrent": self.max_concurrent,
            "max_n": None if self.supports_n_param else 1,
            "attempt_timeout": self.timeout,
        }

    def _observers(self) -> list[Observer]:
        return [DebugLines()] if self.debug else []

    def _seed(self, block_num: int, rank: int, text: str = "") -> int | None:
        """Derive a seed for a beam (or text) of a block from the search's seed."""
        if self.seed is None:
            return None
        number = sample_number(block_num + 1, rank, 0, width=self.beam_width, n=self.n_per_beam)
        return base_seed(self.seed, text) + number

    def _config(self, max_tokens: int, **parts: Any) -> BeamSearchConfig:
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
            reasoning="off",  # the original knows no thinking
            **parts,
        )
