"""The table of quirks: what servers do otherwise than the protocol says, from public reports."""

from tests.servers.quirks.front import QuirkyFront, quirky_proxy
from tests.servers.quirks.known_model import KnownModel
from tests.servers.quirks.quirk import QUIRKS, Quirk
from trio_beam.core.registry import load_all

load_all("tests.servers.quirks.table")

__all__ = ["QUIRKS", "KnownModel", "Quirk", "QuirkyFront", "quirky_proxy"]
