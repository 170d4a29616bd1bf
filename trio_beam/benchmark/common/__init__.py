"""Shared by the whole benchmark runner: problems and grades, optional packages, near misses of names."""
