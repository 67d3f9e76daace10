"""The chapters of the reference: the Markdown files beside this one, in the order of their names."""

from __future__ import annotations

from importlib import resources
from string import Template

from web.reference.problems import KINDS

_TAGS = {
    "Send": "Hand mail over. `202` means that it is on disk.",
    "Get": "What became of it, and why.",
    "Schedule": "Another time, or not at all.",
    "Events": "Everything that happens, in order.",
    "Suppressions": "Addresses that must not be mailed.",
    "Webhooks": "Your own programs, told of events.",
    "Webhook events": "What Flute posts to your endpoints, by type.",
    "Statistics": "Figures over time.",
    "Environment": "What the key belongs to.",
}


def chapters() -> dict[str, str]:
    """Name of the file -> Markdown."""
    files = (file for file in resources.files(__name__).iterdir() if file.name.endswith(".md"))
    return {file.name: file.read_text(encoding="utf-8") for file in sorted(files, key=lambda file: file.name)}


def introduction() -> str:
    """All chapters."""
    return Template("\n\n".join(chapters().values())).safe_substitute(problems=_problems())


def tags() -> list[dict[str, str]]:
    """The headings of the calls, in their order."""
    return [{"name": name, "description": text} for name, text in _TAGS.items()]


def _problems() -> str:
    rows = (f"| {kind.status} | `{kind.code}` | {kind.means} | {kind.do} |" for kind in KINDS.values())
    return "\n".join(["| status | code | meaning | what to do |", "|---|---|---|---|", *rows])
