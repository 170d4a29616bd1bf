"""For tests of what is built on a search: a model without a server, and checks for models of your own."""

from trio_beam.testing.contract import check_language_model
from trio_beam.testing.fake import VOCABULARY, FakeEndpoint, distribution

__all__ = ["VOCABULARY", "FakeEndpoint", "check_language_model", "distribution"]
