"""Cached, reasoning and cost-relevant counts in a response's `usage`, in all its spellings. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trio_beam.dialects.common.encoding import count_in

#: Objects with the parts of the prompt's count: OpenAI's, and that of its newer call.
_PROMPT_DETAILS = ("prompt_tokens_details", "input_tokens_details")
_ANSWER_DETAILS = ("completion_tokens_details", "output_tokens_details")
#: Tokens read from the cache: OpenAI's and most servers'; at the top DeepSeek's, Moonshot's and Anthropic's.
_CACHED = ("cached_tokens", "prompt_cache_hit_tokens", "cache_read_input_tokens")
#: Tokens written to it and charged for: OpenRouter's, LiteLLM's, Anthropic's.
_WRITTEN = ("cache_write_tokens", "cache_creation_tokens", "cache_creation_input_tokens")


def cached_tokens(usage: Any) -> int | None:
    """Return the number of prompt tokens read from the server's cache; None if it does not say."""
    return _first(usage, _PROMPT_DETAILS, _CACHED)


def written_tokens(usage: Any) -> int:
    """Return the number of prompt tokens written to the server's cache that it charges for."""
    return _first(usage, _PROMPT_DETAILS, _WRITTEN) or 0


def reasoning_tokens(usage: Any) -> int | None:
    """Return the number of tokens that were thinking, by the server's count; None if it has none."""
    return _first(usage, _ANSWER_DETAILS, ("reasoning_tokens",))


def charged_tokens(usage: Any) -> int:
    """Return the number of generated tokens that are charged for; 0 without a count.

    Some servers leave thinking out of ``completion_tokens``, but not out of the total (xAI, Gemini).
    """
    prompt, total = count_in(usage, "prompt_tokens"), count_in(usage, "total_tokens")
    rest = 0 if prompt is None or total is None else total - prompt
    return max(count_in(usage, "completion_tokens") or 0, rest)


def _first(usage: Any, details: tuple[str, ...], names: tuple[str, ...]) -> int | None:
    if not isinstance(usage, Mapping):
        return None
    places = [*(usage.get(name) for name in details), usage]
    counts = (count_in(place, name) for place in places for name in names)
    return next((count for count in counts if count is not None), None)
