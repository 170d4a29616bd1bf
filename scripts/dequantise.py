"""Convert the embedded model's weights to a folder for vLLM and transformers.

Run with a Python that has torch, transformers, accelerate and gguf (`check_vllm.sh` makes one):

    python scripts/dequantise.py MODEL.gguf FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM


def main(source: Path, target: Path) -> None:
    # bfloat16 is what vLLM computes in; the 4-bit weights fit into it with room to spare.
    kind = torch.bfloat16
    quantised = AutoModelForCausalLM.from_pretrained(
        source.parent, gguf_file=source.name, dtype=kind
    )
    config = quantised.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config  # else it refuses to be saved
    plain = LlamaForCausalLM(config).to(kind)
    plain.load_state_dict(quantised.state_dict())
    plain.save_pretrained(target)
    AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name).save_pretrained(target)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
