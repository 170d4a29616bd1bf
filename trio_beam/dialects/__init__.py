"""How server families speak the protocol: one dialect a file, found by `dialects.base.DIALECTS`.

A dialect is pure: it says which request to send, as bytes, and what an answer means. An exchange
is a generator that yields requests and is sent their decoded answers, so a recorded answer is
enough to test it.
"""
