"""The state machine does what the naive search does, for any answers in any order of arrival."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.core.beam_search import reference
from tests.core.beam_search.reference import Ask, Found, Sample
from tests.core.builders import block_of
from trio_beam.core.beam_search.machine import BeamSearchMachine
from trio_beam.core.block import Continuation, Token
from trio_beam.core.config import BeamSearchConfig
from trio_beam.core.delimiters import Steps
from trio_beam.core.result import SearchResult
from trio_beam.core.steps import Expansion, Finished, Outcome, Round

# Few tokens, so that equal texts and stop strings are common. Some with ids, some without, one
# that adds nothing to the text (end of text), one whose bytes differ from its text.
TOKENS = st.sampled_from(
    (
        ("a", 1, None),
        ("a", None, None),
        ("b", 2, None),
        ("ab", 3, None),
        ("", 0, b""),
        ("é", 4, None),
        ("?", None, "漢".encode()),
    )
)
# Sums of these are exact, so that ties are real ties and scores can be compared with ==.
LOGPROBS = st.sampled_from([0.0, -0.25, -0.5, -0.5, -1.0, -2.0])
REASONS = st.sampled_from(["length"] * 4 + ["stop", "stop", "content_filter"])

CONFIGS = st.builds(
    BeamSearchConfig,
    alpha=st.sampled_from([0.5, 1.0, 4.0]),
    beam_width=st.integers(1, 3),
    n_per_beam=st.integers(1, 3),
    tokens_per_step=st.integers(1, 3),
    max_tokens=st.sampled_from([1, 2, 3, 4, 5, 6, 7, 8, 8, 8]),
    use_length_penalty=st.booleans(),
    length_penalty=st.sampled_from([0.0, 0.6, 1.0, 2.0]),
    early_stopping=st.sampled_from([True, "bound", False]),
    deduplicate=st.booleans(),
    stop=st.sampled_from([(), (), ("ba",), ("bb", "aab", "é")]),
    block=st.sampled_from([None, None, Steps("b"), Steps(("aa", "漢")), Steps("ba")]),
)


@st.composite
def samples(draw: st.DrawFn, most: int) -> Sample:
    # A server may stop short of what was asked for and still say "length".
    size = draw(st.sampled_from([most, most, most, 0, 1, most - 1]))
    tokens = []
    for _ in range(size):
        text, number, data = draw(TOKENS)
        tokens.append(Token(text, draw(LOGPROBS), number, data))
    unreported = draw(st.integers(0, 1))  # an end-of-text token, say
    return Sample(tuple(tokens), draw(REASONS), size + unreported)


def continuation(sample: Sample) -> Continuation:
    plain = block_of(sample.tokens, sample.finish_reason)
    return Continuation(
        tokens=plain.tokens,
        data=plain.data,
        finish_reason=plain.finish_reason,
        generated=sample.generated,
    )


class Script:
    """The server: draws an answer when it is first asked, and gives the same one ever after."""

    def __init__(self, data: st.DataObject) -> None:
        self._data = data
        self._answers: dict[Ask, Sequence[Sample]] = {}

    def __call__(self, ask: Ask) -> Sequence[Sample]:
        if ask not in self._answers:
            count = ask.n
            drawn = st.lists(samples(ask.max_tokens), min_size=count, max_size=count)
            self._answers[ask] = self._data.draw(drawn)
        return self._answers[ask]


def run(
    config: BeamSearchConfig, script: Script, data: st.DataObject
) -> tuple[SearchResult, list[Ask]]:
    """Drive the state machine to its end, with the answers of each round in a drawn order."""
    state = BeamSearchMachine(config)
    asks: list[Ask] = []
    while isinstance(step := state.step(), Round):
        asked = [_ask(step.number, expansion) for expansion in step.expansions]
        asks += asked
        for ask in data.draw(st.permutations(asked)):
            numbered = list(enumerate(map(continuation, script(ask))))
            # The samples of one beam come in any order too.
            shuffled = dict(data.draw(st.permutations(numbered)))
            state.receive(Outcome(rank=ask.rank, continuations=shuffled))
    assert isinstance(step, Finished)
    return state.result(step.stop_reason), asks


def _ask(number: int, expansion: Expansion) -> Ask:
    return Ask(
        round=number,
        rank=expansion.rank,
        beam=expansion.beam.tokens,
        n=expansion.n,
        max_tokens=expansion.max_tokens,
    )


# Without the phase that explains a failure, which takes minutes here.
PHASES = [Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink]


@settings(max_examples=800, phases=PHASES)
@given(config=CONFIGS, data=st.data())
def test_state_machine_agrees_with_the_naive_search(
    config: BeamSearchConfig, data: st.DataObject
) -> None:
    script = Script(data)
    result, asks = run(config, script, data)
    expected = reference.search(config, script)

    assert asks == expected.asks
    assert (result.stop_reason, result.rounds) == (expected.stop_reason, expected.rounds)
    assert result.usage.completion_tokens == expected.completion_tokens
    assert result.usage.discarded_tokens == expected.discarded_tokens
    assert _rows(result) == _expected_rows(config, expected)
    assert (result.text, result.score) == (result.beams[0].text, result.beams[0].score)


Row = tuple[tuple[Token, ...], str, float, str, int]


def _rows(result: SearchResult) -> list[Row]:
    return [
        (beam.tokens, beam.text, beam.score, beam.finish_reason, beam.multiplicity)
        for beam in result.beams
    ]


def _expected_rows(config: BeamSearchConfig, found: Found) -> list[Row]:
    return [
        (
            line.tokens,
            line.text,
            reference.score(config, line),
            line.finish_reason,
            line.multiplicity,
        )
        for line in found.beams
    ]
