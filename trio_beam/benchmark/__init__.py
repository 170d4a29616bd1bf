"""Strategies measured on benchmarks: problems, their grading, and the runs that compare."""
