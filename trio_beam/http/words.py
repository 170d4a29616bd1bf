"""Makes foreign text safe to show: text of a server, a library or the operating system.

Such text reaches errors, events, logs and records only through `Words`, which redacts secrets in all of it,
then escapes control characters, and only then shortens it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from trio_beam.core.printable import printable
from trio_beam.errors import ConfigError, EndpointError, RequestRejected
from trio_beam.http.secrets import Secrets

#: Characters shown of a long message: of its beginning, and of its end, which holds our advice.
_BEGINNING, _END = 600, 300
#: How many times as many are redacted; the rest is never shown.
_FACTOR = 8
#: Loggers of URLs, reasons and headers. A filter of a logger does not apply to its children.
_LOGGERS = (
    "httpx",
    *(f"httpcore.{name}" for name in ("connection", "http11", "http2", "proxy", "socks")),
)


class Words:
    """Makes foreign text safe to show.

    Args:
        secrets: redacted in every encoding.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        self._secrets = Secrets(secrets)
        self._filter = _LogFilter(self._secrets)

    def fit(self, text: str) -> str:
        """Return a text without secrets and control characters, shortened in the middle."""
        beginning, end = text, ""
        if len(text) > (_BEGINNING + _END) * _FACTOR:
            beginning, end = text[: _BEGINNING * _FACTOR], text[-_END * _FACTOR :]
        beginning, end = (printable(self._secrets.redact(part)) for part in (beginning, end))
        if end:
            return f"{beginning[:_BEGINNING]}...{end[-_END:]}"
        if len(beginning) > _BEGINNING + _END + len("..."):
            return f"{beginning[:_BEGINNING]}...{beginning[-_END:]}"
        return beginning

    def mend(self, error: EndpointError | ConfigError) -> None:
        """Make an error safe to show, also in a traceback.

        Its cause and context are dropped: they hold foreign text as well.
        """
        if isinstance(error, EndpointError):
            error.message = self.fit(error.message)
            error.args = (error.message,)
        else:
            error.args = (self.fit(str(error)),)
        if isinstance(error, RequestRejected):
            error.code = self.fit(error.code)
            error.fields = tuple([self.fit(name) for name in error.fields])
        error.__cause__ = error.__context__ = None

    def watch_logs(self) -> None:
        """Redact httpx's log lines until `leave_logs`."""
        for name in _LOGGERS:
            logging.getLogger(name).addFilter(self._filter)

    def leave_logs(self) -> None:
        """Undo `watch_logs`."""
        for name in _LOGGERS:
            logging.getLogger(name).removeFilter(self._filter)


class _LogFilter(logging.Filter):
    """Makes log lines safe to show; free of cost where none are written."""

    def __init__(self, secrets: Secrets) -> None:
        super().__init__()
        self._secrets = secrets

    def filter(self, record: logging.LogRecord) -> bool:
        said = record.getMessage()
        safe = printable(self._secrets.redact(said))
        if safe != said:
            record.msg, record.args = safe, None
        return True
