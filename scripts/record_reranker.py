"""Record a real llama.cpp's scores by a tiny random reranker, with transformers' own numbers beside them.

In an environment with torch, transformers and gguf:

    python scripts/record_reranker.py make FOLDER
    llama-server -m FOLDER/reranker.gguf --reranking --port 18621 --ctx-size 128 --ubatch-size 128
    python scripts/record_reranker.py record FOLDER http://127.0.0.1:18621 tests/rewards/captures

(or, with xllamacpp instead of ``llama-server``: ``CommonParams`` with ``embedding`` and ``pooling_type=4``.)
"""

from __future__ import annotations

import json
import re
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import gguf
import torch
from transformers import BertConfig, BertForSequenceClassification

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
CLS, SEP = 2, 3
WORDS = [*SPECIAL, *"0123456789+=?.", "what", "is", "so", "it"]
LAYERS, WIDTH, CONTEXT = 2, 64, 128
#: Names of BERT's tensors in transformers and in GGUF files; the layers' have a number.
WHOLE = {
    "bert.embeddings.word_embeddings": "token_embd",
    "bert.embeddings.position_embeddings": "position_embd",
    "bert.embeddings.token_type_embeddings": "token_types",
    "bert.embeddings.LayerNorm": "token_embd_norm",
    "bert.pooler.dense": "cls",
    "classifier": "cls.output",
}
LAYER = {
    "attention.self.query": "attn_q",
    "attention.self.key": "attn_k",
    "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output",
    "attention.output.LayerNorm": "attn_output_norm",
    "intermediate.dense": "ffn_up",
    "output.dense": "ffn_down",
    "output.LayerNorm": "layer_output_norm",
}
QUERY = "what is 3 + 4 ?"
DOCUMENTS = ["3 + 4 = 7", "it is 8", "so it is 7 ."]


def make(folder: Path) -> None:
    """Write the model, for transformers and as a GGUF file."""
    torch.manual_seed(7)
    config = BertConfig(
        vocab_size=len(WORDS),
        hidden_size=WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=2,
        intermediate_size=2 * WIDTH,
        max_position_embeddings=CONTEXT,
        num_labels=1,
        initializer_range=0.4,
    )
    model = BertForSequenceClassification(config)
    model.save_pretrained(folder)
    writer = gguf.GGUFWriter(folder / "reranker.gguf", "bert")
    writer.add_block_count(LAYERS)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(2 * WIDTH)
    writer.add_head_count(2)
    writer.add_layer_norm_eps(config.layer_norm_eps)
    writer.add_causal_attention(False)
    writer.add_pooling_type(gguf.PoolingType.RANK)
    add_tokenizer(writer)
    names = WHOLE | {
        f"bert.encoder.layer.{layer}.{name}": f"blk.{layer}.{short}"
        for layer in range(LAYERS)
        for name, short in LAYER.items()
    }
    for name, value in model.state_dict().items():
        stem, _, kind = name.rpartition(".")
        if stem in names:
            writer.add_tensor(f"{names[stem]}.{kind}", value.float().contiguous().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def add_tokenizer(writer: gguf.GGUFWriter) -> None:
    """Write a vocabulary of whole words."""
    kinds = gguf.TokenType
    writer.add_tokenizer_model("bert")
    writer.add_token_type_count(2)
    writer.add_token_list([word if word in SPECIAL else f"\u2581{word}" for word in WORDS])
    writer.add_token_types([kinds.CONTROL if word in SPECIAL else kinds.NORMAL for word in WORDS])
    writer.add_pad_token_id(0)
    writer.add_unk_token_id(1)
    writer.add_uint32("tokenizer.ggml.cls_token_id", CLS)
    writer.add_bos_token_id(CLS)
    writer.add_sep_token_id(SEP)
    writer.add_eos_token_id(SEP)
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(True)


def logit(model: BertForSequenceClassification, query: str, document: str) -> float:
    """Score a pair as llama.cpp joins it: [CLS] query [SEP] [SEP] document [SEP], all of type 0."""
    first, second = (
        [WORDS.index(word) for word in re.findall(r"\S+", one)] for one in (query, document)
    )
    ids = torch.tensor([[CLS, *first, SEP, SEP, *second, SEP]])
    with torch.no_grad():
        return float(model(ids, token_type_ids=torch.zeros_like(ids)).logits[0, 0])


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


def record(folder: Path, url: str, out: Path) -> None:
    """Record scores, a text that is too long and a call that llama.cpp does not have."""
    model = BertForSequenceClassification.from_pretrained(folder).eval()
    fields = {"model": "m", "query": QUERY}
    long = fields | {"documents": ["3 + 4 = 7 " * 30]}
    cases = {
        "rerank": ("/v1/rerank", fields | {"documents": DOCUMENTS}),
        "rerank_too_long": ("/v1/rerank", long),
        "classify": ("/classify", {"model": "m", "input": ["a"]}),
    }
    for name, (path, body) in cases.items():
        found = ask(url, path, body)
        if name == "rerank":
            found["transformers"] = [[logit(model, QUERY, one)] for one in DOCUMENTS]
        (out / f"llamacpp__{name}.json").write_text(json.dumps(found, indent=1))
        print(name, found["response"], found.get("transformers"))


if __name__ == "__main__":
    if sys.argv[1] == "make":
        make(Path(sys.argv[2]))
    else:
        record(Path(sys.argv[2]), sys.argv[3], Path(sys.argv[4]))
