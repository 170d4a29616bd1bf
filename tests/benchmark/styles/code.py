"""Ways of writing a program."""

from __future__ import annotations

import json
from collections.abc import Callable
from textwrap import indent

from tests.benchmark.styles.style import Style

PROMPT = '''from typing import List


def total(numbers: List[int]) -> int:
    """Add up the numbers.
    >>> total([1, 2])
    3
    """
'''
#: Two bodies, of which one is right; each is written in whatever way a style has.
BODIES = (
    "result = 0\nfor number in numbers:\n    result += number\nreturn result\n",
    "result = 1\nfor number in numbers:\n    result *= number\nreturn result\n",
)
_HEAD = "def total(numbers: List[int]) -> int:\n"
_WHOLE = (_HEAD + indent(BODIES[0], "    "), _HEAD + indent(BODIES[1], "    "))
_FENCE = "```python\n{A}```"
_FIRST = "```python\n{B}```"


def _written(text: str, values: tuple[str, str] = _WHOLE, *, answers: bool = True) -> Style:
    return Style(text, values=values, references=("right", "wrong"), answers=answers)


def _both(change: Callable[[str], str]) -> tuple[str, str]:
    return change(_WHOLE[0]), change(_WHOLE[1])


_INDENTED = (indent(BODIES[0], "    "), indent(BODIES[1], "    "))
_HELPED = (
    "def plus(a, b):\n    return a + b\n",
    "def plus(a, b):\n    return a * b + 1\n",
)
_USES = (
    _HEAD
    + "    result = 0\n    for number in numbers:\n        result = plus(result, number)\n    return result\n"
)

STYLES = {
    # One program.
    "the body": _written("{A}", _INDENTED),
    "the body without its first indent": _written(
        "{A}", (_INDENTED[0].lstrip(), _INDENTED[1].lstrip())
    ),
    "the body in a block": _written(_FENCE, _INDENTED),
    "the body in a block without indent": _written("The body:\n```\n{A}```", BODIES),
    "the function": _written("{A}"),
    "the function with its docstring": _written(PROMPT + "{A}", _INDENTED),
    "a block": _written(_FENCE),
    "a block with py": _written("```py\n{A}```"),
    "a block with a version": _written("```python3\n{A}```"),
    "a block with attributes": _written('```python title="solution.py"\n{A}```'),
    "a block with capitals": _written("```Python\n{A}```"),
    "a block without a language": _written("```\n{A}```"),
    "a block of tildes": _written("~~~python\n{A}~~~"),
    "a block of four": _written("````python\n{A}````"),
    "a block that was cut off behind the function": _written("```python\n{A}"),
    "a block that nothing opened": _written("{A}```\n\nIt adds."),
    "a block in a list": _written(
        "1. Write:\n" + indent("```python\nX```\n", "   ").replace("X", "{A}"),
        _both(lambda one: indent(one, "   ").lstrip()),
    ),
    "words before and behind": _written(
        f"Sure! Here it is:\n\n{_FENCE}\n\nThis adds the numbers up."
    ),
    "bare between words": _written("Sure, from what you say it is\n\n{A}\nThis adds them up."),
    "a space before": _written(" {A}"),
    "Windows' line ends": _written(
        "```python\r\n{A}```", _both(lambda one: one.replace("\n", "\r\n"))
    ),
    "tabs": _written(_FENCE, _both(lambda one: one.replace("    ", "\t"))),
    "two spaces": _written(_FENCE, _both(lambda one: one.replace("    ", "  "))),
    "indented as Markdown has it": _written(
        "The function:\n\n{A}\nIt adds.", _both(lambda one: indent(one, "    "))
    ),
    "square tags": _written("[PYTHON]\n{A}[/PYTHON]"),
    "tags": _written("<code>\n{A}</code>"),
    "answer tags": _written(f"<answer>\n{_FENCE}\n</answer>"),
    "HTML": _written('<pre><code class="language-python">{A}</code></pre>'),
    "JSON": _written('{"code": {A}}', _both(json.dumps)),
    "a prompt's arrows": _written(
        "{A}",
        _both(
            lambda one: ">>> " + one.rstrip().replace("\n", "\n... ") + "\n>>> total([1, 2])\n3\n"
        ),
    ),
    "type hints of its own": _written(
        "```python\nfrom collections.abc import Iterable\n\n{A}```",
        _both(lambda one: one.replace("List[int]", "Iterable[int]")),
    ),
    "a lambda": _written(
        _FENCE,
        (
            "import math\ntotal = lambda numbers: sum(numbers)\n",
            "import math\ntotal = lambda numbers: math.prod(numbers)\n",
        ),
    ),
    "comments between": _written("```python\n# The sum.\n{A}# That is all.\n```"),
    # More than the function.
    "examples behind": _written(
        "```python\n{A}\nprint(total([1, 2]))\nassert total([2, 2]) == 5\n```"
    ),
    "a main part": _written(
        "```python\n{A}\nif __name__ == '__main__':\n    print(total(input()))\n```"
    ),
    "examples in a block": _written(f"{_FENCE}\n\nUse it:\n\n```python\nprint(total([1, 2]))\n```"),
    "output in a block": _written(f"{_FENCE}\n\nOutput:\n\n```\n3\n```"),
    "a shell's block before": _written(f"```bash\npip install numpy\n```\n\n{_FENCE}"),
    "a text's block before": _written(f"```text\ntotal([1, 2]) = 3\n```\n\n{_FENCE}"),
    "tests in a block": _written(
        f"{_FENCE}\n\n```python\ndef test_total():\n    assert total([1]) == 1\n```"
    ),
    "the signature before": _written(f"```python\n{_HEAD}    ...\n```\nbecomes\n{_FENCE}"),
    "the signature before with pass": _written(
        f"```python\n{_HEAD}    pass\n```\nbecomes\n{_FENCE}"
    ),
    "the question before": _written(f"```python\n{PROMPT}```\nbecomes\n{_FENCE}"),
    "the signature behind": _written(
        f"{_FENCE}\n\nIts signature is\n\n```python\n{_HEAD}    ...\n```"
    ),
    "a stub behind": _written(
        f"{_FENCE}\n\nAnother way, for you:\n\n```python\n{_HEAD}    raise NotImplementedError\n```"
    ),
    "a helper before": _written(f"First:\n{_FENCE}\n\nThen:\n```python\n{_USES}```", _HELPED),
    "a helper behind": _written(f"```python\n{_USES}```\n\nwith the helper\n\n{_FENCE}", _HELPED),
    "a helper in the same block": _written(f"```python\n{{A}}\n\n{_USES}```", _HELPED),
    "a helper that is mended": _written(
        f"{_FIRST}\n```python\n{_USES}```\nNo, the helper must be\n{_FENCE}", _HELPED
    ),
    "imports in a block": _written(f"```python\nimport math\n```\n\n{_FENCE}"),
    # Corrected.
    "corrected in another block": _written(
        f"{_FIRST}\n\nWait, that is wrong. Corrected:\n\n{_FENCE}"
    ),
    "corrected twice": _written(f"{_FIRST}\nHm.\n{_FIRST}\nNo:\n{_FENCE}\n\nNow it is right."),
    "corrected in the same block": _written("```python\n{B}\n\n# Oops, that is wrong:\n{A}```"),
    "corrected bare": _written("{B}\nWait, that is wrong. It should be:\n\n{A}"),
    "a block corrected bare": _written(f"{_FIRST}\n\nNo, it is\n\n{{A}}\nThat is it."),
    "bare corrected in a block": _written(f"{{B}}\nThat is wrong. Better:\n\n{_FENCE}"),
    "corrected and used": _written(f"{_FIRST}\nNo:\n{_FENCE}\n\n```python\nprint(total([3]))\n```"),
    "corrected with a helper": _written(
        f"{_FIRST}\nNo, with a helper:\n```python\n{{A}}\n\n{_USES}```", _HELPED
    ),
    "a draft that cannot be read": _written(
        f"```python\n{_HEAD}    return sum(numbers\n```\nI forgot one:\n{_FENCE}"
    ),
    "a correction that was cut off": _written(
        f"{_FENCE}\n\nOr shorter:\n\n```python\n{_HEAD}    return sum("
    ),
    "a faster one": _written(
        f"Slow, and wrong for zero:\n{_FIRST}\n\nFast:\n{_FENCE}\n\nIt takes O(n)."
    ),
    "steps": _written(f"### Step 1\n{_FIRST}\n### Step 2\nFinal code:\n{_FENCE}"),
    "another name before": _written(f"```python\n{{B}}```\nand then\n{_FENCE}", _WHOLE),
    # Thoughts.
    "a draft": _written(f"<think>\n{_FIRST}\nNo.\n</think>\n\n{_FENCE}"),
    "a draft and a bare answer": _written(f"<think>\n{_FIRST}\nNo.\n</think>\n{{A}}"),
    "a draft that the template opened": _written(f"{_FIRST}\nNo.\n</think>\n\n{_FENCE}"),
    "a draft in the answer": _written(f"Let me see.\n<think>\n{_FIRST}\n</think>\n{_FENCE}"),
    "a draft behind": _written(f"{_FENCE}\n<think>\nOr is it\n{_FIRST}"),
    "only a draft": _written(f"<think>\n{_FENCE}\nIs that right", answers=False),
    # Nothing that is a program.
    "cut off": _written(f"```python\n{_HEAD}    return sum(", answers=False),
    "an error in it": _written("```python\n{A}    return (\n```", answers=False),
    "another function": _written(
        "```python\n{A}```", _both(lambda one: one.replace("total", "sum_up")), answers=False
    ),
    "words": _written(
        "I would add the numbers up, one after the other, and return what they make.", answers=False
    ),
    "only a stub": _written(f"```python\n{_HEAD}    pass\n```", answers=False),
    "another language": _written(
        "```javascript\nfunction total(numbers) { return numbers.reduce((a, b) => a + b) }\n```",
        answers=False,
    ),
}


def passes(completion: str | None) -> bool:
    """Return whether a completion of the prompt adds up; what it runs is from this file."""
    space: dict[str, object] = {}
    try:
        exec(PROMPT + (completion or ""), space)
        total = space["total"]
        return callable(total) and [total([]), total([1, 2]), total([3, 4, 5])] == [0, 3, 12]
    except Exception:
        return False
