"""What a search has cost."""

from __future__ import annotations

import attrs


@attrs.frozen(kw_only=True)
class Usage:
    """What a search has cost, failed and cancelled requests included.

    Attributes:
        prompt_tokens: sum over all answers of what the server counted as prompt (0 where it
            does not count).
        completion_tokens: tokens generated, counted from the continuations themselves.
        requests: requests sent, retries included.
        retries: how many of them repeated one that had failed.
        cancelled: how many of them were given up before their answer was whole.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    requests: int = 0
    retries: int = 0
    cancelled: int = 0


class Ledger:
    """Where one search's requests are written down while they happen."""

    def __init__(self) -> None:
        self.prompt_tokens = 0
        self.completion_tokens = 0
        self.requests = 0
        self.retries = 0
        self.cancelled = 0

    def usage(self) -> Usage:
        """What stands written now."""
        return Usage(**vars(self))
