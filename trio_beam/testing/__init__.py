"""Test helpers: models without a server, and contract checks for your own models."""

from trio_beam.testing.contract import check_language_model
from trio_beam.testing.fake import VOCABULARY, FakeEndpoint, distribution
from trio_beam.testing.scripted import Reply, ReplyLike, Script, ScriptedModel

__all__ = [
    "VOCABULARY",
    "FakeEndpoint",
    "Reply",
    "ReplyLike",
    "Script",
    "ScriptedModel",
    "check_language_model",
    "distribution",
]
