"""Test helpers: a model without a server, and contract checks for your own models."""

from trio_beam.testing.contract import check_language_model
from trio_beam.testing.fake import VOCABULARY, FakeEndpoint, distribution

__all__ = ["VOCABULARY", "FakeEndpoint", "check_language_model", "distribution"]
