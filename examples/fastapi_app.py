"""A web service: FastAPI runs on asyncio, and `trio_beam.asyncio` has the same verbs for it.

pip install fastapi uvicorn
uvicorn --app-dir examples fastapi_app:app
curl 'http://127.0.0.1:8000/continue?prompt=Once+upon+a+time'
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Annotated, Any

from fastapi import FastAPI, HTTPException, Query, Request

import trio_beam
import trio_beam.asyncio

CONFIG = trio_beam.BeamSearchConfig(tokens_per_step=8, max_tokens=24, seed=1)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """One endpoint for all requests, open as long as the service is."""
    async with AsyncExitStack() as stack:
        base_url = os.environ.get("OPENAI_BASE_URL")
        if not base_url:
            base_url = await stack.enter_async_context(trio_beam.asyncio.serve_local())
        endpoint = trio_beam.asyncio.Endpoint(base_url, max_concurrent=8)
        app.state.endpoint = await stack.enter_async_context(endpoint)
        yield


app = FastAPI(lifespan=lifespan)


@app.get("/continue")
async def continue_text(
    request: Request,
    prompt: Annotated[str, Query(min_length=1)],
    seconds: Annotated[float, Query(gt=0, le=60)] = 30.0,
) -> dict[str, Any]:
    """Continue a prompt; 504 if that takes too long, 502 if the model's server fails."""
    try:
        async with asyncio.timeout(seconds):  # cancels the search, down to its sockets
            result = await trio_beam.asyncio.search(request.app.state.endpoint, prompt, CONFIG)
    except TimeoutError:
        raise HTTPException(504, "the model takes too long") from None
    except trio_beam.SearchFailed as error:
        raise HTTPException(502, str(error)) from error
    return {
        "text": result.text,
        "score": result.score,
        "tokens": result.usage.completion_tokens,
    }
