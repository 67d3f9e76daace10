"""Pages that show one environment at a time: the one in the address (?environment=ID), else the one that was
looked at last, else the first."""

from __future__ import annotations

from dataclasses import dataclass

import flask
from flask import request, url_for
from flute.v1.environment_service_pb2 import Environment, ListEnvironmentsRequest, ListEnvironmentsResponse
from werkzeug.exceptions import NotFound

from web.dashboard.ask import ask

_MOST = 1000  # of what can be chosen from
_LAST = "environment"  # its key in the session


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
    found, wanted = environments(), request.args.get("environment", "")
    by_id = {one.id: one for one in found}
    if wanted and wanted not in by_id:
        raise NotFound
    if wanted and flask.session.get(_LAST) != wanted:
        flask.session[_LAST] = wanted
    last = by_id.get(wanted or flask.session.get(_LAST, ""))
    return Switch(found, last or (found[0] if found else None))


def environments() -> tuple[Environment, ...]:
    """Those of the account, oldest first. Raises RpcFailure."""
    return tuple(ask(ListEnvironmentsRequest(page_size=_MOST), ListEnvironmentsResponse).environments)
