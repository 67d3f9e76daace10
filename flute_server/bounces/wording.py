"""Finds what a bounce's text says about one address, and where the returned mail begins."""

from __future__ import annotations

import re
from collections.abc import Iterable

MAX_PASSAGE = 2_000

# qmail, Exim, Gmail, sendmail, Yahoo and their imitators.
_RETURNED = re.compile(
    r"^(?:[ \t>]*"
    r"-{2,} ?(?:this is a copy of|below (?:this|the next) line is|original message|forwarded message"
    r"|returned m|the body of the message|unsent message|the header|start of returned"
    r"|message header|included message|- ?message header).*"
    r"|received: (?:from|by) \S.*|return-path: ?<.*|message-id: ?<.*)$",
    re.IGNORECASE | re.MULTILINE,
)
_WORD = re.compile(r"[^\W\d_]{2}")


def before_returned(text: str) -> str:
    """The reporter's own words."""
    match = _RETURNED.search(text)
    return text[: match.start()] if match else text


def passage(text: str, addresses: Iterable[str], others: Iterable[str]) -> str:
    """The words about one address (under any of its names): from where it stands to where another one does.

    All of the reporter's words when it is not named, or when it alone is and nothing follows.
    """
    own = before_returned(text)
    paragraphs = [" ".join(p.split()) for p in re.split(r"\n[ \t]*\n", own)]
    names = [name.lower() for name in addresses if name]
    strangers = [name.lower() for name in others if name and name.lower() not in names]
    start = next((n for n, p in enumerate(paragraphs) if _names(p, names)), None)
    if start is None:
        return " ".join(paragraphs).strip()[:MAX_PASSAGE]
    taken = [paragraphs[start]]
    for paragraph in paragraphs[start + 1 :]:
        if _names(paragraph, strangers):
            break
        taken.append(paragraph)
    if not strangers and not _says_something(taken):
        taken = paragraphs
    return " ".join(taken).strip()[:MAX_PASSAGE]


def _says_something(paragraphs: list[str]) -> bool:
    """More than addresses."""
    return len([word for p in paragraphs for word in p.split() if "@" not in word and _WORD.search(word)]) > 1


def _names(paragraph: str, names: list[str]) -> bool:
    low = paragraph.lower()
    return any(name in low for name in names)
