"""Fields of the server's own in requests: template arguments, reasoning effort, routing, grammars, tools.

Most are appended to every request as they are. Grammars, response formats and tools (`format_fields`) decide
what an answer may be: dialects put them where their server wants them, and only in requests that sample.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from trio_beam.errors import ConfigError

#: The default of every ``extra_body``.
NO_FIELDS: Mapping[str, Any] = MappingProxyType({})


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_DISTRIBUTION = (
    "it would change the distribution that is searched, so the search sends a neutral value"
)
_FORM = "the search sets it to be able to read the response"
#: Fields that the search itself sets in some dialect, each group with the reason.
_REASONS = {
    "prompt messages input_ids tokens content": "the prompt and the beams travel in it",
    "model": "Endpoint(model=...) names the model",
    "n n_cmpl best_of": "beam_width and n_per_beam are the number of texts",
    "max_tokens max_completion_tokens n_predict truncate shift": (
        "max_tokens and tokens_per_step are the length"
    ),
    "temperature": "proposal_temperature is the temperature",
    "seed random_seed": "seed is the seed",
    "stop": "stop has the texts that end a beam, which are cut on our side",
    "logprobs top_logprobs n_probs return_logprob logprob_start_len top_logprobs_num"
    " return_text_in_logprobs": (
        "the strategy decides whether log-probabilities are needed, and top_logprobs how many are shown"
    ),
    "top_p top_k min_p typical_p samplers repeat_penalty repetition_penalty": _DISTRIBUTION,
    "sampling_params options": "the search sets what is in it",
    "logit_bias allowed_token_ids": "the search uses it to ask for missing log-probabilities",
    "stream stream_options": "Endpoint(stream=True) asks for streams",
    "think": "thinking has to stay in the text to be continued",
    "return_tokens return_token_ids response_fields echo add_special parse_special cache_prompt raw"
    " include_stop_str_in_output post_sampling_probs skip_special_tokens add_special_tokens return_token_strs"
    " add_generation_prompt continue_final_message _debug_render_only": _FORM,
}
RESERVED = {name: reason for names, reason in _REASONS.items() for name in names.split()}
#: Fields that change what is sampled but not the log-probabilities a server reports.
_SHAPING = _names(
    "frequency_penalty presence_penalty repeat_last_n mirostat mirostat_tau mirostat_eta tfs_z top_a"
    " dry_multiplier xtc_probability dynatemp_range length_penalty min_tokens ignore_eos bad_words"
)
#: Fields that allow only some texts, in the spellings of all servers.
CONSTRAINTS = _names(
    "response_format grammar json_schema structured_outputs guided_json"
    " guided_regex guided_choice guided_grammar guided_decoding_backend guided_whitespace_pattern regex ebnf"
    " structural_tag format"
)
TOOLS = _names("tools tool_choice parallel_tool_calls functions function_call")


def as_fields(given: Any) -> Any:
    """Validate fields and copy them (attrs converter).

    Raises:
        ConfigError: they are not a JSON object, or contain a field that the search itself sets.
    """
    given = NO_FIELDS if given is None else given
    if not isinstance(given, Mapping) or not all(isinstance(name, str) for name in given):
        raise ConfigError("extra_body", "a mapping of field names to JSON values", given)
    for name in sorted(given.keys() & RESERVED):
        error = ConfigError("extra_body", f"without {name!r}", name)
        error.args = (f"extra_body cannot have {name!r}: {RESERVED[name]}",)
        raise error
    try:
        written = json.dumps(dict(given), allow_nan=False, ensure_ascii=False)
        written.encode()  # a lone surrogate stands for a byte that was not UTF-8
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigError("extra_body", "JSON values only", str(error)) from None
    return json.loads(written)


def format_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that decide what an answer may be: grammars, response formats and tools."""
    return {
        name: value
        for name, value in fields.items()
        if name in CONSTRAINTS | TOOLS and value not in (None, [], {}, {"type": "text"})
    }


def has_tools(fields: Mapping[str, Any]) -> bool:
    """Return whether fields have tools, so that an answer may be a call of one."""
    return any(fields.get(name) for name in ("tools", "functions"))


def other_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that are appended to requests as they are."""
    return {name: value for name, value in fields.items() if name not in CONSTRAINTS | TOOLS}


def shapes(fields: Mapping[str, Any]) -> bool:
    """Return whether fields change the sampled distribution, so that no block is exact."""
    return bool(_SHAPING & fields.keys() or format_fields(fields))
