"""Searches as a page.

`searches` makes of a search what the page is given, `recorded` does so with a trace, `shown` lists several,
`page` puts the page together, and `live` serves one that follows a growing trace. The page itself is
`frontend/`, built into `static/`.
"""
