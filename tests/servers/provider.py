"""A provider of batches, as documented: files, batches, their states, answers in any order, errors apart.

A batch comes a step closer to its end whenever it is asked about: validating, in_progress, finalizing,
completed. What happens to each request is scripted.
"""

from __future__ import annotations

import json
import random
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import trio

from tests.servers.chat_server import ChatServer
from tests.servers.mock_server import completion
from tests.servers.threaded import Asked, threaded

Answer = tuple[int, Any]
#: Given the number of the batch (from 1) and the body of a request, returns its status and answer; None: it
#: expires with the batch; a text: the code of an error without an answer.
Script = Callable[[int, dict[str, Any]], Answer | str | None]
STATES = ("validating", "in_progress", "finalizing")


def answering(number: int, body: dict[str, Any]) -> Answer:
    """Answer every request, in either call."""
    return 200, ChatServer().answer(body) if "messages" in body else completion(body)


class Provider:
    """The provider.

    Attributes:
        script: what happens to each request.
        ends: how the batch of a number ends, unless as ``completed``; ``failed`` has no answers.
        lost: calls whose response is lost although the provider has done what they ask for, each once.
        files: the content of each file, by id, with its name.
        batches: by id.
        calls: method and path of every call.
    """

    def __init__(self, script: Script = answering) -> None:
        self.script = script
        self.ends: dict[int, str] = {}
        self.lost: list[str] = []
        self.down = 0
        self.files: dict[str, tuple[str, bytes]] = {}
        self.batches: dict[str, dict[str, Any]] = {}
        self.calls: list[str] = []
        self.lock = threading.Lock()

    @property
    def uploaded(self) -> list[str]:
        """The names of the files that were sent."""
        return [name for name, _ in self.files.values() if name.startswith("trio-beam")]

    def requests(self) -> list[dict[str, Any]]:
        """All requests in all batches, in order."""
        found = []
        for batch in self.batches.values():
            _, content = self.files[batch["input_file_id"]]
            found += [json.loads(line) for line in content.splitlines()]
        return found

    def handle(self, method: str, url: str, content_type: str, content: bytes) -> Answer:
        """Answer one call."""
        path, _, query = url.partition("?")
        self.calls.append(f"{method} {path}")
        if self.down:
            self.down -= 1
            return 503, {"error": {"message": "not now"}}
        match method, path.removeprefix("/v1/").split("/"):
            case "GET", ["models"]:
                return 200, {"data": [{"id": "m"}]}
            case "POST", ["files"]:
                return 200, self._upload(content_type, content)
            case "GET", ["files"]:
                rows = [{"id": one, "filename": name} for one, (name, _) in self.files.items()]
                return 200, self._page(rows, query)
            case "GET", ["files", name, "content"] if name in self.files:
                return 200, self.files[name][1]
            case "POST", ["batches"]:
                return self._create(json.loads(content))
            case "GET", ["batches"]:
                return 200, self._page(list(self.batches.values()), query)
            case "GET", ["batches", name] if name in self.batches:
                return 200, self._advance(self.batches[name])
        return 404, {"error": {"message": f"no such thing: {path}"}}

    def _page(self, rows: list[dict[str, Any]], query: str) -> dict[str, Any]:
        """Two rows at a time, newest first."""
        rows.reverse()
        after = re.search(r"after=([\w-]+)", query)
        start = 1 + [row["id"] for row in rows].index(after[1]) if after else 0
        return {"data": rows[start : start + 2], "has_more": start + 2 < len(rows)}

    def _upload(self, content_type: str, content: bytes) -> dict[str, Any]:
        boundary = content_type.partition("boundary=")[2].encode()
        parts = content.split(b"--" + boundary)
        assert (parts[0], parts[-1]) == (b"", b"--\r\n")
        fields = {}
        for part in parts[1:-1]:
            head, _, value = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
            name = re.search(rb' name="(\w+)"', head)
            assert name is not None
            fields[name[1]] = (head, value.removesuffix(b"\r\n"))
        assert fields[b"purpose"][1] == b"batch"
        head, data = fields[b"file"]
        filename = re.search(rb'filename="([^"]+)"', head)
        assert filename is not None
        return {"id": self._store(filename[1].decode(), data), "filename": filename[1].decode()}

    def _store(self, name: str, data: bytes) -> str:
        number = f"file-{len(self.files) + 1}"
        self.files[number] = (name, data)
        return number

    def _create(self, given: dict[str, Any]) -> Answer:
        _, content = self.files[given["input_file_id"]]
        lines = [json.loads(line) for line in content.splitlines()]
        assert len(lines) <= 50_000
        assert len({line["custom_id"] for line in lines}) == len(lines)
        assert all(line["url"] == given["endpoint"] for line in lines)
        assert all(line["method"] == "POST" for line in lines)
        assert given["completion_window"] == "24h"
        number = f"batch-{len(self.batches) + 1}"
        counts = {"total": len(lines), "completed": 0, "failed": 0}
        batch = {
            **given,
            "id": number,
            "status": STATES[0],
            "request_counts": counts,
            "errors": None,
        }
        self.batches[number] = batch | {"output_file_id": None, "error_file_id": None}
        return 200, self.batches[number]

    def _advance(self, batch: dict[str, Any]) -> dict[str, Any]:
        status = batch["status"]
        if status in STATES[:-1]:
            batch["status"] = STATES[STATES.index(status) + 1]
        elif status == STATES[-1]:
            self._end(batch)
        return dict(batch)

    def _end(self, batch: dict[str, Any]) -> None:
        number = int(batch["id"].removeprefix("batch-"))
        batch["status"] = self.ends.get(number, "completed")
        if batch["status"] == "failed":
            batch["errors"] = {"data": [{"code": "invalid", "message": "no good", "line": 1}]}
            return
        outputs: list[dict[str, Any]] = []
        errors: list[dict[str, Any]] = []
        for line in map(json.loads, self.files[batch["input_file_id"]][1].splitlines()):
            found = self.script(number, line["body"])
            row: dict[str, Any] = {"id": "r", "custom_id": line["custom_id"], "error": None}
            if found is None:
                if batch["status"] != "expired":
                    continue  # neither file has it
                found = "batch_expired"
            if isinstance(found, str):
                error = {"code": found, "message": f"It is so: {found}."}
                errors.append({**row, "response": None, "error": error})
                continue
            status, body = found
            rows = outputs if status == 200 else errors
            rows.append(
                {**row, "response": {"status_code": status, "request_id": "q", "body": body}}
            )
        random.Random(number).shuffle(outputs)
        for name, rows in (("output_file_id", outputs), ("error_file_id", errors)):
            if rows:
                data = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
                batch[name] = self._store(f"{batch['id']}.jsonl", data.encode())
        batch["request_counts"] |= {"completed": len(outputs), "failed": len(errors)}

    # -- doors

    async def respond(self, request: httpx.Request) -> httpx.Response:
        """Answer without a socket."""
        await trio.lowlevel.checkpoint()
        content = await request.aread()
        url = request.url.raw_path.decode()
        kind = request.headers.get("content-type", "")
        status, answer = self.handle(request.method, url, kind, content)
        call = f"{request.method} {request.url.path}"
        if call in self.lost:
            self.lost.remove(call)
            raise httpx.ReadError("connection lost", request=request)
        if isinstance(answer, bytes):
            return httpx.Response(status, content=answer)
        return httpx.Response(status, json=answer)

    @contextmanager
    def listening(self) -> Iterator[str]:
        """Serve on a socket while the block runs; yields the base URL."""

        def answer(asked: Asked) -> Answer:
            kind = asked.headers.get("content-type", "")
            with self.lock:
                return self.handle(asked.method, asked.path, kind, asked.content)

        with threaded(answer) as url:
            yield url
