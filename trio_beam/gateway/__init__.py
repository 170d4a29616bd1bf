"""The gateway: searches behind the OpenAI protocol. Needs the extra ``gateway``.

Requests come in (`fields`, `aliases`), strategies run, responses go out (`responses`, `stream`). What a
strategy can do, it can do here without a line of its own.
"""
