"""Sample one beam outside a search."""

from __future__ import annotations

from trio_beam.compat.expansion import Result
from trio_beam.compat.session import Session
from trio_beam.compat.text_beam import TextBeam
from trio_beam.core.beam import Beam
from trio_beam.core.config import BeamSearchConfig
from trio_beam.core.events import Event, SamplesReceived
from trio_beam.core.language_model import RequestContext
from trio_beam.core.prompt import PromptLike, check_prompt
from trio_beam.core.steps import Expansion, Outcome, Reaction, Round, Sampling
from trio_beam.engine.round import run_round


async def sample(
    session: Session, prompt: PromptLike, expansion: Expansion, config: BeamSearchConfig
) -> Result:
    """Sample continuations of a beam, by as many requests as the server requires.

    Raises:
        EndpointError: a request failed.
    """
    sampling = Sampling.of(config, enumerate=False, proposal_logprobs=False)
    alone = Round(number=1, purpose="expand", expansions=(expansion,), sampling=sampling)
    receiver = _One()

    def emit(event: Event) -> None:
        if not isinstance(event, SamplesReceived):  # this round is a part of the search's
            session.emit(event)

    with session.call() as meter:
        context = RequestContext(meter=meter, emit=emit)
        sampler = await session.start(check_prompt(session.asked(prompt)), context)
        await run_round(sampler, alone, receiver, meter, emit)
        outcome = receiver.outcome
        if outcome.errors:
            raise outcome.errors[0]
        samples = [TextBeam.of_beam(Beam().extend(block), config.alpha) for block in outcome.blocks]
        return samples, meter.prompt_tokens, meter.completion_tokens + outcome.generated


class _One:
    """Receives the only outcome of a round outside a search."""

    outcome: Outcome

    def receive(self, outcome: Outcome) -> Reaction:
        self.outcome = outcome
        return Reaction()
