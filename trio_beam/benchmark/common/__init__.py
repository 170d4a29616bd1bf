"""Shared by all of the benchmark runner: problems and grades, optional packages, near misses of names."""
