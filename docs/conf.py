"""The site: `scripts/build_docs` makes it in ``docs/_build``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

import trio_beam

project = "trio_beam"
version = release = trio_beam.__version__
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
]
html_theme = "furo"
html_title = project
html_copy_source = False
html_show_copyright = False
exclude_patterns = ["_build"]

myst_heading_anchors = 3
# A `name` in a docstring is a reference where there is such a name, and code where there is none.
default_role = "py:obj"

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
python_maximum_signature_line_length = 80
python_use_unqualified_type_names = True

napoleon_use_rtype = False

ROOT = Path(__file__).parents[1]
#: Links to files of the repository that are no pages.
_OUTSIDE = re.compile(r"\[([^\]]*)\]\(((?:\.\./)+(?!\.)[^)#]*)(#[^)]*)?\)")


def unlink_files(app: Sphinx, page: str, source: list[str]) -> None:
    """Name the files of the repository that a page links to: on the site there is nothing to link to."""

    def named(match: re.Match[str]) -> str:
        text, target = match[1], match[2]
        path = (Path(app.srcdir) / page).parent.joinpath(target).resolve()
        if not path.is_relative_to(ROOT) or path.is_relative_to(app.srcdir):
            return match[0]
        assert path.exists(), f"{page} links to {target}, which does not exist"
        return f"{text} (`{path.relative_to(ROOT)}`)"

    source[0] = _OUTSIDE.sub(named, source[0])


def shorten_signature(*given: Any) -> tuple[str, str] | None:
    """Show a default that attrs makes of other fields as an ellipsis."""
    *_, signature, returns = given
    return (signature.replace("NOTHING", "..."), returns) if signature else None


def setup(app: Sphinx) -> None:
    """Connect what is ours."""
    app.connect("source-read", unlink_files)
    app.connect("autodoc-process-signature", shorten_signature)
