"""Ways of writing a number."""

from __future__ import annotations

from tests.benchmark.styles.style import Style

DEFAULTS = (("18", "20"), ("7", "3"))

STYLES = {
    # Alone, or behind a mark.
    "alone": Style("{A}"),
    "alone with a full stop": Style("{A}."),
    "bold": Style("**{A}**"),
    "the answer is": Style("{B} comes first.\nThe answer is {A}."),
    "the answer should be": Style(
        "It is not {B}. The answer should be {A}, given {B} at the start."
    ),
    "the answer would be": Style("Then the correct answer would be {A} and {B} is what is left."),
    "the answer must be": Style(
        "So the answer must therefore be {A}.\nCheck: {B} + 1 is too much."
    ),
    "we get the answer": Style("Adding both, we get the answer: {A}\n({B} were there before.)"),
    "answer first": Style("Answer: {A}\n\nExplanation: of the {B} apples some were eaten."),
    "answer with equals": Style("Answer = {A}\nCheck: {B} + 1"),
    "answer with a dash": Style("Answer - {A}\n\nWe started with {B}."),
    "answer without a sign": Style("First {B}.\n\nAnswer {A}\n\nLet me know if you have 5 more."),
    "answer on a line of its own": Style("Answer:\n\n{A}\n\nThere were {B} before."),
    "a heading": Style("## Final Answer\n\n{A} apples\n\n(There were {B}.)"),
    "a bold heading": Style("**Final Answer:** {A} apples, for {B} were too many."),
    "a bold line": Style(
        "First {B}.\n\n**The answer is {A}.**\n\nIs there anything else? I have 5 tips."
    ),
    "behind four signs": Style("{B} / 2 = 9\n#### {A}"),
    "behind four signs with a unit": Style("<<{B}-2=18>>{B}\n#### ${A}.00 per day"),
    "is the answer": Style("{B} is too many, so {A} is the answer.\nI tried {B}, too."),
    "is the final answer": Style(
        "Therefore **{A}** eggs is the final answer, and not the {B} of before."
    ),
    "final result": Style("Final result: {A}\nThis uses {B} as the start."),
    "tags": Style("<answer>{A}</answer> of {B}"),
    "tags with words": Style("<answer>\nShe has {A} eggs.\n</answer>\n{B} were there."),
    "other tags": Style("<final_answer>{A}</final_answer>\n\nThere were {B}."),
    "square tags": Style("[ANSWER]{A}[/ANSWER]\n{B} were there."),
    "JSON": Style('{"answer": {A}, "confidence": 5}'),
    "JSON with reasons": Style(
        '```json\n{"reasoning": "first {B}", "answer": "{A}", "checked": {B}}\n```'
    ),
    "a code block": Style("Answer:\n```\n{A}\n```\nThere were {B}."),
    # LaTeX.
    "a box": Style(r"$\boxed{{A}}$"),
    "a box and words behind": Style(r"So $\boxed{{A}}$.\n\nLet me know if {B} is clear!"),
    "a box in a display": Style("\\[\n\\boxed{{A}}\n\\]\nof {B}"),
    "a box with a unit": Style(r"\boxed{{A}\text{ cm}} of {B}"),
    "a box with a text": Style(r"\boxed{\text{{A} eggs}} of {B}"),
    "a box with an equation": Style(r"\boxed{x = {A}} of {B}"),
    "a box with dollars": Style(r"\boxed{\${A}} of {B}"),
    "a corrected box": Style(r"\boxed{{B}}? No, I forgot one: \boxed{{A}}"),
    "Minerva's": Style(r"Final Answer: The final answer is ${A}$. I hope it is correct."),
    "dollars": Style("{B} is too much. The answer is ${A}$."),
    "brackets": Style(r"The answer is \({A}\), not \({B}\)."),
    "a display": Style("Answer:\n$$\n{A}\n$$\nfrom {B}"),
    "aligned": Style("\\begin{aligned} x &= {B} - 2 \\\\ &= {A} \\end{aligned}"),
    # No mark at all.
    "the last number": Style("There are {B}. Therefore she has {A} left."),
    "the end of a sum": Style("So the total is {B} + 1 = {A}."),
    "bold in the last sentence": Style(
        "Therefore, she makes **{A} dollars** a day, {B} in the week before."
    ),
    "bold and a remark": Style(
        "Thus she makes **{A}** dollars.\n\n(That is less than the {B} of last week.)"
    ),
    "a table": Style("| day | eggs |\n|---|---|\n| Monday | {B} |\n| Total | {A} |"),
    # What surrounds it.
    "directly with a unit": Style("{B}m before. The answer is {A}cm."),
    "with a compound unit": Style("The answer is {A} km/h, since 5 h are too long for {B}."),
    "with a square unit": Style("The answer is {A} cm^2 for {B}."),
    "with a raised unit": Style("The answer is {A} m² for {B}."),
    "a day": Style("The answer is ${A}/day, 5 more than {B}."),
    "an ordinal": Style("The answer is the {A}th of {B}."),
    "a raised ordinal": Style(r"The answer is the ${A}^{\text{th}}$ of {B}."),
    "degrees": Style(r"The answer is ${A}^\circ$, not {B}."),
    "per cent": Style(r"The answer is {A}\% of {B}."),
    "per cent in words": Style("The answer is {A} percent of {B}."),
    "euros behind": Style("The answer is {A} € of {B} €."),
    "a currency's code": Style("The answer is USD {A}, from {B}."),
    "pounds": Style(
        "The answer is £{A}.50 of £{B}.50.", references=("18.5", "20.5"), values=("18", "20")
    ),
    "about": Style("The answer is approximately {A}, from {B}."),
    "almost equal": Style(r"The answer is $\approx {A}$, from {B}."),
    "a name": Style("The answer is x = {A} for y = {B}."),
    "quotes": Style("The answer is “{A}”, not “{B}”."),
    "code": Style("The answer is `{A}`, not `{B}`."),
    "an emoji": Style("The answer is {A} 🎉 of {B}"),
    "an exclamation": Style("The answer is {A}! Not {B}!"),
    "HTML": Style("The answer is <b>{A}</b> of <b>{B}</b>."),
    # Digits.
    "thousands": Style(
        "The answer is {A}.", values=("1,234", "5,678"), references=("1234", "5678")
    ),
    "thousands in LaTeX": Style(
        r"\boxed{{A}}", values=("1{,}234", "5{,}678"), references=("1234", "5678")
    ),
    "thin spaces": Style(
        "The answer is {A} of {B}.", values=(r"1\,234", r"5\,678"), references=("1234", "5678")
    ),
    "spaces": Style(
        "The answer is {A}.", values=("12 345", "56 789"), references=("12345", "56789")
    ),
    "narrow spaces": Style(
        "It is {A}.", values=("12\u202f345", "56\u202f789"), references=("12345", "56789")
    ),
    "apostrophes": Style(
        "The answer is {A}.", values=("12'345", "56'789"), references=("12345", "56789")
    ),
    "typographic apostrophes": Style(
        "It is {A}.", values=("12’345", "56’789"), references=("12345", "56789")
    ),
    "underscores": Style(
        "The answer is {A}.", values=("12_345", "56_789"), references=("12345", "56789")
    ),
    "lakhs": Style(
        "The answer is {A}.", values=("1,23,456", "5,67,890"), references=("123456", "567890")
    ),
    "cents": Style(
        "The answer is ${A}.", values=("1,234.00", "5,678.00"), references=("1234", "5678")
    ),
    "a million": Style(
        "The answer is {A} million.", values=("1.5", "2.5"), references=("1500000", "2500000")
    ),
    "a power": Style("The answer is {A}.", values=("10^3", "10^4"), references=("1000", "10000")),
    "scientific": Style(
        r"It is ${A}$.",
        values=(r"1.5 \times 10^3", r"2.5 \times 10^3"),
        references=("1500", "2500"),
    ),
    "a fraction": Style("The answer is {A}.", values=("3/4", "1/4"), references=("0.75", "0.25")),
    "a fraction in LaTeX": Style(
        r"\boxed{{A}}", values=(r"\frac{3}{4}", r"\dfrac14"), references=("0.75", "0.25")
    ),
    "a mixed number": Style(
        "The answer is {A} cups.", values=("1 1/2", "2 1/2"), references=("1.5", "2.5")
    ),
    "negative": Style("The answer is {A}.", values=("-18", "18")),
    "a true minus": Style(
        "The answer is {A}, not {B}.", values=("−18", "18"), references=("-18", "18")
    ),
    "full width": Style("答案：{A}", values=("１８", "２０"), references=("18", "20")),
    "words": Style(
        "The answer is {A}.", values=("eighteen", "twenty-one"), references=("18", "21")
    ),
    "words and digits": Style("The answer is eighteen ({A}) for {B}."),
    # Sums as answers.
    "the answer is a sum": Style("The answer is 2 * {B} - 5 = {A} eggs for 5."),
    "a sum behind": Style("The answer is {A}, since {B} + 5 = 7."),
    "a sum on the right": Style("The answer is {A} = {B} - 5."),
    "denied before": Style("The answer is not {B} but {A}."),
    "denied behind": Style("The answer is {A}, not {B}."),
    "rather than": Style("The answer is {A} rather than {B}."),
    "corrected": Style("The answer is {B}. Wait, that is one short. So the answer is {A}."),
    "a remark in brackets": Style("Answer: {A} (not {B})"),
    "checked behind": Style("The answer is {A}.\n\nCheck: 5 + {B} = 9 ✓"),
    # Thoughts.
    "a draft": Style("<think>The answer is {B}. No.</think>\nThe answer is {A}."),
    "a draft in a box": Style("<think>\\boxed{{B}}</think>\nIt is {A}."),
    "a draft that the template opened": Style("The answer is {B}? No.\n</think>\n\n{A}"),
    "a draft in the answer": Style("Sure!\n<think>#### {B}</think>\n{A}"),
    "a draft of another family": Style("[THINK]\\boxed{{B}}[/THINK]{A}"),
    "only a draft": Style("<think>The answer is {A}. But wait", answers=False),
    # Other languages.
    "Chinese": Style("一共{B}个，所以答案是{A}个。"),
    "German": Style("Aus {B} folgt: Die Antwort ist {A}."),
    "French": Style("La réponse est {A}, et non {B}."),
    "Spanish": Style("La respuesta es {A}, y no {B}."),
    # Nothing that is one answer.
    "or": Style("The answer is {A} or {B}.", answers=False),
    "either": Style("Answer: either {A} or {B}", answers=False),
    "two in a box": Style(r"\boxed{{A}, {B}}", answers=False),
    "or in a box": Style(r"\boxed{{A} \text{ or } {B}}", answers=False),
    "two boxes": Style(r"\boxed{{A}} or \boxed{{B}}", answers=False),
    "a range": Style("The answer is between {A} and {B}.", answers=False),
    "a span": Style("The answer is {A}-{B}.", answers=False),
    "a span in words": Style("The answer is {A} to {B} eggs.", answers=False),
    "more or less": Style(r"The answer is {A} \pm {B}.", answers=False),
    "no answer": Style(
        "I cannot tell: is it the {A} of the first or the {B} of the last? The answer is unclear.",
        answers=False,
    ),
}
