"""A prompt as vLLM takes it: a text in the first round, token ids from then on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from trio_beam.core.beam import Beam
from trio_beam.dialects.common.encoding import PrefixEncoder
from trio_beam.errors import MalformedResponse


@attrs.define(kw_only=True, eq=False)
class PreparedPrompt:
    """A prompt: its text in JSON, its ids once known, or both."""

    text: bytes | None
    ids: list[int] | None
    prefix: PrefixEncoder
    constraint: Mapping[str, Any]
    opening: str | None = None

    def json(self, beam: Beam) -> bytes:
        """Encode the prompt followed by a beam."""
        if self.ids is None:
            if beam.continuation is not None or self.text is None:
                raise MalformedResponse("the server did not send the token ids of the prompt")
            return self.text
        return b"[%s%s]" % (",".join(map(str, self.ids)).encode(), self.prefix(beam))
