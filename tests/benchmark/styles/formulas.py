"""Ways of writing a formula."""

from __future__ import annotations

from tests.benchmark.styles.style import Style

DEFAULTS = ((r"\frac{\sqrt{2}}{2}", r"\frac{\sqrt{3}}{2}"),)


def _box(a: str, b: str, reference: str, other: str) -> Style:
    """In a box, written in another way than the reference."""
    return Style(r"So the answer is $\boxed{{A}}$.", values=(a, b), references=(reference, other))


STYLES = {
    # Where it stands.
    "a box": Style(r"$\boxed{{A}}$"),
    "a box in a display": Style("\\[\n\\boxed{{A}}\n\\]\n\nand not ${B}$."),
    "a box in a sentence": Style(
        r"Since ${B}$ is too large, the answer is $\boxed{{A}}$, as before."
    ),
    "a corrected box": Style(r"\boxed{{B}}. Wait, the sign was wrong: \boxed{{A}}"),
    "a framed box": Style(r"\fbox{${A}$} and ${B}$"),
    "a box with a name": Style(r"\boxed{x = {A}} of ${B}$"),
    "a box with spaces": Style(r"\boxed { {A} }"),
    "a box with a style": Style(r"\boxed{\displaystyle {A}} of ${B}$"),
    "dollars in a box": Style(r"\boxed{${A}$} of ${B}$"),
    "two boxes of the same": Style(r"\boxed{{A}} ... so we are done: \boxed{{A}}. (Not {B}.)"),
    "Minerva's": Style(r"Final Answer: The final answer is ${A}$. I hope it is correct."),
    "the answer is": Style("It is not ${B}$. The answer is ${A}$."),
    "the answer is in brackets": Style(r"The answer is \({A}\)."),
    "a bold answer": Style("**Answer:** ${A}$"),
    "a bold line": Style("**The final answer is ${A}$.**"),
    "a heading": Style("### Final Answer\n\n${A}$"),
    "a heading and a display": Style("## Answer\n\n$$\n{A}\n$$"),
    "a display behind a mark": Style("The answer is:\n\\[\n{A}\n\\]"),
    "the last line": Style("We take the root.\n\n${A}$"),
    "tags": Style("<answer>{A}</answer> of {B}"),
    "tags with dollars": Style("<answer>${A}$</answer> of {B}"),
    "behind four signs": Style("From ${B}$:\n#### ${A}$"),
    "is the answer": Style("Therefore ${A}$ is the answer."),
    "explained behind": Style("The answer is ${A}$, since ${B}$ is too large."),
    "a full stop in a box": Style(r"\boxed{{A}.}"),
    "JSON": Style(
        '{"reason": "{B}", "answer": "{A}"}',
        values=(r"\\frac{\\sqrt{2}}{2}", r"\\frac{\\sqrt{3}}{2}"),
        references=DEFAULTS[0],
    ),
    # Thoughts.
    "a draft": Style(r"<think>\boxed{{B}}</think>The answer is $\boxed{{A}}$."),
    "a draft that the template opened": Style(r"\boxed{{B}}? No.</think>${A}$"),
    "only a draft": Style(r"<think>So \boxed{{A}}, or", answers=False),
    "cut off in the box": Style(r"So \boxed{{A}", answers=False),
    # How it is written.
    "fraction as a decimal": _box("0.5", "0.25", r"\frac{1}{2}", r"\frac{1}{4}"),
    "fraction with a slash": _box("1/2", "1/4", r"\frac{1}{2}", r"\frac{1}{4}"),
    "fraction without braces": _box(r"\frac12", r"\tfrac14", r"\frac{1}{2}", r"\frac{1}{4}"),
    "display fraction": _box(r"\dfrac{\sqrt{2}}{2}", r"\dfrac{\sqrt{3}}{2}", *DEFAULTS[0]),
    "fraction not reduced": _box(r"\frac{3}{6}", r"\frac{2}{8}", r"\frac{1}{2}", r"\frac{1}{4}"),
    "sign in the numerator": _box(r"\frac{-1}{2}", r"\frac{1}{2}", r"-\frac{1}{2}", r"\frac{1}{2}"),
    "mixed number": _box(r"1\frac{1}{2}", r"2\frac{1}{2}", r"\frac{3}{2}", r"\frac{5}{2}"),
    "root not rationalised": _box(r"\frac{1}{\sqrt{2}}", r"\frac{3}{2\sqrt{3}}", *DEFAULTS[0]),
    "root not reduced": _box(r"\sqrt{12}", r"\sqrt{18}", r"2\sqrt{3}", r"3\sqrt{2}"),
    "root as a power": _box("2^{1/2}", "3^{1/2}", r"\sqrt{2}", r"\sqrt{3}"),
    "root as a sign": _box("2√3", "3√2", r"2\sqrt{3}", r"3\sqrt{2}"),
    "root as a function": _box("2*sqrt(3)", "3*sqrt(2)", r"2\sqrt{3}", r"3\sqrt{2}"),
    "pi as a sign": _box("π/2", "π/3", r"\frac{\pi}{2}", r"\frac{\pi}{3}"),
    "factored": _box("(x+1)^2", "(x-1)^2", "x^2+2x+1", "x^2-2x+1"),
    "in another order": _box("1 + 2x + x^2", "1 - 2x + x^2", "x^2+2x+1", "x^2-2x+1"),
    "with a times sign": _box(r"2 \cdot x", r"3 \times x", "2x", "3x"),
    "with a name": _box("y = 2x + 3", "y = 2x - 3", "2x+3", "2x-3"),
    "a function's value": _box("f(x) = 2x + 3", "f(x) = 2x - 3", "2x+3", "2x-3"),
    "pair with large brackets": _box(r"\left(3, 4\right)", r"\left(4, 3\right)", "(3,4)", "(4,3)"),
    "interval": _box(r"\left[0, 1\right)", r"\left[0, 1\right]", "[0,1)", "[0,1]"),
    "interval with an element": _box(r"x \in [0,1)", r"x \in [0,1]", "[0,1)", "[0,1]"),
    "inequality": _box(r"0 \leq x < 1", r"0 \le x \le 1", "[0,1)", "[0,1]"),
    "union": _box(
        r"(1, 2) \cup (3, \infty)",
        r"(1, 2] \cup (3, \infty)",
        r"(1,2)\cup(3,\infty)",
        r"(1,2]\cup(3,\infty)",
    ),
    "set without braces": _box("2, 1", "3, 1", "1,2", "1,3"),
    "set with and": _box(r"1 \text{ and } 2", r"1 \text{ and } 3", "1,2", "1,3"),
    "set with or": _box(r"x = 1 \text{ or } x = 2", r"x = 1 \text{ or } x = 3", "1,2", "1,3"),
    "set in braces": _box(r"\{2, 1\}", r"\{3, 1\}", r"\{1,2\}", r"\{1,3\}"),
    "degrees": _box("45°", "30°", r"45^\circ", r"30^\circ"),
    "degrees in words": _box(r"45 \text{ degrees}", r"30 \text{ degrees}", "45", "30"),
    "unit": _box(r"12\pi \text{ cm}^2", r"13\pi \text{ cm}^2", r"12\pi", r"13\pi"),
    "unit in roman": _box(r"12\,\mathrm{cm}", r"13\,\mathrm{cm}", "12", "13"),
    "money": _box(r"\$18.90", r"\$19.90", "18.90", "19.90"),
    "thousands": _box("10{,}000", "20{,}000", "10000", "20000"),
    "thousands with a comma": _box("10,000", "20,000", "10000", "20000"),
    "per cent": _box(r"50\%", r"25\%", "50", "25"),
    "another base": _box("2516_8", "2517_8", "2516_{8}", "2517_{8}"),
    "a word": _box(r"\text{Evelyn}", r"\text{Angela}", "Evelyn", "Angela"),
    "a word without dress": _box("Evelyn", "Angela", r"\text{Evelyn}", r"\text{Angela}"),
    "a letter": _box(r"\textbf{(C)}", r"\textbf{(D)}", r"\text{(C)}", r"\text{(D)}"),
    "matrix": _box(
        r"\begin{bmatrix} 1 & 2 \\ 3 & 4 \end{bmatrix}",
        r"\begin{bmatrix} 1 & 2 \\ 4 & 3 \end{bmatrix}",
        r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}",
        r"\begin{pmatrix} 1 & 2 \\ 4 & 3 \end{pmatrix}",
    ),
    "complex": _box("4i + 3", "3i + 4", "3+4i", "4+3i"),
    "logarithm": _box(r"\ln 8", r"\ln 9", r"3 \ln 2", r"2 \ln 3"),
    "binomial": _box(r"\binom{5}{2}", r"\binom{6}{2}", "10", "15"),
    "factorial": _box("5!", "4!", "120", "24"),
    "power of e": _box("e^{2x}", "e^{3x}", "(e^x)^2", "(e^x)^3"),
    "scientific": _box(r"1.5 \times 10^{3}", r"2.5 \times 10^{3}", "1500", "2500"),
    "infinite": _box(r"+\infty", r"-\infty", r"\infty", r"-\infty"),
    # Nothing that is one answer.
    "or": Style(r"The answer is $\boxed{{A}}$ or $\boxed{{B}}$.", answers=False),
    "a remainder of a sentence": Style(
        "I tried ${A}$ and ${B}$, but the answer remains unclear.", answers=False
    ),
}
