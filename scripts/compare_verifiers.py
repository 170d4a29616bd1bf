"""Compare searches with a verifier that is always right, on the embedded model, at equal generated tokens.

    uv run --extra bench python scripts/compare_verifiers.py [--problems 300] [--out FOLDER]

The problems are sums of several numbers, written step by step; the model sees a few worked examples. The
verifier is a program: a line is right (1) if it adds the next number to the right sum so far and the result
is true, otherwise wrong (0). Every search but the greedy one has as many candidates at a time, and so
generates about as many tokens. The table shows how often an answer is right, with Wilson's 95% interval, and
the tokens generated for it, those that were thrown away included; below it, each search is compared with best
of n on the same problems (McNemar's exact test).

Each answer is a line in FOLDER/records.jsonl. The same command goes on where it was interrupted.
"""

from __future__ import annotations

import argparse
import random
import re
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import attrs
import msgspec
import trio

import trio_beam
from trio_beam import BeamSearchConfig, Endpoint, RewardModel, Steps, serve_local
from trio_beam.benchmark.statistics import mcnemar, wilson
from trio_beam.records import RecordFile
from trio_beam.strategies import best_of_n, greedy

LEAST, MOST = 2, 12
EXAMPLES = ((4, 10, 6), (11, 3, 9), (7, 12, 5), (2, 8, 8))
MAX_TOKENS = 32


@attrs.frozen
class Problem:
    """A sum of several numbers."""

    number: int
    terms: tuple[int, ...]

    @property
    def prompt(self) -> str:
        """The problem behind worked examples."""
        solved = [f"{_asked(terms)}{''.join(solution(terms))}\n" for terms in EXAMPLES]
        return "".join(solved) + _asked(self.terms)


def _asked(terms: Sequence[int]) -> str:
    return f"Add {', '.join(map(str, terms))}.\n"


def solution(terms: Sequence[int]) -> list[str]:
    """Return the right steps of a sum, the last of which is the answer."""
    steps, total = [], terms[0]
    for term in terms[1:]:
        steps.append(f"{total} + {term} = {total + term}\n")
        total += term
    return [*steps, f"Answer: {total}\n"]


def verify(prompt: str, candidates: Sequence[Sequence[str]]) -> list[list[float]]:
    """Score each step of each candidate: 1 if all its lines are right, else 0."""
    terms = [int(term) for term in re.findall(r"\d+", prompt.rstrip("\n").rpartition("\n")[2])]
    return [check(steps, solution(terms)) for steps in candidates]


def check(steps: Sequence[str], right: Sequence[str]) -> list[float]:
    """Score the steps of one candidate; what stands behind its answer does not count."""
    scores, done = [], 0
    for step in steps:
        lines = step.split("\n")[:-1] if step.endswith("\n") else step.split("\n")
        wanted = [line.rstrip("\n") for line in right[done : done + len(lines)]]
        scores.append(float(lines[: len(wanted)] == wanted))
        done += len(lines)
    return scores


def is_right(problem: Problem, text: str) -> bool:
    """Whether a text gives the right answer, whatever its steps are."""
    found = re.search(r"Answer: (\d+)", text)
    return found is not None and int(found[1]) == sum(problem.terms)


def problems(count: int, terms: int, seed: int) -> list[Problem]:
    """Return the problems, none twice and none of the examples."""
    chance = random.Random(seed)
    found: dict[tuple[int, ...], None] = {}
    while len(found) < count:
        drawn = tuple(chance.randint(LEAST, MOST) for _ in range(terms))
        if drawn not in EXAMPLES:
            found[drawn] = None
    return [Problem(number, drawn) for number, drawn in enumerate(found)]


def strategies(width: int, children: int) -> dict[str, BeamSearchConfig]:
    """Return the searches to compare, each with width times children candidates."""
    n = width * children
    verifier = RewardModel(function=verify, aggregate="min")
    steps = BeamSearchConfig(
        beam_width=width,
        n_per_beam=children,
        block=Steps("\n"),
        tokens_per_step=16,
        scorer=verifier,
        # A beam that ended wrong must not end the search before one that is still right.
        early_stopping=False,
    )
    found: dict[str, BeamSearchConfig] = {
        "greedy": greedy(),
        f"best of {n}": best_of_n(n, scorer=verifier),
        f"subtrees, {width} x {children}": attrs.evolve(steps, selection="subtrees"),
        f"beam search, {width} x {children}": steps,
        f"beam search, 1 x {n}": attrs.evolve(steps, beam_width=1, n_per_beam=n),
    }
    return {
        name: attrs.evolve(
            one,
            max_tokens=MAX_TOKENS,
            tokens_per_step=one.tokens_per_step if one.block else MAX_TOKENS,
            stop=("\n\n",),
        )
        for name, one in found.items()
    }


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """One problem by one strategy."""

    strategy: str
    number: int
    terms: list[int]
    text: str
    right: bool
    tokens: int
    discarded: int
    step_scores: list[float]

    @property
    def key(self) -> tuple[str, int]:
        """What it is found by."""
        return self.strategy, self.number


async def compare(args: argparse.Namespace) -> None:
    """Answer what has no record yet, and print the table."""
    asked = problems(args.problems, args.terms, args.seed)
    ways = strategies(args.width, args.children)
    path = Path(args.out) / "records.jsonl"
    with RecordFile(path, Answer, lambda one: one.key, notice=print) as file:
        missing = [
            (name, one) for one in asked for name in ways if file.get((name, one.number)) is None
        ]
        if missing:
            await answer(missing, ways, file, args)
        wanted = {one.number for one in asked}
        print_table([one for one in file if one.number in wanted], list(ways))


async def answer(
    missing: Sequence[tuple[str, Problem]],
    ways: dict[str, BeamSearchConfig],
    file: RecordFile[tuple[str, int], Answer],
    args: argparse.Namespace,
) -> None:
    """Answer problems, some at a time, with a line of progress now and then."""
    limit = trio.CapacityLimiter(args.parallel)
    progress = Progress(len(missing))

    async def one(name: str, problem: Problem) -> None:
        config = attrs.evolve(ways[name], seed=args.seed * 10_000 + problem.number)
        async with limit:
            file.append(await one_answer(endpoint, name, config, problem))
        progress.advance()

    async with trio.open_nursery() as server:
        slots = args.parallel * args.width * args.children
        serve = partial(serve_local, slots=slots, context=512, threads=args.threads)
        base_url = await server.start(serve)
        async with Endpoint(base_url) as endpoint, trio.open_nursery() as nursery:
            for name, problem in missing:
                nursery.start_soon(one, name, problem)
        server.cancel_scope.cancel(reason="all is answered")


class Progress:
    """Says every half minute how much is done and how long the rest will take."""

    def __init__(self, total: int) -> None:
        self.total, self.done = total, 0
        self.begun = self.said = time.monotonic()

    def advance(self) -> None:
        """Count an answer."""
        self.done += 1
        now = time.monotonic()
        if now - self.said > 30 or self.done == self.total:
            left = (now - self.begun) / self.done * (self.total - self.done)
            print(f"{self.done} of {self.total} answers, {left / 60:.0f} min left", flush=True)
            self.said = now


async def one_answer(
    endpoint: Endpoint, name: str, config: BeamSearchConfig, problem: Problem
) -> Answer:
    """Search for an answer to one problem."""
    result = await trio_beam.search(endpoint, problem.prompt, config)
    return Answer(
        strategy=name,
        number=problem.number,
        terms=list(problem.terms),
        text=result.text,
        right=is_right(problem, result.text),
        tokens=result.usage.completion_tokens,
        discarded=result.usage.discarded_tokens,
        step_scores=list(result.beams[0].step_scores) if result.beams else [],
    )


def print_table(answers: Sequence[Answer], names: Sequence[str]) -> None:
    """Print how often each strategy is right, and how it compares with best of n."""
    by = {name: {one.number: one for one in answers if one.strategy == name} for name in names}
    print(f"\n{'':24} right           95%            tokens  of which discarded")
    for name, found in by.items():
        if not found:
            continue
        passed = sum(one.right for one in found.values())
        interval = wilson(passed, len(found))
        tokens = sum(one.tokens for one in found.values()) / len(found)
        discarded = sum(one.discarded for one in found.values()) / len(found)
        share = passed / len(found)
        print(
            f"{name:24} {passed:3} of {len(found):3} {share:6.1%}  {interval.low:.1%} to {interval.high:.1%}"
            f"  {tokens:7.1f} {discarded:9.1f}"
        )
    base = next(name for name in names if name.startswith("best of"))
    for name in names:
        both = by[name].keys() & by[base].keys()
        gained = sum(by[name][at].right and not by[base][at].right for at in both)
        lost = sum(by[base][at].right and not by[name][at].right for at in both)
        if name != base and both:
            chance = mcnemar(gained, lost)
            print(f"{name} against {base}: {gained} gained, {lost} lost, p = {chance:.2g}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--problems", type=int, default=300)
    parser.add_argument("--terms", type=int, default=3, help="numbers to add")
    parser.add_argument("--width", type=int, default=2, help="beams kept")
    parser.add_argument("--children", type=int, default=2, help="candidates of each")
    parser.add_argument("--parallel", type=int, default=4, help="searches at a time")
    parser.add_argument("--threads", type=int, help="of the model (one per core)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", default="compare_verifiers", help="folder of the records")
    trio.run(compare, parser.parse_args())
