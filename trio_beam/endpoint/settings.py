"""Declarations of the arguments of an endpoint."""

from __future__ import annotations

from typing import Literal

import attrs

from trio_beam.core.validation import integer, number, one_of
from trio_beam.dialects.common.dialect import Api


@attrs.define(kw_only=True)
class EndpointSettings:
    """Arguments validated by the same declarations as configurations."""

    api: Api = one_of("auto", "completions", "chat")
    max_concurrent: int | Literal["auto"] = integer(minimum=1, choices=("auto",))
    requests_per_minute: int | None = integer(minimum=1, optional=True)
    tokens_per_minute: int | None = integer(minimum=1, optional=True)
    max_n: int | None = integer(minimum=1, optional=True)
    attempt_timeout: float | None = number(above=0, optional=True)
    connect_timeout: float | None = number(above=0, optional=True)
    keepalive_expiry: float = number(minimum=0)
    max_answer_bytes: int = integer(minimum=1)
    hedge_after: float | Literal["p95"] | None = number(above=0, optional=True, choices=("p95",))
    hedge_share: float = number(minimum=0, maximum=1)
    stream: bool | Literal["auto"] = one_of(False, True, "auto")
    max_cost: float | None = number(above=0, optional=True, unit="USD")
