"""Fields added to every request: template arguments, reasoning effort, routing. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import msgspec

from trio_beam.errors import ConfigError


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: Fields that the search itself sets in some dialect; overriding one would change the search.
RESERVED = _names(
    "prompt messages model n n_cmpl best_of max_tokens max_completion_tokens n_predict temperature seed"
    " random_seed top_p top_k min_p typical_p samplers repeat_penalty repetition_penalty sampling_params"
    " options logprobs top_logprobs n_probs return_logprob logprob_start_len top_logprobs_num"
    " return_text_in_logprobs return_tokens return_token_ids response_fields logit_bias allowed_token_ids"
    " stream stream_options stop echo input_ids tokens content add_special parse_special cache_prompt raw"
    " think truncate shift add_generation_prompt continue_final_message _debug_render_only"
)
#: Fields that change what is sampled but not the log-probabilities a server reports.
_SHAPING = _names(
    "frequency_penalty presence_penalty repeat_last_n mirostat mirostat_tau mirostat_eta tfs_z top_a"
    " dry_multiplier xtc_probability dynatemp_range length_penalty min_tokens ignore_eos bad_words"
)


@attrs.frozen
class ExtraBody:
    """Validated extra fields.

    Attributes:
        json: members of a JSON object after a leading comma; empty if there are none.
        shapes: whether they change the sampled distribution, so that no block is exact.
    """

    json: bytes = b""
    shapes: bool = False

    @classmethod
    def parse(cls, fields: Mapping[str, Any] | None) -> ExtraBody:
        """Validate the caller's fields.

        Raises:
            ConfigError: they are not a JSON object, or contain a field that the search itself sets.
        """
        if not fields:
            return cls()
        if not isinstance(fields, Mapping) or not all(isinstance(name, str) for name in fields):
            raise ConfigError("extra_body", "a mapping of field names to JSON values", fields)
        taken = sorted(RESERVED & fields.keys())
        if taken:
            bound = "without fields that the search sets itself (use its own parameters)"
            raise ConfigError("extra_body", bound, ", ".join(taken))
        try:
            encoded = msgspec.json.encode(dict(fields))
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise ConfigError("extra_body", "JSON values only", str(error)) from None
        return cls(b"," + encoded[1:-1], bool(_SHAPING & fields.keys()))

    def added_to(self, body: bytes) -> bytes:
        """Return the JSON object with these fields appended."""
        return body[:-1] + self.json + b"}"
