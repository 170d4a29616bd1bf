"""Options that take a number or a word."""

from __future__ import annotations

from typing import Any

import click
import pytest
from click.testing import CliRunner

from trio_beam import Confidence, Vote
from trio_beam.command.strategy_options import strategy_from, strategy_parameters
from trio_beam.core.config import BeamSearchConfig
from trio_beam.core.strategy import Strategy


def strategy_of(*words: str) -> Strategy:
    found: list[Strategy] = []

    @click.command()
    @strategy_parameters
    @click.pass_context
    def command(ctx: click.Context, /, **given: Any) -> None:
        found.append(strategy_from(ctx, given))

    done = CliRunner().invoke(command, [*words], catch_exceptions=False)
    if not found:
        raise click.UsageError(done.output)
    return found[0]


VOTE = ["--strategy", "self_consistency", "--n", "4"]


@pytest.mark.parametrize(("word", "settle"), [("certain", "certain"), ("0.9", 0.9)])
def test_a_number_or_a_word(word: str, settle: Any) -> None:
    config = strategy_of(*VOTE, "--settle", word, "--ahead", "2")
    assert isinstance(config, BeamSearchConfig)
    assert config.answer == Vote(settle=settle, ahead=2)


def test_another_word_is_refused() -> None:
    with pytest.raises(click.UsageError, match="'sure' is neither a number nor 'certain'"):
        strategy_of(*VOTE, "--settle", "sure")


def test_confidence_is_given_by_its_options() -> None:
    config = strategy_of(*VOTE, "--by", "confidence", "--confidence-warm-up", "2")
    assert isinstance(config, BeamSearchConfig)
    assert config.confidence == Confidence(warm_up=2)
