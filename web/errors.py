"""Every answer that is not a success: one shape, RFC 9457, and one table from gRPC codes to it.

    Problem              raised by our own code
    RpcFailure           raised by web.client, turned into a Problem here
    HTTPException        raised by Flask and Werkzeug, turned into a Problem here
    anything else        a bug: logged with the request id, answered as 503

There is no 500: a caller can do nothing else than try again later, and 503 with Retry-After says so.
"""

from __future__ import annotations

import json
import logging
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus

import grpc
from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from web.client import RpcFailure, Violation
from web.redact import redact

_log = logging.getLogger("web")

RETRY_AFTER_S = 1
REQUEST_ID = "flute.request_id"  # its key in the WSGI environment


def request_id() -> str:
    """The id of the request that is being answered; it is in every log line and every problem."""
    found: str = request.environ[REQUEST_ID]
    return found


@dataclass(frozen=True, slots=True)
class FieldError:
    """One thing that is wrong: in the body at `pointer` (RFC 6901), or in the parameter or header named."""

    pointer: str
    code: str
    detail: str
    parameter: str = ""

    def to_json(self) -> dict[str, str]:
        """As it is told to the caller."""
        place = {"parameter": self.parameter} if self.parameter else {"pointer": self.pointer}
        return {**place, "code": self.code, "detail": self.detail}


class Problem(Exception):
    """An answer in the shape of RFC 9457. `code` never changes once published; the texts may."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(f"{status} {code}")
        self.status = status
        self.code = code
        self.detail = detail
        self.errors = errors
        self.headers = headers or {}

    @property
    def title(self) -> str:
        """The same for every occurrence of the status."""
        return HTTPStatus(self.status).phrase


def unauthenticated(code: str, detail: str) -> Problem:
    """401 with the challenge that HTTP asks for."""
    return Problem(401, code, detail, headers={"WWW-Authenticate": 'Bearer realm="flute"'})


def unavailable(code: str, detail: str, retry_after_s: float = RETRY_AFTER_S) -> Problem:
    """503 for everything that is not the caller's fault."""
    return Problem(503, code, detail, headers=_retry_after(retry_after_s))


def to_json(problem: Problem, name: str) -> str:
    """The body of the answer; `name` is the request's id."""
    body: dict[str, object] = {
        "type": f"urn:flute:problem:{problem.code}",
        "title": problem.title,
        "status": problem.status,
        "code": problem.code,
        "detail": problem.detail,
        "request_id": name,
    }
    if problem.errors:
        body["errors"] = [error.to_json() for error in problem.errors]
    return redact(json.dumps(body))


def register(app: Flask) -> None:
    """Install the handlers. Exceptions that none of them knows are bugs."""
    app.register_error_handler(Problem, _answer)
    app.register_error_handler(RpcFailure, lambda failure: _answer(from_rpc(failure)))
    app.register_error_handler(HTTPException, from_http)
    app.register_error_handler(Exception, _from_bug)


def _answer(problem: Problem) -> Response:
    response = Response(to_json(problem, request_id()), problem.status, mimetype="application/problem+json")
    response.headers.update(problem.headers)
    return response


def from_http(error: HTTPException) -> Response:
    """What Flask or Werkzeug refused, as a problem."""
    status = error.code or 503
    if status < 400:
        return Response(status=status, headers=error.get_headers())
    code = HTTPStatus(status).phrase.lower().replace(" ", "_").replace("-", "_")
    detail = _HTTP_DETAIL.get(status, error.description or HTTPStatus(status).description)
    headers = {name: value for name, value in error.get_headers() if name in {"Allow", "Retry-After"}}
    return _answer(Problem(status, code, detail, headers=headers))


_HTTP_DETAIL = {
    404: "There is nothing at this address; /docs lists all calls.",
    405: "This address does not know that method; the Allow header lists those it knows.",
    413: "The body is larger than this server accepts.",
}


def _from_bug(error: Exception) -> Response:
    _log.error("request %s: unexpected %s", request_id(), type(error).__name__, exc_info=error)
    return _answer(unavailable("unavailable", "Something went wrong on our side. Please try again."))


# ----- from gRPC

# The path of a field in the server's request -> pointer, parameter: one of them is empty.
Locate = Callable[[str], tuple[str, str]]


def from_rpc(failure: RpcFailure, locate: Locate | None = None) -> Problem:
    """What the server said, in the words of HTTP."""
    problem = _from_code(failure, locate or (lambda path: (to_pointer(path), "")))
    problem.headers = {**problem.headers, **failure.headers}
    return problem


def _from_code(failure: RpcFailure, locate: Locate) -> Problem:
    code = failure.code
    if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
        return _from_absent(failure)
    if code is grpc.StatusCode.UNAUTHENTICATED:
        return unauthenticated(_slug(failure), failure.message)
    status = _status(failure)
    if status is None:
        _log.error("request %s: the server answered %s: %s", request_id(), code.name, failure.message)
        return unavailable("unavailable", "Something went wrong on our side. Please try again.")
    errors = [_field_error(violation, locate) for violation in failure.violations]
    later = failure.retry_after_s or (RETRY_AFTER_S if status == 429 else None)
    detail = detail_of(_slug(failure), failure.message, errors)
    return Problem(status, _slug(failure), detail, errors, _retry_after(later) if later else {})


def detail_of(code: str, text: str, errors: Sequence[FieldError]) -> str:
    """What is told of wrong fields in one line. The server's own text has its names for them."""
    if code != "invalid_fields" or not errors:
        return text
    first = errors[0]
    where = first.parameter or first.pointer
    more = f" (and {len(errors) - 1} more; see errors)" if len(errors) > 1 else ""
    return f"{where}: {first.detail}{more}" if where else f"{first.detail}{more}"


_STATUS = {
    grpc.StatusCode.INVALID_ARGUMENT: 422,
    grpc.StatusCode.OUT_OF_RANGE: 422,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.ABORTED: 409,
    grpc.StatusCode.FAILED_PRECONDITION: 409,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
}


def _status(failure: RpcFailure) -> int | None:
    if failure.too_large:
        return 413
    if failure.code is grpc.StatusCode.FAILED_PRECONDITION and failure.violations:
        return 422  # the caller can mend it in the body
    return _STATUS.get(failure.code)


def _from_absent(failure: RpcFailure) -> Problem:
    """The server is away. gRPC's own texts name addresses, so they are logged and not answered."""
    _log.warning("request %s: %s: %s", request_id(), failure.code.name, failure.message)
    retry_after_s = failure.retry_after_s or RETRY_AFTER_S
    if failure.code is grpc.StatusCode.DEADLINE_EXCEEDED:
        text = "The server behind did not answer in time. It may have carried out the request all the same."
        return unavailable("timeout", text, retry_after_s)
    text = failure.message if failure.reason else "The server behind cannot be reached. Please try again."
    return unavailable(_slug(failure), text, retry_after_s)


def _slug(failure: RpcFailure) -> str:
    return (failure.reason or failure.code.name).lower()


def _retry_after(seconds: float) -> dict[str, str]:
    return {"Retry-After": str(max(1, math.ceil(seconds)))}


def _field_error(violation: Violation, locate: Locate) -> FieldError:
    pointer, parameter = locate(violation.field)
    return FieldError(pointer, violation.reason.lower() or "invalid", violation.description, parameter)


# ----- pointers

_STEP = re.compile(r'\["((?:[^"\\]|\\.)*)"\]|\[([^\]]*)\]|([^.\[\]]+)')


def steps(path: str) -> list[str]:
    """`content.to[0].email` -> content, to, 0, email."""
    return [quoted or index or name for quoted, index, name in _STEP.findall(path)]


def to_pointer(path: str) -> str:
    """`to[0].email` -> `/to/0/email`."""
    return "".join(f"/{escape(step)}" for step in steps(path))


def escape(step: str) -> str:
    """One step of a JSON pointer."""
    return step.replace("~", "~0").replace("/", "~1")
