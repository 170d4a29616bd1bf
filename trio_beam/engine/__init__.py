"""Searches on Trio: one round as a nursery, the loops around it, and many prompts at once. Private."""
