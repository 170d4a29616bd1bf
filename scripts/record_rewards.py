"""Record a real vLLM's scores by tiny random reward models, with transformers' own numbers beside them.

In an environment with vllm, torch and transformers:

    python scripts/record_rewards.py make TOKENIZER FOLDER      # TOKENIZER: a folder with a tokenizer's files
    python -m vllm.entrypoints.openai.api_server --runner pooling --dtype float32 --enforce-eager \\
        --model FOLDER/process --served-model-name process --port 18611 \\
        --pooler-config '{"pooling_type": "STEP", "step_tag_id": 5}'
    python -m vllm.entrypoints.openai.api_server --runner pooling --dtype float32 --enforce-eager \\
        --model FOLDER/outcome --served-model-name outcome --port 18612
    python scripts/record_rewards.py record FOLDER tests/rewards/captures
"""

from __future__ import annotations

import json
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoTokenizer, Qwen2Config, Qwen2ForSequenceClassification, Qwen2Model

TAG = "<file_sep>"  # of the embedded model's tokenizer; a separator is any token of its own
PROCESS, OUTCOME = "http://127.0.0.1:18611", "http://127.0.0.1:18612"
SIZES: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 1024,
    "initializer_range": 0.4,
    "tie_word_embeddings": False,
    "pad_token_id": 2,
}


def head() -> nn.Sequential:
    """The head of Qwen2.5-Math-PRM, which transformers does not have."""
    return nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2))


def make(source: str, folder: Path) -> None:
    """Write the two models."""
    tokenizer = AutoTokenizer.from_pretrained(source)
    config = Qwen2Config(vocab_size=len(tokenizer), **SIZES)
    torch.manual_seed(7)
    body, top = Qwen2Model(config), head()
    for one in top.parameters():
        nn.init.normal_(one, std=0.1)
    weights = {f"model.{name}": value for name, value in body.state_dict().items()}
    weights |= {f"score.{name}": value for name, value in top.state_dict().items()}
    config.architectures, config.dtype = ["Qwen2ForProcessRewardModel"], "float32"
    config.save_pretrained(folder / "process")
    whole = {name: value.contiguous() for name, value in weights.items()}
    save_file(whole, folder / "process/model.safetensors", metadata={"format": "pt"})
    outcome = Qwen2ForSequenceClassification(
        Qwen2Config(vocab_size=len(tokenizer), **SIZES, num_labels=1, dtype="float32")
    )
    nn.init.normal_(outcome.score.weight, std=0.1)
    outcome.save_pretrained(folder / "outcome")
    for name in ("process", "outcome"):
        tokenizer.save_pretrained(folder / name)


class Transformers:
    """The same numbers by transformers."""

    def __init__(self, folder: Path) -> None:
        self.tokenizer = AutoTokenizer.from_pretrained(folder / "process")
        weights = load_file(folder / "process/model.safetensors")
        self.body = Qwen2Model(Qwen2Config.from_pretrained(folder / "process")).eval()
        self.top = head()
        for part, prefix in ((self.body, "model."), (self.top, "score.")):
            part.load_state_dict(
                {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
            )
        self.whole = Qwen2ForSequenceClassification.from_pretrained(folder / "outcome").eval()

    def steps(self, text: str) -> list[float]:
        """Probability that each step is good."""
        ids = self.tokenizer(text, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            probabilities = self.top(self.body(ids).last_hidden_state).softmax(-1)[0, :, 1]
        tag = self.tokenizer.convert_tokens_to_ids(TAG)
        return [float(one) for one in probabilities[ids[0] == tag]]

    def outcome(self, text: str) -> float:
        """Probability that a text is good."""
        ids = self.tokenizer(text, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            return float(self.whole(ids).logits.sigmoid()[0, 0])

    def conversation(self, messages: list[dict[str, str]]) -> str:
        """The text that the template makes of messages."""
        text: str = self.tokenizer.apply_chat_template(messages, tokenize=False)
        return text


def ask(url: str, path: str, body: Any) -> dict[str, Any]:
    """Make a request; return it with its response."""
    data = json.dumps(body).encode()
    request = urllib.request.Request(url + path, data, {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request) as response:
            status, answer = response.status, response.read()
    except urllib.error.HTTPError as error:
        status, answer = error.code, error.read()
    return {
        "request": {"path": path, "json": body},
        "response": {"status": status, "body": json.loads(answer)},
    }


def record(folder: Path, out: Path) -> None:
    """Record every call with the scores that transformers gives."""
    own = Transformers(folder)
    prompt = "What is 3 + 4?\n"
    answers = [("3 + 4 = 7", "So it is 7."), ("It is 8",), ("Да, семь", "😀", "это 7")]
    tagged = ["".join(step + TAG for step in steps) for steps in answers]
    plain = ["".join(steps) for steps in answers]
    talk = [{"role": "user", "content": prompt}, {"role": "assistant", "content": tagged[0]}]
    said = [{"role": "user", "content": prompt}, {"role": "assistant", "content": plain[0]}]
    texts = {"model": "outcome", "input": [prompt + one for one in plain]}
    pairs = {"model": "outcome", "text_1": prompt, "text_2": plain}
    ranked = {"model": "outcome", "query": prompt, "documents": plain}
    long = {"model": "process", "input": ["a b " * 2000]}
    cases: dict[str, tuple[str, str, Any, Any]] = {
        "pooling_texts": (
            PROCESS,
            "/pooling",
            {"model": "process", "input": [prompt + one for one in tagged]},
            [own.steps(prompt + one) for one in tagged],
        ),
        "pooling_conversation": (
            PROCESS,
            "/pooling",
            {"model": "process", "messages": talk},
            [own.steps(own.conversation(talk))],
        ),
        "pooling_untagged": (
            PROCESS,
            "/pooling",
            {"model": "process", "input": [prompt + plain[0]]},
            None,
        ),
        "pooling_too_long": (PROCESS, "/pooling", long, None),
        "pooling_wrong_model": (PROCESS, "/pooling", {"model": "x", "input": ["a"]}, None),
        "process_classify": (PROCESS, "/classify", {"model": "process", "input": ["a"]}, None),
        "outcome_pooling": (
            OUTCOME,
            "/pooling",
            texts,
            [[own.outcome(one)] for one in texts["input"]],
        ),
        "classify_texts": (
            OUTCOME,
            "/classify",
            texts,
            [[own.outcome(one)] for one in texts["input"]],
        ),
        "classify_conversation": (
            OUTCOME,
            "/classify",
            {"model": "outcome", "messages": said},
            [[own.outcome(own.conversation(said))]],
        ),
        "score": (OUTCOME, "/score", pairs, [[own.outcome(prompt + one)] for one in plain]),
        "rerank": (OUTCOME, "/v1/rerank", ranked, [[own.outcome(prompt + one)] for one in plain]),
        "outcome_predict": (OUTCOME, "/predict", {"inputs": [["a"]]}, None),
    }
    out.mkdir(exist_ok=True)
    for name, (url, path, body, expected) in cases.items():
        found = ask(url, path, body) | {"transformers": expected}
        if name == "pooling_too_long":
            found["request"]["json"] = None  # only its refusal matters
        (out / f"vllm__{name}.json").write_text(json.dumps(found, ensure_ascii=False, indent=1))
        print(name, found["response"]["status"], str(found["response"]["body"])[:300], expected)


if __name__ == "__main__":
    command, first, second = sys.argv[1:]
    if command == "make":
        make(first, Path(second))
    else:
        record(Path(first), Path(second))
