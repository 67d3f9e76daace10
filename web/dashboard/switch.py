"""Pages that show one environment at a time, which the address names: ?environment=ID, or else the first."""

from __future__ import annotations

from dataclasses import dataclass

from flask import request, url_for
from flute.v1.environment_service_pb2 import Environment, ListEnvironmentsRequest, ListEnvironmentsResponse
from werkzeug.exceptions import NotFound

from web.dashboard.ask import ask


@dataclass(frozen=True, slots=True)
class Switch:
    """all: of the account, oldest first; chosen: None where there is none yet."""

    all: tuple[Environment, ...]
    chosen: Environment | None

    def choices(self, endpoint: str) -> list[tuple[str, str, bool]]:
        """For kit.choices: name, address, whether it is the chosen one."""
        return [(one.name, url_for(endpoint, environment=one.id), one is self.chosen) for one in self.all]


def switch() -> Switch:
    """Which environments there are, and which one is looked at. Raises NotFound for one that is not there."""
    told = ask(ListEnvironmentsRequest(page_size=1000), ListEnvironmentsResponse)
    wanted = request.args.get("environment", "")
    found = [one for one in told.environments if wanted in {"", one.id}]
    if wanted and not found:
        raise NotFound
    return Switch(tuple(told.environments), found[0] if found else None)
