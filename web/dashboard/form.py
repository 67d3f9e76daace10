"""A posted form: its values, what the server found wrong with them, and the call that it stands for."""

from __future__ import annotations

import math
import re
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import grpc
from flask import Response, request
from google.protobuf.message import Message

from web.client import RpcFailure
from web.dashboard.act import MENDABLE
from web.dashboard.ask import ask
from web.dashboard.words import sentence, too_fast
from web.errors import steps

A = TypeVar("A", bound=Message)

# What people can mend themselves, on the page where they are. The rest is a page of its own.
_MENDABLE = MENDABLE | {grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.RESOURCE_EXHAUSTED}
_MOST = 2**31 - 1  # of most numbers in the contract
_INDEX = re.compile(r"\d+")


@dataclass
class Form:
    """values: as posted, or to begin with. errors: text by field; problem: what concerns no single field.

    names: fields of the request that have another name on the page. reason: the server's word for what is
    wrong. retry_after_s: when the same may go better, if that was too fast.
    """

    values: Mapping[str, str] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    problem: str = ""
    names: Mapping[str, str] = field(default_factory=dict)
    reason: str = ""
    retry_after_s: float = 0

    @classmethod
    def of(cls, names: Mapping[str, str] | None = None, **defaults: str) -> Form:
        """What was posted, or the defaults for a page that is only shown."""
        if request.method == "POST":
            return cls(values=request.form.to_dict(), names=names or {})
        return cls(values=defaults, names=names or {})

    def __getitem__(self, name: str) -> str:
        """A value, trimmed; empty when there is none."""
        return self.values.get(name, "").strip()

    def checked(self, name: str) -> bool:
        """Whether a box is ticked."""
        return name in self.values

    def number(self, name: str, default: int = 0, most: int = _MOST) -> int:
        """A whole number; what is none, or does not fit the request, becomes an error of the field."""
        text = self[name]
        if not text:
            return default
        if not re.fullmatch(r"-?\d{1,12}", text):
            self.errors[name] = "Must be a whole number."
            return default
        if abs(int(text)) > most:
            self.errors[name] = f"At most {most:,}."
            return default
        return int(text)

    @property
    def failed(self) -> bool:
        """Whether something is wrong."""
        return bool(self.errors or self.problem)

    @property
    def status(self) -> int:
        """Of the page that shows the form."""
        if self.retry_after_s:
            return 429
        return 422 if self.failed else 200

    def shown(self, body: str) -> Response:
        """The answer with the page that shows the form."""
        response = Response(body, self.status, mimetype="text/html")
        if self.retry_after_s:
            response.headers["Retry-After"] = str(math.ceil(self.retry_after_s))
        return response

    def send(
        self,
        message: Message,
        answer: type[A],
        timeout_s: float | None = None,
        mendable: Container[grpc.StatusCode] = (),
    ) -> A | None:
        """The server's answer, or None when something is wrong that the form can show.

        Nothing is sent while a field is known to be wrong. mendable: codes that the form can show besides the
        usual ones. Raises RpcFailure for what nobody can mend here.
        """
        if self.failed:
            return None
        try:
            return ask(message, answer, timeout_s)
        except RpcFailure as failure:
            if failure.code not in _MENDABLE and failure.code not in mendable:
                raise
            self.take(failure)
            return None

    def take(self, failure: RpcFailure) -> None:
        """Keep what the server found wrong, each at its field; what has no field on the page, above all."""
        for violation in failure.violations:
            name = self._name(violation.field)
            text = sentence(violation.description)
            if name in self.values or name in self.names.values():
                self.errors[name] = text
            else:
                self.problem = f"{name}: {text}" if name else text
        if not failure.violations:
            self.problem = sentence(failure.message)
        self.reason = failure.reason
        if failure.code is grpc.StatusCode.RESOURCE_EXHAUSTED and failure.retry_after_s:
            self.retry_after_s = failure.retry_after_s
            self.problem = too_fast(failure.message, failure.retry_after_s)

    def _name(self, path: str) -> str:
        """environment.domain -> domain, content.to[0].email -> to, unless `names` knows better."""
        if path in self.names:
            return self.names[path]
        named = [step for step in steps(path) if not _INDEX.fullmatch(step)]
        known = [step for step in reversed(named) if step in self.values]
        return known[0] if known else (named[-1] if named else "")
