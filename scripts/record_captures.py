"""Record what a server answers, in the form that the tests in tests/dialects read.

Each case becomes one file, `<server>__<case>.json`, with the request and the answer. What it holds is
what was sent over the wire, less the key: headers that may hold a secret are left out, and where a
server repeats the key it is struck out. Some of the cases are meant to be refused. Look through what
the server tells of itself (`props` has the place of its model) before you give it away.

    uv run python scripts/record_captures.py http://127.0.0.1:8000/v1
    uv run python scripts/record_captures.py http://127.0.0.1:8080 --name llamacpp --out captures
    uv run python scripts/record_captures.py http://127.0.0.1:8080 --only '*utf8*' --only 'stream_*'
    uv run python scripts/record_captures.py https://api.example.com/v1 --api-key-env KEY --model m
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import httpx
from capture_cases import Case, Server, cases

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Headers of an answer that are kept; no other can be trusted to hold no secret.
KEPT = {
    *("server", "content-type", "content-length", "transfer-encoding", "connection"),
    *("keep-alive", "retry-after"),
}
#: Characters of a prompt that are written down, if it is a long one.
SHOWN = 40
LONG = 1000


class Recorded(NamedTuple):
    status: int
    body: Any


class Recorder:
    """Sends a case and records the response.

    Args:
        client: with the key in its headers, if there is one.
        root: the base URL without ``/v1``.
        name: of the server, in the names of the files.
        out: the folder.
        secret: text that must not be written.
    """

    def __init__(
        self, client: httpx.Client, root: str, name: str, out: Path, secret: str | None
    ) -> None:
        self.client = client
        self.root = root
        self.name = name
        self.out = out
        self.secret = secret

    def ask(self, case: Case) -> httpx.Response:
        if isinstance(case.json, str):  # JSON that is none
            content = case.json.encode()
        else:
            content = b"" if case.json is None else json.dumps(case.json).encode()
        headers = {"content-type": "application/json"} if content else {}
        url = self.root + case.path
        return self.client.request(case.method, url, content=content, headers=headers)

    def record(self, case: Case) -> Recorded:
        """Raises: httpx.HTTPError: no answer."""
        response = self.ask(case)
        name = f"{self.name}__{case.name}"
        body = body_of(self._clean(response.content.decode("utf-8", "replace")), response.headers)
        headers = {key: value for key, value in response.headers.items() if key in KEPT}
        whole = {
            "case": name,
            "request": {
                "method": case.method,
                "path": case.path,
                "json": abbreviated(case.json),
            },
            "response": {"status": response.status_code, "headers": headers, "body": body},
        }
        text = json.dumps(whole, indent=1, ensure_ascii=False)
        self.out.mkdir(parents=True, exist_ok=True)
        (self.out / f"{name}.json").write_text(text, "utf-8")
        return Recorded(response.status_code, body)

    def _clean(self, text: str) -> str:
        return text.replace(self.secret, "***") if self.secret else text


def body_of(text: str, headers: httpx.Headers) -> Any:
    """JSON as it is, a stream as its lines, anything else as text."""
    if "event-stream" in headers.get("content-type", ""):
        return text[:-1].split("\n") if text.endswith("\n") else text
    try:
        return json.loads(text)
    except ValueError:
        return text


def abbreviated(value: Any) -> Any:
    """The same without the length of prompts that are only long."""
    if isinstance(value, dict):
        return {key: abbreviated(inner) for key, inner in value.items()}
    if isinstance(value, str) and len(value) > LONG:
        return f"{value[:SHOWN]}…[{len(value)} chars, repeated]"
    return value


def examined(recorder: Recorder, model: str | None) -> Server:
    """Query the details of a server that the cases depend on.

    Raises:
        httpx.HTTPError: the server cannot be reached.
    """

    def get(path: str, method: str = "GET", body: Any = None) -> dict[str, Any]:
        response = recorder.ask(Case("", method, path, body))
        try:
            found = response.json()
        except ValueError:
            found = None
        return found if response.is_success and isinstance(found, dict) else {}

    entry: dict[str, Any] = next(iter(get("/v1/models").get("data", [])), {})
    props, version = get("/props"), get("/version")
    context = props.get("default_generation_settings", {}).get("n_ctx")
    owner = re.sub(r"\W", "", str(entry.get("owned_by", "")).lower())
    kind = "llama_cpp" if props else "vllm" if "version" in version else owner
    model = model or entry.get("id")
    if model is None:
        raise SystemExit("the server lists no model: name one with --model")
    words = "Once upon a time"
    fields = {"content": words, "model": model, "prompt": words}
    tokens = get("/tokenize", "POST", fields).get("tokens")
    return Server(
        kind=kind,
        model=model,
        slots=props.get("total_slots"),
        context=entry.get("max_model_len") or context,
        ids=tokens if isinstance(tokens, list) else None,
    )


def record_all(recorder: Recorder, chosen: Sequence[Case]) -> int:
    """How many had no answer; the others are written as they come."""
    failed = written = 0
    try:
        for place, case in enumerate(chosen, start=1):
            print(f"[{place}/{len(chosen)}] {case.name}: ", end="", file=sys.stderr, flush=True)
            try:
                recorded = recorder.record(case)
            except httpx.HTTPError as error:
                failed += 1
                print(f"no answer: {error or type(error).__name__}", file=sys.stderr)
            else:
                written += 1
                print(recorded.status, file=sys.stderr)
    finally:
        print(f"{written} files in {recorder.out}", file=sys.stderr)
    return failed


def parse(words: Sequence[str] | None) -> argparse.Namespace:
    description, _, examples = (__doc__ or "").partition("\n\n    ")
    parser = argparse.ArgumentParser(
        description=description,
        epilog="examples:\n    " + examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("url", help="base URL of the server, with or without /v1")
    parser.add_argument("--out", type=Path, default=Path("captures"), help="folder (./captures)")
    parser.add_argument("--name", help="of the server in the files' names (else its kind)")
    parser.add_argument("--model", help="else the first that it lists")
    parser.add_argument("--only", action="append", metavar="PATTERN", help="cases to record")
    parser.add_argument("--api-key-env", metavar="NAME", help="variable that holds the key")
    parser.add_argument("--timeout", type=float, default=120, help="seconds for an answer (120)")
    return parser.parse_args(words)


def main(words: Sequence[str] | None = None) -> int:
    options = parse(words)
    root = options.url.rstrip("/").removesuffix("/v1")
    secret = os.environ.get(options.api_key_env) if options.api_key_env else None
    if options.api_key_env and not secret:
        print(f"the variable {options.api_key_env} is not set", file=sys.stderr)
        return 1
    headers = {"authorization": f"Bearer {secret}"} if secret else {}
    timeout = httpx.Timeout(options.timeout, connect=10)
    try:
        # A connection for each: some servers close theirs without a word after a stream.
        limits = httpx.Limits(max_keepalive_connections=0)
        with httpx.Client(
            headers=headers, timeout=timeout, limits=limits, trust_env=False
        ) as client:
            recorder = Recorder(client, root, "", options.out, secret)
            server = examined(recorder, options.model)
            recorder.name = options.name or server.kind.replace("_", "") or "server"
            patterns = options.only or ["*"]
            chosen = [
                case
                for case in cases(server)
                if any(fnmatch(case.name, pattern) for pattern in patterns)
            ]
            if not chosen:
                print("no case has such a name", file=sys.stderr)
                return 1
            return 1 if record_all(recorder, chosen) else 0
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        print(f"cannot reach {options.url}: {error or type(error).__name__}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; what was recorded stays", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
