"""How things are said to people."""

from __future__ import annotations


def sentence(text: str) -> str:
    """What the server said, as a sentence: it speaks in clauses."""
    text = text.strip()
    return (
        text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?", "…")) else ".") if text else text
    )
