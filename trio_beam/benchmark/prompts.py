"""Build a problem's prompt from the ``prompt`` settings."""

from __future__ import annotations

from trio_beam.benchmark.settings import PromptGroup
from trio_beam.core.prompt import PromptLike
from trio_beam.errors import ConfigError

_PLACE = "{prompt}"


def check_template(group: PromptGroup) -> None:
    """Raise `ConfigError` if the template has no placeholder for the problem."""
    if _PLACE not in group.template:
        raise ConfigError("prompt.template", f"a text with {_PLACE} in it", group.template)


def build_prompt(
    group: PromptGroup, problem: str, *, instruction: str, suffix: str | None
) -> PromptLike:
    """Build chat messages, or with ``chat=false`` a text to continue.

    Args:
        group: the group ``prompt``.
        problem: the problem's own text.
        instruction: the benchmark's, for the system message unless the group has one.
        suffix: replaces the group's; None: use the group's.
    """
    behind = group.suffix if suffix is None else suffix
    text = group.template.replace(_PLACE, f"{group.prefix}{problem}{behind}")
    if not group.chat:
        return f"{group.system}\n\n{text}" if group.system else text
    system = instruction if group.system is None else group.system
    user = {"role": "user", "content": text}
    return [{"role": "system", "content": system}, user] if system else [user]
