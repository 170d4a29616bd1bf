"""Observers of a search, one per file. Any callable that takes one event is an observer."""

from trio_beam.core.events import Event, Observer
from trio_beam.observers.debug import DebugLines
from trio_beam.observers.log import Log
from trio_beam.observers.trace import Trace

__all__ = ["DebugLines", "Event", "Log", "Observer", "Trace"]
