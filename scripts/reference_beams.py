"""Generate reference beams with transformers for `tests/e2e/test_against_transformers.py`.

Runs `generate` of transformers, in float32 on the CPU, on the weights of the embedded model's GGUF file,
and writes what it found and the next tokens that it chose from, with their log-probabilities:

    python3.11 -m venv VENV && VENV/bin/pip install torch transformers accelerate gguf
    GGUF=$(uv run --extra local python -c \\
        "from trio_beam.local.installation import find_model_file; print(find_model_file())")
    VENV/bin/python scripts/reference_beams.py "$GGUF" tests/e2e/reference_beams.json

It reads the GGUF file itself and not the folder that `dequantise.py` writes: that is in bfloat16, and the
rounding shows (0.005 nats a token).

Under these parameters both sides define the same search:

- ``length_penalty=0``: the score is the sum of the log-probabilities, since it is divided by length ** 0.
- ``early_stopping="never"``, with ours False: it stops before the limit only if no active beam can get
  among the best any more, and ours goes on to the limit. Sums only fall, so the result is the same.
- ``eos_token_id``: all control tokens, since with ours a next token without text ends a beam.
- Each round, transformers drops a candidate that ends if `num_beams` candidates of the round are better;
  ours keeps it. No parameter of `generate` changes that, so the test gives ours a scorer that does it.
- Both continue the best `num_beams` candidates of a round that do not end. Ours sees them all with
  ``n_per_beam = 2 * num_beams``, unless more than `num_beams` of a beam's most probable next tokens end;
  the script checks that.

Nothing is put before the prompt (no BOS token), by this tokenizer or by the server; the test holds that.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer

WIDTHS = (2, 4)
MAX_TOKENS = 12
CHAT = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
#: Both chats have answers that end within the limit.
PROMPTS = (
    "Once upon a time, there was a little",
    "The opposite of hot is",
    "def add(a, b):\n    return",
    "10, 9, 8, 7,",
    "A, B, C, D,",
    "Shopping list:\n- milk\n- bread\n-",
    "The days of the week are Monday,",
    "Ich heiße Anna und ich",
    CHAT.format("What is 2 + 2?"),
    CHAT.format("Answer with one word: the capital of Italy?"),
)
DIGITS = 5


class Watcher:
    """A logits processor that changes nothing: it notes what each round of a search chose from.

    Attributes:
        next_tokens: for the tokens of each beam that was continued, its most probable next ones.
        margins: for each round, by how many nats the last candidate that goes on beats the next.
        endings: for each candidate that ended: its sum, and how far it was from being dropped, or kept.
    """

    def __init__(self, prompt: list[int], width: int, ends: list[int]) -> None:
        self._length = len(prompt)
        self._width = width
        self._ends = frozenset(ends)
        self._sums: dict[tuple[int, ...], float] = {(): 0.0}
        self.next_tokens: dict[tuple[int, ...], list[tuple[int, float]]] = {}
        self.margins: list[float] = []
        self.endings: list[tuple[float, float]] = []

    def __call__(self, ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Note a round: the sequences so far and the log-probabilities of their next tokens."""
        width = self._width
        candidates = []
        # In the first round all rows are the prompt, and it searches on from one of them.
        rows = {tuple(row[self._length :]): at for at, row in enumerate(ids.tolist())}
        for tokens, at in rows.items():
            shown = 2 * width if tokens else 2 * width * width
            values, best = scores[at].topk(shown)
            found = list(zip(best.tolist(), values.tolist(), strict=True))
            self.next_tokens[tokens] = found
            if sum(token in self._ends for token, _ in found[: 2 * width]) > width:
                raise SystemExit(f"too many next tokens of {tokens} end: show more of them")
            total = self._sums[tokens]
            candidates += [(total + value, (*tokens, token)) for token, value in found]
        candidates.sort(reverse=True)
        self._sums = {tokens: total for total, tokens in candidates}
        going_on = [total for total, tokens in candidates if tokens[-1] not in self._ends]
        self.margins.append(going_on[width - 1] - going_on[width])
        for place, (total, tokens) in enumerate(candidates):
            if tokens[-1] in self._ends:
                other = candidates[width if place < width else width - 1][0]
                self.endings.append((total, abs(total - other)))
        return scores


def search(model: Any, prompt: list[int], width: int, ends: list[int]) -> dict[str, Any]:
    """Run beam search on a prompt; return the beams, best first, and the margins of decisions."""
    ids = torch.tensor([prompt])
    watcher = Watcher(prompt, width, ends)
    found = model.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        do_sample=False,
        num_beams=width,
        num_return_sequences=width,
        max_new_tokens=MAX_TOKENS,
        length_penalty=0.0,
        early_stopping="never",
        eos_token_id=ends,
        pad_token_id=ends[0],
        return_dict_in_generate=True,
        output_scores=True,
        logits_processor=[watcher],
    )
    totals = found.sequences_scores.tolist()
    beams = []
    for row, total in zip(found.sequences, totals, strict=True):
        tokens = until_end(row[len(prompt) :].tolist(), ends)
        values = logprobs(model, prompt, tokens)
        if abs(sum(values) - total) > 1e-3:
            raise SystemExit(f"its score is {total} nats, but its tokens have {sum(values)}")
        beams.append({"sum": round(sum(values), DIGITS), "ids": tokens, "logprobs": values})
    # An ending that is worse than all beams found would not have mattered.
    endings = [distance for total, distance in watcher.endings if total > totals[-1]]
    margin = round(min([*watcher.margins, *endings]), DIGITS)
    table = {
        " ".join(map(str, tokens)): {str(token): round(value, DIGITS) for token, value in found}
        for tokens, found in watcher.next_tokens.items()
    }
    return {"width": width, "margin": margin, "beams": beams, "next_tokens": table}


def until_end(tokens: list[int], ends: list[int]) -> list[int]:
    """Without what fills up a row behind the token that ends its text."""
    length = next((at + 1 for at, token in enumerate(tokens) if token in ends), len(tokens))
    return tokens[:length]


def logprobs(model: Any, prompt: list[int], tokens: list[int]) -> list[float]:
    """The log-probability of each token (nats), by one pass over the whole sequence."""
    with torch.inference_mode():
        logits = model(torch.tensor([prompt + tokens])).logits[0, len(prompt) - 1 : -1]
    values = torch.log_softmax(logits.float(), dim=-1)
    return [round(values[at, token].item(), DIGITS) for at, token in enumerate(tokens)]


def layout(value: dict[str, Any]) -> str:
    """JSON with one line for each list of numbers and for each row of next tokens."""
    indented = json.dumps(value, ensure_ascii=False, indent=1)
    text = re.sub(r"[\[{][^\[\]{}]*[\]}]", lambda found: " ".join(found[0].split()), indented)
    assert json.loads(text) == value
    return text + "\n"


def main(source: Path, target: Path) -> None:
    """Search behind each prompt with each width, and write what was found."""
    if not source.is_file():
        raise SystemExit(f"there is no model file {source}; give the path of the model's GGUF file")
    where = {"pretrained_model_name_or_path": source.parent, "gguf_file": source.name}
    tokenizer = AutoTokenizer.from_pretrained(**where)
    model = AutoModelForCausalLM.from_pretrained(**where, dtype=torch.float32)
    model.eval()
    ends = sorted(tokenizer.added_tokens_decoder)
    cases = []
    for prompt in PROMPTS:
        ids = tokenizer(prompt).input_ids
        for width in WIDTHS:
            case = {"prompt": prompt, "prompt_ids": ids, **search(model, ids, width, ends)}
            cases.append(case)
            text = tokenizer.decode(case["beams"][0]["ids"])
            best = f"{case['beams'][0]['sum']:.3f} {text!r}"
            print(f"{prompt!r} {width} margin {case['margin']:.3f} {best}", flush=True)
    about = {
        "model": source.name,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "max_tokens": MAX_TOKENS,
        "ends": ends,
    }
    target.write_text(layout({**about, "cases": cases}), encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
