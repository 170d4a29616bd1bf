"""Any JSON is a search or a refusal in OpenAI's shape, never a bug."""

from __future__ import annotations

from typing import Any

import attrs
import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from trio_beam.gateway.aliases import Aliases, Named
from trio_beam.gateway.api_error import ApiError
from trio_beam.gateway.fields import TAKEN_AS, ChatFields, CompletionFields
from trio_beam.gateway.limits import Limits
from trio_beam.gateway.passed import PASSED
from trio_beam.gateway.request import Parser
from trio_beam.strategies import STRATEGIES, strategy_options

#: Values that fields may be given, right and wrong.
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["", "m", "m@beam-2x2", "m@greedy", "a", "(", "resample", "judge", "vote"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["name", "role", "content", "x"]), inner, max_size=3)
    ),
    max_leaves=4,
)
NAMES = [
    *TAKEN_AS,
    *PASSED["chat"],
    *(one.name for kind in (ChatFields, CompletionFields) for one in attrs.fields(kind)),
]
PARAMETERS = sorted({one.name for name in STRATEGIES.names() for one in strategy_options(name)})
SEARCHES = st.fixed_dictionaries(
    {},
    optional={
        "strategy": st.sampled_from([*STRATEGIES.names(), "vote-3", "nothing"]),
        "within": VALUES,
    },
).flatmap(
    lambda search: st.dictionaries(st.sampled_from(PARAMETERS), VALUES, max_size=2).map(
        lambda more: {**more, **search}
    )
)
BODIES = st.tuples(
    st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=3), st.none() | SEARCHES
)


@settings(max_examples=200)
@given(st.sampled_from(["chat", "completions"]), BODIES)
def test_any_body(call: Any, parts: tuple[dict[str, Any], Any]) -> None:
    fields, search = parts
    prompt = {"messages": [{"role": "user", "content": "a"}]} if call == "chat" else {"prompt": "a"}
    body = msgspec.json.encode({"model": "m", **prompt, "search": search, **fields})
    parser = Parser(model="m", aliases=Aliases(), default=Named("beam_search"))
    refusal = None
    try:
        found = parser.parse(call, body, {})
        Limits().applied_to(found.strategy)
    except ApiError as error:
        refusal = error
    if refusal is None:
        assert found.n <= found.strategy.max_beams
    else:
        assert refusal.status in (400, 404)
        assert msgspec.json.encode(refusal.body)
