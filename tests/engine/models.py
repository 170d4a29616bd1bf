"""Models for the tests of the loops."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from trio_beam import Continuation, RequestContext, SampleRequest
from trio_beam.testing import FakeEndpoint


class WithoutProposal(FakeEndpoint):
    """A model that does not say how probable its samples were at another temperature."""

    async def sample(
        self, request: SampleRequest, context: RequestContext
    ) -> Sequence[Continuation]:
        return await super().sample(attrs.evolve(request, proposal_logprobs=False), context)
