"""The search itself, as data and plain functions.

Rule 1: nothing here knows of trio, of httpx, of a clock or of global randomness; it imports the
standard library, attrs and ``trio_beam.errors`` only (a test holds that).
Rule 2: everything that crosses the border is frozen: actions out, outcomes in.
"""
