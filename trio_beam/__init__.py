"""Block-level search over any OpenAI-compatible completion server, on Trio.

The packages from the bottom up; imports point down only, and a test checks that:

- `errors`: the error tree.
- `core`: pure: beams, configurations, search machines, events, results. On top of it, `scorers`,
  `selection`, `answers` and `strategies`: one file per part, registered by name.
- `dialects`: pure: the requests each server family takes, and the meaning of its responses.
- `http`: connections and requests; the only package that imports httpx. `endpoint`: one server with its
  limits, retries and capabilities.
- `rewards`: scorers that ask a server's reward model.
- `engine`: rounds as nurseries, the search loops, many prompts at once.
- `traces`: recorded searches, and how to decide one again. `records`: the lines of such files.
- `local`: the embedded model. `observers`: views of a search. `testing`: a model without a server.
- `asyncio`: the verbs for asyncio code. `compat`: the interface of the asyncio original. `command`: shared
  by all commands.
- Applications, which never import each other: `cli`, `benchmark`.

The exports of this package and of `asyncio`, `scorers`, `selection`, `answers`, `strategies`, `dialects`,
`observers` and `testing` are public; everything else is private and may change.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trio_beam.answers import Best, Select, Vote
    from trio_beam.compat.original import BeamSearchSampling
    from trio_beam.core.answer_rule import AnswerRule
    from trio_beam.core.beam import Beam
    from trio_beam.core.block import Continuation, Token
    from trio_beam.core.confidence import Confidence, ConfidenceLimit
    from trio_beam.core.config import BeamSearchConfig, Lookahead, Selection
    from trio_beam.core.delimiters import Steps
    from trio_beam.core.events import (
        BeamExpanded,
        BeamFailed,
        ChainExtended,
        ChainStepped,
        EvaluationStarted,
        Event,
        McmcStarted,
        Observer,
        PromptPrepared,
        RoundFinished,
        RoundStarted,
        SamplesReceived,
        SearchFinished,
        SearchStarted,
        SearchStopped,
    )
    from trio_beam.core.language_model import LanguageModel, RequestContext, Sampler, SampleRequest
    from trio_beam.core.mcmc_config import McmcConfig
    from trio_beam.core.model_scorer import ModelScorer
    from trio_beam.core.population import Population, ScoredRound
    from trio_beam.core.price import Price, Prices, TokenCounts
    from trio_beam.core.prompt import Prompt, PromptLike
    from trio_beam.core.request_events import (
        EndpointPaused,
        LimitChanged,
        RatePaused,
        RequestEnded,
        RequestHedged,
        RequestOrigin,
        RequestRetried,
        RequestSent,
        RequestWaiting,
    )
    from trio_beam.core.result import BeamFailure, ParticleRound, SearchFailed, SearchResult
    from trio_beam.core.reward_scorer import RewardScorer
    from trio_beam.core.scorer import AsyncScorer, Scorer
    from trio_beam.core.settling import Settling
    from trio_beam.core.statistics import LogEvidence, mean_log_evidence
    from trio_beam.core.strategy import Strategy
    from trio_beam.core.tool_calls import ToolCall
    from trio_beam.core.usage import Budget, Usage
    from trio_beam.core.usage_meter import UsageMeter
    from trio_beam.endpoint.cache import ResponseCache
    from trio_beam.endpoint.capabilities import Capabilities
    from trio_beam.endpoint.endpoint import Endpoint
    from trio_beam.endpoint.retry import RetryPolicy
    from trio_beam.endpoint.statistics import EndpointStatistics
    from trio_beam.engine.search import (
        Search,
        beam_search,
        beam_search_within,
        mcmc,
        mcmc_within,
        search,
        search_within,
    )
    from trio_beam.engine.search_many import SearchOutcome, search_many
    from trio_beam.errors import (
        AttemptTimeout,
        BeamTimeout,
        BudgetExhausted,
        CacheUnusable,
        ConfigError,
        ConnectionFailed,
        ContextOverflow,
        EndpointClosed,
        EndpointError,
        LocalModelError,
        LogprobsUnavailable,
        MalformedResponse,
        RateLimited,
        ReplayError,
        RequestRejected,
        RequestTooLarge,
        ScorerError,
        ServerError,
        TraceUnreadable,
        TrioBeamError,
        VoteError,
    )
    from trio_beam.http.transport import TrioTransport
    from trio_beam.local.keys import local_api_key
    from trio_beam.local.server import serve_local
    from trio_beam.rewards import RewardModel
    from trio_beam.scorers import Judge, MeanLogprob, Power, Rating
    from trio_beam.selection import Resample, Subtrees, TopK
    from trio_beam.traces import replay

__version__ = "0.2.0.dev0"

#: Where each public name is from. It is imported when it is first asked for: a command needs a part of them.
_EXPORTS = {
    "trio_beam.answers": ["Best", "Select", "Vote"],
    "trio_beam.compat.original": ["BeamSearchSampling"],
    "trio_beam.core.answer_rule": ["AnswerRule"],
    "trio_beam.core.beam": ["Beam"],
    "trio_beam.core.block": ["Continuation", "Token"],
    "trio_beam.core.confidence": ["Confidence", "ConfidenceLimit"],
    "trio_beam.core.config": ["BeamSearchConfig", "Lookahead", "Selection"],
    "trio_beam.core.delimiters": ["Steps"],
    "trio_beam.core.events": [
        "BeamExpanded",
        "BeamFailed",
        "ChainExtended",
        "ChainStepped",
        "EvaluationStarted",
        "Event",
        "McmcStarted",
        "Observer",
        "PromptPrepared",
        "RoundFinished",
        "RoundStarted",
        "SamplesReceived",
        "SearchFinished",
        "SearchStarted",
        "SearchStopped",
    ],
    "trio_beam.core.language_model": [
        "LanguageModel",
        "RequestContext",
        "Sampler",
        "SampleRequest",
    ],
    "trio_beam.core.mcmc_config": ["McmcConfig"],
    "trio_beam.core.model_scorer": ["ModelScorer"],
    "trio_beam.core.population": ["Population", "ScoredRound"],
    "trio_beam.core.price": ["Price", "Prices", "TokenCounts"],
    "trio_beam.core.prompt": ["Prompt", "PromptLike"],
    "trio_beam.core.request_events": [
        "EndpointPaused",
        "LimitChanged",
        "RatePaused",
        "RequestEnded",
        "RequestHedged",
        "RequestOrigin",
        "RequestRetried",
        "RequestSent",
        "RequestWaiting",
    ],
    "trio_beam.core.result": ["BeamFailure", "ParticleRound", "SearchFailed", "SearchResult"],
    "trio_beam.core.reward_scorer": ["RewardScorer"],
    "trio_beam.core.scorer": ["AsyncScorer", "Scorer"],
    "trio_beam.core.settling": ["Settling"],
    "trio_beam.core.statistics": ["LogEvidence", "mean_log_evidence"],
    "trio_beam.core.strategy": ["Strategy"],
    "trio_beam.core.tool_calls": ["ToolCall"],
    "trio_beam.core.usage": ["Budget", "Usage"],
    "trio_beam.core.usage_meter": ["UsageMeter"],
    "trio_beam.endpoint.cache": ["ResponseCache"],
    "trio_beam.endpoint.capabilities": ["Capabilities"],
    "trio_beam.endpoint.endpoint": ["Endpoint"],
    "trio_beam.endpoint.retry": ["RetryPolicy"],
    "trio_beam.endpoint.statistics": ["EndpointStatistics"],
    "trio_beam.engine.search": [
        "Search",
        "beam_search",
        "beam_search_within",
        "mcmc",
        "mcmc_within",
        "search",
        "search_within",
    ],
    "trio_beam.engine.search_many": ["SearchOutcome", "search_many"],
    "trio_beam.errors": [
        "AttemptTimeout",
        "BeamTimeout",
        "BudgetExhausted",
        "CacheUnusable",
        "ConfigError",
        "ConnectionFailed",
        "ContextOverflow",
        "EndpointClosed",
        "EndpointError",
        "LocalModelError",
        "LogprobsUnavailable",
        "MalformedResponse",
        "RateLimited",
        "ReplayError",
        "RequestRejected",
        "RequestTooLarge",
        "ScorerError",
        "ServerError",
        "TraceUnreadable",
        "TrioBeamError",
        "VoteError",
    ],
    "trio_beam.http.transport": ["TrioTransport"],
    "trio_beam.local.keys": ["local_api_key"],
    "trio_beam.local.server": ["serve_local"],
    "trio_beam.rewards": ["RewardModel"],
    "trio_beam.scorers": ["Judge", "MeanLogprob", "Power", "Rating"],
    "trio_beam.selection": ["Resample", "Subtrees", "TopK"],
    "trio_beam.traces": ["replay"],
}
_MODULES = {name: module for module, names in _EXPORTS.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import a public name, or a module of the package, at its first use."""
    if name in _MODULES:
        found = getattr(importlib.import_module(_MODULES[name]), name)
        globals()[name] = found
        return found
    if not name.startswith("_"):
        try:
            return importlib.import_module(f"{__name__}.{name}")
        except ModuleNotFoundError as error:
            if error.name != f"{__name__}.{name}":
                raise
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


__all__ = [
    "AnswerRule",
    "AsyncScorer",
    "AttemptTimeout",
    "Beam",
    "BeamExpanded",
    "BeamFailed",
    "BeamFailure",
    "BeamSearchConfig",
    "BeamSearchSampling",
    "BeamTimeout",
    "Best",
    "Budget",
    "BudgetExhausted",
    "CacheUnusable",
    "Capabilities",
    "ChainExtended",
    "ChainStepped",
    "Confidence",
    "ConfidenceLimit",
    "ConfigError",
    "ConnectionFailed",
    "ContextOverflow",
    "Continuation",
    "Endpoint",
    "EndpointClosed",
    "EndpointError",
    "EndpointPaused",
    "EndpointStatistics",
    "EvaluationStarted",
    "Event",
    "Judge",
    "LanguageModel",
    "LimitChanged",
    "LocalModelError",
    "LogEvidence",
    "LogprobsUnavailable",
    "Lookahead",
    "MalformedResponse",
    "McmcConfig",
    "McmcStarted",
    "MeanLogprob",
    "ModelScorer",
    "Observer",
    "ParticleRound",
    "Population",
    "Power",
    "Price",
    "Prices",
    "Prompt",
    "PromptLike",
    "PromptPrepared",
    "RateLimited",
    "RatePaused",
    "Rating",
    "ReplayError",
    "RequestContext",
    "RequestEnded",
    "RequestHedged",
    "RequestOrigin",
    "RequestRejected",
    "RequestRetried",
    "RequestSent",
    "RequestTooLarge",
    "RequestWaiting",
    "Resample",
    "ResponseCache",
    "RetryPolicy",
    "RewardModel",
    "RewardScorer",
    "RoundFinished",
    "RoundStarted",
    "SampleRequest",
    "Sampler",
    "SamplesReceived",
    "ScoredRound",
    "Scorer",
    "ScorerError",
    "Search",
    "SearchFailed",
    "SearchFinished",
    "SearchOutcome",
    "SearchResult",
    "SearchStarted",
    "SearchStopped",
    "Select",
    "Selection",
    "ServerError",
    "Settling",
    "Steps",
    "Strategy",
    "Subtrees",
    "Token",
    "TokenCounts",
    "ToolCall",
    "TopK",
    "TraceUnreadable",
    "TrioBeamError",
    "TrioTransport",
    "Usage",
    "UsageMeter",
    "Vote",
    "VoteError",
    "beam_search",
    "beam_search_within",
    "local_api_key",
    "mcmc",
    "mcmc_within",
    "mean_log_evidence",
    "replay",
    "search",
    "search_many",
    "search_within",
    "serve_local",
]
