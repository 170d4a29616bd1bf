"""Searches as a page: what it is given (`searches`, `recorded`), how it is put together (`page`), and a small
server for one that follows a growing trace (`live`). The page itself is `frontend/`, built into `static/`."""
