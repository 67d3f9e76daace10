"""API keys never reach a log or an answer, also not inside a text that somebody else wrote."""

from __future__ import annotations

import logging
import re

_KEY = re.compile(r"flute_[A-Za-z0-9_-]{8,}")


def redact(text: str) -> str:
    """The text with everything that looks like an API key made unreadable."""
    return _KEY.sub("flute_***", text)


class RedactKeys(logging.Filter):
    """Redacts what is about to be logged, exceptions included."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record through, without keys."""
        record.msg, record.args = redact(record.getMessage()), None
        if record.exc_info and not record.exc_text:
            record.exc_text = redact(logging.Formatter().formatException(record.exc_info))
        return True
