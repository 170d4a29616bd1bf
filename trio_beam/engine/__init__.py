"""Searches on Trio: rounds as nurseries, the search loops, and many prompts at once. Private."""
