"""The problem sets: one file each, and what they share: rows, answers in texts, multiple choice."""
