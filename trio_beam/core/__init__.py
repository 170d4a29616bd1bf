"""The search as data and plain functions.

Rule 1: nothing here uses trio, httpx, a clock or global randomness; only the standard library, attrs
and ``trio_beam.errors`` are imported (a test checks this).
Rule 2: steps that leave this package and outcomes that enter it are frozen.
"""
