"""beam_search."""
