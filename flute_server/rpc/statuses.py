"""How a call that failed is answered: a google.rpc.Status with an ErrorInfo and whatever helps to mend it."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.code_pb2 import Code
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc_status.rpc_status import to_status
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm.exc import ObjectDeletedError, StaleDataError

from flute_server.errors import FluteError, NotFound, Unavailable

log = logging.getLogger(__name__)

DOMAIN = "flute"

Metadata = list[tuple[str, str]]


@contextmanager
def told(context: grpc.ServicerContext, request_id: str, trailing: Metadata) -> Iterator[None]:
    """What goes wrong inside this block is told to the caller; what is unforeseen shows no detail.

    trailing: metadata that the answer has besides, as it is at that time.
    """
    try:
        yield
    except FluteError as error:
        _abort(context, error.code, error.text, _details(error), trailing)
    except (OperationalError, PoolTimeoutError) as error:
        log.error("request %s: the database does not answer: %s", request_id, _said(error))
        away = Unavailable("DATABASE_AWAY", "the database does not answer; try again")
        _abort(context, away.code, away.text, _details(away), trailing)
    except (StaleDataError, ObjectDeletedError):
        gone = NotFound("NOT_FOUND", "what this is about was deleted this very moment")
        _abort(context, gone.code, gone.text, _details(gone), trailing)
    except Exception:
        log.exception("request %s failed unforeseen", request_id)
        info = ErrorInfo(reason="INTERNAL", domain=DOMAIN, metadata={"request_id": request_id})
        text = f"an unforeseen error; the log has it under request {request_id}"
        _abort(context, "INTERNAL", text, [info], trailing)


def _said(error: Exception) -> str:
    """What the database said, in a line: the statement helps nobody when it is away."""
    lines = str(getattr(error, "orig", None) or error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _details(error: FluteError) -> list[Any]:
    details: list[Any] = [ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.metadata)]
    if error.violations:
        violations = [
            BadRequest.FieldViolation(field=violation.field, description=violation.text)
            for violation in error.violations
        ]
        details.append(BadRequest(field_violations=violations))
    if error.retry_after_s is not None:
        delay = Duration()
        delay.FromMicroseconds(round(error.retry_after_s * 1e6))
        details.append(RetryInfo(retry_delay=delay))
    return details


def _abort(
    context: grpc.ServicerContext, code: str, text: str, details: Sequence[Any], trailing: Metadata
) -> NoReturn:
    status = Status(code=Code.Value(code), message=text)
    for detail in details:
        packed = AnyMessage()
        packed.Pack(detail)
        status.details.append(packed)
    context.abort_with_status(_Status(to_status(status), trailing))
    raise AssertionError("abort_with_status raises")


class _Status(grpc.Status):
    """With metadata beyond the details."""

    def __init__(self, status: grpc.Status, trailing: Metadata) -> None:
        self.code = status.code
        self.details = status.details
        # What is set on the context is replaced by these.
        self.trailing_metadata = (*(status.trailing_metadata or ()), *trailing)
