"""With a budget of cost, the price of every model that generates must be known before anything is spent."""

from __future__ import annotations

from collections.abc import Iterator

from trio_beam.core.beam import Beam
from trio_beam.core.language_model import LanguageModel, RequestContext, Sampler, price_of
from trio_beam.core.model_answer import ModelAnswer
from trio_beam.core.model_scorer import ModelScorer
from trio_beam.core.prompt import Prompt
from trio_beam.core.strategy import Strategy


async def note_prices(sampler: Sampler, strategy: Strategy, context: RequestContext) -> None:
    """Set the price of the searched model on the meter; with ``max_cost``, require all prices.

    A reward model's may be unknown: it generates nothing, and its requests count as unpriced.

    Raises:
        ConfigError: there is a budget of cost, and a model whose price is unknown.
        EndpointError: such a model could not be reached.
    """
    meter = context.meter
    meter.price = price_of(sampler)
    if strategy.max_cost is None:
        return
    meter.require_price(meter.price)
    for other in _other_models(strategy):
        asked = await other.start(Prompt(text=""), context)
        meter.require_price(price_of(asked))


def _other_models(strategy: Strategy) -> Iterator[LanguageModel]:
    for name in ("scorer_part", "answer_part"):
        part = getattr(strategy, name, None)
        if isinstance(part, ModelAnswer):
            part = part.question((Beam(),))
        if isinstance(part, ModelScorer) and part.model is not None:
            yield part.model
