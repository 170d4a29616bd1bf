"""How server families speak the protocol: one dialect a file, found by name in `DIALECTS`.

A dialect is pure: it says which request to send, as bytes, and what its response means. An exchange
is a generator that yields requests and is sent their decoded responses, so a recorded response is
enough to test it.
"""

from trio_beam.dialects.common.dialect import DIALECTS, Answer, Dialect, Exchange, WireRequest
from trio_beam.dialects.common.limits import Limits

__all__ = ["DIALECTS", "Answer", "Dialect", "Exchange", "Limits", "WireRequest"]
