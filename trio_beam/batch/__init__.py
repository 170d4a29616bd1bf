"""``trio-beam batch``: a search for each prompt of a file, as many prompts as there are.

A run is a folder. `prompts` reads the file; `work` keeps its records on disk, so that memory does not grow
with them; `folder` holds the run's answers and what they depend on; `run` searches.
"""
