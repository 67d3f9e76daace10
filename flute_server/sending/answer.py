"""What is answered to a call that brings mail, and how it is kept for a repetition of the call."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flute_server.domain.state import State
from flute_server.errors import FluteError, Violation


@dataclass(frozen=True, slots=True)
class Accepted:
    """A stored email. state: queued or scheduled."""

    id: uuid.UUID
    state: State


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a mail of a batch was not accepted."""

    reason: str
    text: str
    violations: tuple[Violation, ...] = ()

    @classmethod
    def of(cls, error: FluteError) -> Problem:
        return cls(error.reason, error.text, error.violations)


Result = Accepted | Problem


@dataclass(frozen=True, slots=True)
class Answer:
    """One result for each mail of the call, in order. replayed: it was given to an earlier call."""

    create_time: datetime
    results: Sequence[Result]
    replayed: bool = False

    def packed(self) -> dict[str, Any]:
        """As JSON; ids and problems, and no address."""
        return {"time": self.create_time.isoformat(), "results": [_packed(item) for item in self.results]}

    @classmethod
    def unpacked(cls, parts: Mapping[str, Any]) -> Answer:
        """The answer to an earlier call."""
        results = [_unpacked(item) for item in parts["results"]]
        return cls(datetime.fromisoformat(parts["time"]), results, replayed=True)


def _packed(result: Result) -> dict[str, Any]:
    if isinstance(result, Accepted):
        return {"id": str(result.id), "state": result.state}
    violations = [[violation.field, violation.text] for violation in result.violations]
    return {"reason": result.reason, "text": result.text, "violations": violations}


def _unpacked(parts: Mapping[str, Any]) -> Result:
    if "id" in parts:
        return Accepted(uuid.UUID(parts["id"]), State(parts["state"]))
    violations = tuple(Violation(field, text) for field, text in parts["violations"])
    return Problem(parts["reason"], parts["text"], violations)
