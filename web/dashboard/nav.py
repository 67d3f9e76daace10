"""The navigation: which sections there are, in which order, and who sees them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from flask import current_app
from flute.v1.annotations_pb2 import ROLE_ADMIN, ROLE_UNSPECIFIED, Role
from flute.v1.person_service_pb2 import Me


@dataclass(frozen=True, slots=True)
class Section:
    """One entry. `slug` is what a page says it belongs to; `endpoint` is where the entry leads.

    role: the least with which its first page may be seen.
    """

    slug: str
    label: str
    icon: str
    operators_only: bool = False
    role: Role.ValueType = ROLE_UNSPECIFIED

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
    Section("audit", "Audit log", "scroll-text", role=ROLE_ADMIN),
    Section("settings", "Settings", "settings"),
    Section("system", "System", "activity", operators_only=True),
)

# Behind the person's name, above logging out.
PERSON = (Section("settings", "Your settings", "user"),)


def sections(me: Me) -> list[list[Section]]:
    """Both groups, without what this person may not see and what does not exist (yet)."""
    return [list(_visible(group, me)) for group in (MAIN, MORE)]


def person_sections(me: Me) -> list[Section]:
    """What concerns the person, whatever the account."""
    return list(_visible(PERSON, me))


def _visible(group: tuple[Section, ...], me: Me) -> Iterator[Section]:
    for section in group:
        seen = me.role >= section.role and (me.operator or not section.operators_only)
        if seen and section.endpoint in current_app.view_functions:
            yield section
