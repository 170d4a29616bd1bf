"""Ways of choosing one of four letters."""

from __future__ import annotations

from tests.benchmark.styles.style import Style

#: "A" is an article, too.
DEFAULTS = (("B", "D"), ("A", "C"))

STYLES = {
    # Alone.
    "alone": Style("{A}"),
    "alone with a full stop": Style("{A}."),
    "alone in brackets": Style("({A})"),
    "alone in square brackets": Style("[{A}]"),
    "bold": Style("**{A}**"),
    "code": Style("`{A}`"),
    "small": Style("{A}", values=("b", "d"), references=("B", "D")),
    "with its text": Style("{A}) a word"),
    "with its text and a full stop": Style("{A}. a word"),
    "with its text and a colon": Style("{A}: a word"),
    "with its text, bold": Style("**{A}) A word**"),
    # Marked.
    "answer": Style("Answer: {A}"),
    "answer in brackets": Style("Answer: ({A})"),
    "answer in bold": Style("**Answer: {A}**"),
    "a bold answer": Style("Answer: **{A}**"),
    "answer with its text": Style("Answer: {A}) what D is not"),
    "answer small": Style("answer: {A}", values=("b", "d"), references=("B", "D")),
    "a heading": Style("### Final Answer\n\n{A}"),
    "a heading with its text": Style("### Answer\n**({A}) a word**"),
    "on the next line": Style("The correct answer is:\n\n{A}) it"),
    "the answer is": Style("{B}) is too small. The answer is {A}."),
    "the answer is in brackets": Style("The answer is ({A}) because {B} is too small."),
    "the best answer": Style("The best answer is {A}, I think, and {B} comes close."),
    "the answer should be": Style("The answer should be {A}, as {B} is too small."),
    "the answer must be": Style("So the answer must be ({A}). ({B}) is too small."),
    "the answer would be": Style("The most likely answer would be option {A}, not {B}."),
    "the answer is therefore": Style("The correct answer is therefore {A}, as {B} fails."),
    "option": Style("The correct option is {A}. {B} is too small."),
    "option in words": Style("Option {A}"),
    "choice": Style("The right choice is ({A}), and ({B}) is wrong."),
    "correct answer": Style("Correct Answer: {A}\n{B} is wrong."),
    "ans": Style("Ans: {A}\n({B} fails)"),
    "tags": Style("<answer>{A}</answer> {B}"),
    "tags with its text": Style("<answer>({A}) a word</answer> ({B})"),
    "square tags": Style("[ANSWER]{A}[/ANSWER] ({B})"),
    "JSON": Style('{"reason": "({B}) fails", "answer": "{A}"}'),
    "confidence": Style("Answer: {A} (confidence: 90 %, {B} has 5 %)"),
    # LaTeX.
    "a box": Style(r"\boxed{{A}}"),
    "a text in a box": Style(r"$\boxed{\text{{A}}}$ and not \text{{B}}"),
    "brackets in a box": Style(r"$\boxed{\textbf{({A})}}$, for \textbf{({B})} fails"),
    "a box with its text": Style(r"\boxed{{A}. \text{ Paris}} ({B})"),
    "an option in a box": Style(r"\boxed{\text{Option {A}}} ({B})"),
    "a corrected box": Style(r"\boxed{{B}}? No: \boxed{{A}}"),
    # In a sentence.
    "is correct": Style("{A} is correct. {B} is wrong."),
    "is the answer": Style("So ({A}) is the answer, since ({B}) fails."),
    "is the correct answer": Style("Therefore, {A} is the correct answer, not {B}."),
    "option is correct": Style("Option {A} is correct because option {B} is too small."),
    "statement is right": Style("Statement {A} is right; statement {B} is not."),
    "must be correct": Style("{B} cannot be. So {A} must be correct."),
    "seems right": Style("I thought of {B} first, but {A} seems right."),
    "I choose": Style("I choose {A}. {B} was my second choice."),
    "I would go with": Style("I'd go with ({A}), although ({B}) is close."),
    "I pick": Style("I pick option {A} over option {B}."),
    "select": Style("We should select {A}, as {B} fails."),
    "my choice": Style("My choice: {A}\n\n({B} is too small.)"),
    "so": Style("({B}) is too small. So ({A})."),
    "therefore": Style("{B} is wrong.\n\nTherefore, {A}."),
    "it must be": Style("It cannot be {B}, which is too small. It must be {A}."),
    # Among explanations.
    "explained behind": Style(
        "Answer: {A}\n\nA) is this.\nB) is that.\nC) is a third.\nD) is the last."
    ),
    "first and explained": Style("{A}) it is so.\n\nThe others fail: ({B}) is too small."),
    "first in bold and explained": Style("**{A})** It is so.\n\n- **{B})** is too small."),
    "first line and explained": Style("({A})\n\nExplanation: ({B}) is too small."),
    "first sentence": Style("{A}, because {B} is too small."),
    "listed before": Style(
        "A) is one.\nB) is two.\nC) is three.\nD) is four.\n\nSo it must be {A}."
    ),
    "listed with verdicts": Style("- {B}: incorrect, too small\n- {A}: correct"),
    "listed with marks": Style("({B}) ✗ too small\n({A}) ✓ it fits\n"),
    "eliminated": Style("{B} is incorrect since it is too small. Eliminating {B} leaves {A}."),
    "incorrect behind": Style("{A} is correct.\n{B} is incorrect."),
    "the echo of the question": Style("Question: which?\nA) a\nB) b\nC) c\nD) d\nAnswer: {A}"),
    # Corrected.
    "corrected": Style("Answer: {B}. No, that is too small. Answer: {A}"),
    "corrected in a sentence": Style("At first I thought {B}, but {A} is correct."),
    "denied before": Style("The answer is not {B} but {A}."),
    "denied behind": Style("The answer is {A}, not {B}."),
    "a remark behind": Style("Answer: {A}\n\nNote: ({B}) would be right for two."),
    # Thoughts.
    "a draft": Style("<think>The answer is {B}</think>{A}"),
    "a draft and reasons": Style("<think>{B}? No.</think>\n\n{A}) because it is so"),
    "a draft that the template opened": Style("The answer is {B}, no.</think>Answer: {A}"),
    "a draft in the answer": Style("Let me see. <think>Answer: {B}</think> Answer: {A}"),
    "only a draft": Style("<think>The answer is {A}, or is it", answers=False),
    # Other languages.
    "Chinese": Style("答案是 {A}。"),
    "Chinese, chosen": Style("{B} 不对，所以选 {A}。"),
    "Chinese, in brackets": Style("正确答案：（{A}）"),
    "full width": Style("答案：{A}", values=("Ｂ", "Ｄ"), references=("B", "D")),
    "German": Style("Die richtige Antwort ist {A}, nicht {B}."),
    "French": Style("La bonne réponse est {A} et non {B}."),
    "Spanish": Style("La respuesta correcta es {A} y no {B}."),
    # No choice.
    "or": Style("Answer: {A} or {B}", answers=False),
    "and": Style("The answer is both {A} and {B}.", answers=False),
    "a slash": Style("Answer: {A}/{B}", answers=False),
    "either": Style("It is either {A} or {B}.", answers=False),
    "two in a box": Style(r"\boxed{{A}, {B}}", answers=False),
    "none of them": Style("None of A, B, C and D is right.", answers=False),
    "all of them": Style("A) is right.\nB) is right.\nC) is right.\nD) is right.", answers=False),
    "no letter": Style("I do not know. A guess would be as good as any.", answers=False),
    "an article": Style("Answer: A cat, I think", answers=False),
}
