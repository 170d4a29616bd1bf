"""trio_beam for asyncio: the same verbs, awaited in asyncio code.

::

    async with trio_beam.asyncio.Endpoint("http://127.0.0.1:8000/v1") as endpoint:
        result = await trio_beam.asyncio.search(endpoint, "Once upon a time")

Trio runs as a guest of the loop, in the same thread. Cancelling the task (also by `asyncio.timeout`) cancels
the search, and when the call has returned or raised nothing of it is left. Configurations, results and errors
are those of `trio_beam`. A scorer that is a coroutine function is awaited in asyncio, and so are asynchronous
prompts; a language model of your own is Trio's.
"""

from trio_beam.asyncio.endpoint import Endpoint, serve_local
from trio_beam.asyncio.verbs import (
    Outcomes,
    beam_search,
    beam_search_within,
    mcmc,
    mcmc_within,
    search,
    search_many,
    search_within,
)

__all__ = [
    "Endpoint",
    "Outcomes",
    "beam_search",
    "beam_search_within",
    "mcmc",
    "mcmc_within",
    "search",
    "search_many",
    "search_within",
    "serve_local",
]
