"""Describe a result in words for people."""

from __future__ import annotations

from collections.abc import Iterator

from trio_beam.core.printable import counted
from trio_beam.core.result import SearchResult
from trio_beam.core.strategy import Strategy
from trio_beam.observers.progress import list_scores

#: Answers that are listed with their shares of the votes.
_SHOWN_VOTES = 5


def describe_result(result: SearchResult, model: str, seconds: float) -> Iterator[str]:
    """Yield lines about the score, the votes and the cost of a result with an answer.

    Args:
        result: has a beam.
        model: its name; "" if it is not known.
        seconds: that the search took.
    """
    if result.votes:
        shares = [f"{answer} {share:.0%}" for answer, share in result.votes[:_SHOWN_VOTES]]
        yield f"votes: {', '.join(shares)}"
    yield ": ".join(filter(None, (f"score {result.score:.4f}", "; ".join(_score(result)))))
    usage = result.usage
    thrown = f" ({usage.discarded_tokens} thrown away)" if usage.discarded_tokens else ""
    thought = f" ({usage.reasoning_tokens} thinking)" if usage.reasoning_tokens else ""
    cached = f" and {usage.cached_responses} from the cache" if usage.cached_responses else ""
    spent = (
        f"{counted(usage.completion_tokens, 'token')}{thought}{thrown} in"
        f" {counted(usage.requests, 'request')}{cached},"
        f" {seconds:.1f} s"
    )
    if usage.cached_tokens is not None and usage.prompt_tokens:
        share = usage.cached_tokens / usage.prompt_tokens
        spent += f"; {usage.prompt_tokens} prompt tokens, {share:.0%} of them cached"
    spent = "; ".join(filter(None, (spent, usage.price_in_words)))
    yield f"{model}: {spent}" if model else spent


def _score(result: SearchResult) -> Iterator[str]:
    best = result.beams[0]
    sampled = best.sampled_length
    if best.logprob is not None and sampled:
        yield f"mean log-probability {best.logprob / sampled:.2f} a token ({sampled})"
    if best.step_scores:
        yield f"steps {list_scores(best.step_scores)}"
    if best.forced:
        yield "its thinking was ended by force"
    if best.weight is not None:
        yield f"drawn with {best.weight:.0%} of the weight"
    if result.effective_sample_size is not None:
        yield f"effective sample size {result.effective_sample_size:.1f}"
    if result.r_hat is not None:
        yield f"R-hat of the chains {result.r_hat:.2f}"
    if len(result.beams) > 1:
        yield f"the runner-up {result.beams[1].score:.4f}"


def explain_thinking(result: SearchResult, strategy: Strategy) -> str:
    """Say why a result has thinking or the beginning of a tool call, but no answer, and what to change."""
    best, length = result.beams[0], result.beams[0].length
    if best.begun_calls:
        return (
            f"no answer: the model was still writing a tool call after {length} tokens; raise --max-tokens"
            f" (now {strategy.max_tokens})"
        )
    if result.beams[0].finished:
        return f"the model thought for {length} tokens and ended its text without an answer"
    return (
        f"no answer: the model was still thinking after {length} tokens; raise --max-tokens (now"
        f" {strategy.max_tokens}), or let it think less (--reasoning-budget, or a field of the server's, such"
        """ as --extra-body '{"reasoning_effort": "low"}')"""
    )


def explain_nothing(result: SearchResult, strategy: Strategy, within: float | None) -> str:
    """Say why a search has no answer, and what to change."""
    shorter = f"shorter blocks (--tokens-per-step, now {strategy.tokens_per_step})"
    match result.stop_reason:
        case "deadline":
            return (
                f"nothing had come back after {within:g} s: give it more time (--within), or {shorter},"
                " which come back one by one"
            )
        case "budget":
            return (
                f"the budget was spent before anything had come back: raise --max-requests,"
                f" --max-total-tokens, --max-completion-tokens or --max-cost, or ask for {shorter}"
            )
        case reason:
            return f"there is no answer ({reason})"
