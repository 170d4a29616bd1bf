"""Traces of searches: the lines of the file, how to read them, and how to decide a search again from them.

`format` has the lines by kind; `values` and `strategies` turn what a search is made of into plain values and
back; `writing` makes lines of events, which `observers.Trace` puts into a file; `reader` reads it, also while
it grows; `tree` has the beams with what became of each. `samples` finds what was sampled for a beam, `scores`
what a function gave it, `serving` answers rounds with both, and `replaying` decides the search again.
"""

from trio_beam.traces.reader import RecordedSearch, RecordedTrace, read_trace
from trio_beam.traces.replaying import replay

__all__ = [
    "RecordedSearch",
    "RecordedTrace",
    "read_trace",
    "replay",
]
