"""The problem sets, one file each, and their helpers: rows, answers in texts, multiple choice."""
