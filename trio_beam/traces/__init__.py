"""Traces of searches: the lines of the file, how to read them, and how to decide a search again from them.

`format` has the lines by kind; `values` and `strategies` turn what a search is made of into plain values and
back; `reader` reads a file, also while it grows; `samples` finds what was sampled for a beam; `replaying`
decides a search again. `observers.Trace` writes them.
"""

from trio_beam.traces.reader import RecordedSearch, RecordedTrace, read_trace
from trio_beam.traces.replaying import replay

__all__ = [
    "RecordedSearch",
    "RecordedTrace",
    "read_trace",
    "replay",
]
