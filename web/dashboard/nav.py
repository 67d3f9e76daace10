"""The navigation: which sections there are, in which order, and who sees them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from flask import current_app


@dataclass(frozen=True, slots=True)
class Section:
    """One entry. `slug` is what a page says it belongs to; `endpoint` is where the entry leads."""

    slug: str
    label: str
    icon: str
    operators_only: bool = False

    @property
    def endpoint(self) -> str:
        """The name of its first page."""
        return f"dashboard.{self.slug}"


MAIN = (
    Section("overview", "Overview", "layout-dashboard"),
    Section("emails", "Emails", "mail"),
    Section("environments", "Environments", "layers"),
    Section("provider_accounts", "Providers", "plug"),
    Section("suppressions", "Suppressions", "ban"),
    Section("webhooks", "Webhooks", "webhook"),
    Section("statistics", "Statistics", "chart-column"),
    Section("drills", "Drills", "flame"),
)
MORE = (
    Section("team", "Team", "users"),
    Section("audit", "Audit log", "scroll-text"),
    Section("settings", "Settings", "settings"),
    Section("system", "System", "activity", operators_only=True),
)

# Behind the person's name, above logging out.
PERSON = (Section("settings", "Your settings", "user"),)


def sections(operator: bool) -> list[list[Section]]:
    """Both groups, without what this person may not see and what does not exist (yet)."""
    return [list(_visible(group, operator)) for group in (MAIN, MORE)]


def person_sections() -> list[Section]:
    """What concerns the person, whatever the account."""
    return list(_visible(PERSON, operator=False))


def _visible(group: tuple[Section, ...], operator: bool) -> Iterator[Section]:
    for section in group:
        if section.endpoint in current_app.view_functions and (operator or not section.operators_only):
            yield section
