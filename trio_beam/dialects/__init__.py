"""One dialect per server family and file, registered by name in `DIALECTS`.

A dialect is pure: it builds requests as bytes and interprets responses. An exchange is a generator
that yields requests and is sent their decoded responses, so a recorded response is enough to test it.
"""

from trio_beam.dialects.common.dialect import DIALECTS, Dialect
from trio_beam.dialects.common.exchange import Exchange, ExchangeResult, WireRequest
from trio_beam.dialects.common.limits import Limits

__all__ = ["DIALECTS", "Dialect", "Exchange", "ExchangeResult", "Limits", "WireRequest"]
