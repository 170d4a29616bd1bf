"""Rules for the answer among the final beams, one a file, registered in `core.answer_rule.ANSWERS`."""

from trio_beam.answers.best import Best
from trio_beam.answers.select import Select
from trio_beam.answers.vote import Vote, tool_calls

__all__ = ["Best", "Select", "Vote", "tool_calls"]
