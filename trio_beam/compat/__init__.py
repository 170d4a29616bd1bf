"""The interface of the asyncio original."""
