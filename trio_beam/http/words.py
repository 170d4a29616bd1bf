"""The border for words of others: a server's, a library's, the system's.

Whatever they say becomes a part of our errors, events, logs and records only by way of `Words`: the
secrets are taken out of the whole of it, then control characters are escaped, and only then is it cut.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from trio_beam.core.printable import printable
from trio_beam.errors import ConfigError, EndpointError, RequestRejected
from trio_beam.http.secrets import Secrets

#: Characters of a long message that are shown: of its beginning, and of its end, where our advice stands.
_BEGINNING, _END = 600, 300
#: How many times as many are looked at; the rest is shown to nobody.
_FACTOR = 8
#: Loggers that write URLs, reasons and headers as they are. A logger's filter does not hold for its children.
_LOGGERS = (
    "httpx",
    *(f"httpcore.{name}" for name in ("connection", "http11", "http2", "proxy", "socks")),
)


class Words:
    """Makes words of others fit to be shown.

    Args:
        secrets: must not be shown, in any spelling.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        self._secrets = Secrets(secrets)
        self._filter = _LogFilter(self._secrets)

    def fit(self, text: str) -> str:
        """Return a text without secrets and control characters, and not too long."""
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
        """Make an error fit to be shown, also by a traceback.

        What it was raised from, or while it was handled, is dropped: it speaks in words of others too.
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
        """Keep the secrets out of the log lines of httpx, until `leave_logs`."""
        for name in _LOGGERS:
            logging.getLogger(name).addFilter(self._filter)

    def leave_logs(self) -> None:
        """Undo `watch_logs`."""
        for name in _LOGGERS:
            logging.getLogger(name).removeFilter(self._filter)


class _LogFilter(logging.Filter):
    """Makes log lines fit to be shown; costs nothing where none are written."""

    def __init__(self, secrets: Secrets) -> None:
        super().__init__()
        self._secrets = secrets

    def filter(self, record: logging.LogRecord) -> bool:
        said = record.getMessage()
        safe = printable(self._secrets.redact(said))
        if safe != said:
            record.msg, record.args = safe, None
        return True
