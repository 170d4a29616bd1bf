"""Block-level beam search over any OpenAI-compatible completion server, on Trio.

The map, from the bottom up; imports point down only, and a test holds that:

- `errors`: the error tree.
- `core`: the search as data and plain functions: beams, scores, the state machine. With it
  `scorers` and `selection`: one file each.
- `dialects`, `backoff`: the wire, still pure: what to send to which server, and what its answer means.
- `language_model`, `stopwatch`, `transport`, `endpoint`: the shell: a server, its connections, its limits.
- `expansion`, `search`: one round as a nursery, and the loop around it; `judging`: what a judge is asked.
  `mcmc`: chains instead of rounds, with the same requests.
- `observers`: what can be shown while it runs. `testing`: a model without a server.
- `sync`, `batch`, `local_server`, `cli`: what is built on top.
"""

from trio_beam.compat.original import BeamSearchSampling
from trio_beam.core.beam import Beam
from trio_beam.core.block import Continuation, Token
from trio_beam.core.config import BeamSearchConfig
from trio_beam.core.judge import Judge
from trio_beam.core.language_model import Call, LanguageModel, Sampler, SampleRequest
from trio_beam.core.mcmc.config import McmcConfig
from trio_beam.core.registry import load_all
from trio_beam.core.result import BeamFailure, SearchResult
from trio_beam.core.usage import Usage
from trio_beam.endpoint.capabilities import Capabilities
from trio_beam.endpoint.endpoint import Endpoint, EndpointStatistics
from trio_beam.endpoint.retry import RetryPolicy
from trio_beam.engine.beam_search import Search, beam_search, beam_search_within
from trio_beam.engine.many import SearchOutcome, search_many
from trio_beam.engine.mcmc import mcmc, mcmc_within
from trio_beam.errors import (
    AttemptTimeout,
    BeamTimeout,
    BudgetExhausted,
    ConfigError,
    ConnectionFailed,
    ContextOverflow,
    EndpointError,
    LocalModelError,
    LogprobsUnavailable,
    MalformedResponse,
    RateLimited,
    RequestRejected,
    ScorerError,
    SearchFailed,
    ServerError,
    TrioBeamError,
    VoteError,
)
from trio_beam.local.server import serve_local

__version__ = "0.1.0"

# Each file of these adds what it has to a registry, by name.
for _package in ("trio_beam.scorers", "trio_beam.selection", "trio_beam.dialects"):
    load_all(_package)

__all__ = [
    "AttemptTimeout",
    "Beam",
    "BeamFailure",
    "BeamSearchConfig",
    "BeamSearchSampling",
    "BeamTimeout",
    "BudgetExhausted",
    "Call",
    "Capabilities",
    "ConfigError",
    "ConnectionFailed",
    "ContextOverflow",
    "Continuation",
    "Endpoint",
    "EndpointError",
    "EndpointStatistics",
    "Judge",
    "LanguageModel",
    "LocalModelError",
    "LogprobsUnavailable",
    "MalformedResponse",
    "McmcConfig",
    "RateLimited",
    "RequestRejected",
    "RetryPolicy",
    "SampleRequest",
    "Sampler",
    "ScorerError",
    "Search",
    "SearchFailed",
    "SearchOutcome",
    "SearchResult",
    "ServerError",
    "Token",
    "TrioBeamError",
    "Usage",
    "VoteError",
    "beam_search",
    "beam_search_within",
    "mcmc",
    "mcmc_within",
    "search_many",
    "serve_local",
]
