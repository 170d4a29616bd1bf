"""Where the keys of embedded servers are kept, so that programs of the same user find them.

Each server has a key of its own, made when it starts. It lies in a file that is named after the server's
port, in a folder that only its user can read, and is removed when the server ends.
"""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

from trio_beam.errors import LocalModelError

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def local_api_key(base_url: str) -> str | None:
    """Return the key of the embedded server at a base URL, if this user has started one there.

    An `Endpoint` looks it up by itself; this is for other clients:
    ``OpenAI(base_url=url, api_key=local_api_key(url))``.
    """
    try:
        parts = urlsplit(base_url.strip())
        port = parts.port or 80
    except ValueError:
        return None
    if parts.scheme != "http" or parts.hostname not in LOOPBACK:
        return None
    try:
        return key_file(_folder(), port).read_text("ascii")
    except (OSError, LocalModelError, UnicodeDecodeError):
        return None


def key_file(folder: Path, port: int) -> Path:
    """Return the file with the key of the server at a port."""
    return folder / f"{port}.key"


def make_key_folder() -> Path:
    """Return the folder of the keys, made if it is not there.

    Raises:
        LocalModelError: it cannot be made, or others may read it.
    """
    path = _path()
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise LocalModelError(f"cannot make the folder {path}: {error.strerror}") from None
    return _folder()


def _folder() -> Path:
    """The folder of the keys, if it is this user's alone; in a shared one anybody may have made it."""
    path = _path()
    try:
        found = path.lstat()
    except OSError as error:
        raise LocalModelError(f"cannot read the folder {path}: {error.strerror}") from None
    if hasattr(os, "getuid") and (
        not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077
    ):
        raise LocalModelError(f"{path} must be a folder of this user that nobody else can read")
    return path


def _path() -> Path:
    if runtime := os.environ.get("XDG_RUNTIME_DIR"):
        return Path(runtime) / "trio-beam"
    user = f"-{os.getuid()}" if hasattr(os, "getuid") else ""  # Windows has a folder for each user
    return Path(tempfile.gettempdir()) / f"trio-beam{user}"
