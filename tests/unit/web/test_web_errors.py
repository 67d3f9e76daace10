"""web.errors, web.config, web.redact: one shape for every failure, and no key in any of them."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from flask import Flask

from web.client import RpcFailure, Violation
from web.config import ConfigError, WebConfig
from web.errors import REQUEST_ID, Problem, from_rpc, to_json, to_pointer
from web.redact import RedactKeys, redact

Code = grpc.StatusCode


@pytest.fixture(autouse=True)
def in_request() -> Iterator[None]:
    with Flask(__name__).test_request_context(environ_overrides={REQUEST_ID: "r1"}):
        yield


@pytest.mark.parametrize(
    ("path", "pointer"),
    [
        ("to[12].email", "/to/12/email"),
        ("from", "/from"),
        ("", ""),
        ('headers["X-A.b/c"]', "/headers/X-A.b~1c"),
        ("headers[X-A]", "/headers/X-A"),
        ("attachments[1].content", "/attachments/1/content"),
        ("environment_id", "/environment_id"),
    ],
)
def test_a_path_becomes_a_json_pointer(path: str, pointer: str) -> None:
    assert to_pointer(path) == pointer


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (Code.INVALID_ARGUMENT, 422),
        (Code.OUT_OF_RANGE, 422),
        (Code.UNAUTHENTICATED, 401),
        (Code.PERMISSION_DENIED, 403),
        (Code.NOT_FOUND, 404),
        (Code.ALREADY_EXISTS, 409),
        (Code.ABORTED, 409),
        (Code.FAILED_PRECONDITION, 409),
        (Code.RESOURCE_EXHAUSTED, 429),
        (Code.UNAVAILABLE, 503),
        (Code.DEADLINE_EXCEEDED, 503),
        (Code.INTERNAL, 503),
        (Code.UNKNOWN, 503),
        (Code.UNIMPLEMENTED, 503),
        (Code.DATA_LOSS, 503),
        (Code.CANCELLED, 503),
    ],
)
def test_every_grpc_code_has_a_status(code: grpc.StatusCode, status: int) -> None:
    problem = from_rpc(RpcFailure(code, "text"))
    assert problem.status == status
    assert ("Retry-After" in problem.headers) == (status in (429, 503))


def test_what_can_be_mended_in_the_body_is_422() -> None:
    failure = RpcFailure(Code.FAILED_PRECONDITION, "no", "R", violations=(Violation("to", "", "none"),))
    problem = from_rpc(failure)
    assert problem.status == 422
    assert problem.code == "r"
    assert [(e.pointer, e.code, e.detail) for e in problem.errors] == [("/to", "invalid", "none")]


@pytest.mark.parametrize(
    "failure",
    [
        RpcFailure(Code.RESOURCE_EXHAUSTED, "too big", "MESSAGE_TOO_LARGE"),
        RpcFailure(Code.RESOURCE_EXHAUSTED, "SERVER: Received message larger than max (5 vs. 4)"),
    ],
)
def test_too_large_is_413(failure: RpcFailure) -> None:
    assert from_rpc(failure).status == 413


def test_retry_after_is_rounded_up() -> None:
    assert from_rpc(RpcFailure(Code.RESOURCE_EXHAUSTED, "", retry_after_s=1.2)).headers == {
        "Retry-After": "2"
    }


def test_what_goes_wrong_inside_stays_inside(caplog: pytest.LogCaptureFixture) -> None:
    problem = from_rpc(RpcFailure(Code.INTERNAL, "psycopg at 10.0.0.1"))
    assert "psycopg" not in to_json(problem, "r1")
    assert "r1" in caplog.text
    assert "psycopg" in caplog.text
    assert "10.0.0.1" not in to_json(from_rpc(RpcFailure(Code.UNAVAILABLE, "connect 10.0.0.1")), "r1")


def test_a_key_in_any_text_is_made_unreadable() -> None:
    problem = Problem(400, "c", "the key flute_abcdefghijkl is wrong")
    assert json.loads(to_json(problem, "r"))["detail"] == "the key flute_*** is wrong"
    assert redact("flute_server is a folder") == "flute_server is a folder"


def test_a_key_in_a_log_line_is_made_unreadable() -> None:
    try:
        raise ValueError("Authorization: Bearer flute_abcdefghijkl")
    except ValueError as error:
        trace = (ValueError, error, error.__traceback__)
    record = logging.LogRecord("n", 40, "p", 1, "bad %s", ("flute_abcdefghijkl",), trace)
    assert RedactKeys().filter(record)
    text = logging.Formatter().format(record)
    assert "abcdefghijkl" not in text
    assert "bad flute_***" in text


def test_settings_have_defaults_and_are_read(tmp_path: Path) -> None:
    secret = "s" * 32
    assert WebConfig.from_env({"FLUTE_WEB_SECRET": secret}) == WebConfig(secret_key=secret)
    assert not WebConfig.from_env({"FLUTE_PUBLIC_URL": "http://mail.example.com"}).secure
    assert WebConfig.from_env({"FLUTE_PUBLIC_URL": "https://mail.example.com/"}).secure
    ca = tmp_path / "ca.pem"
    ca.write_text("")
    env = {"FLUTE_GRPC_ADDRESS": "a:1", "FLUTE_WEB_RPC_TIMEOUT": "2.5", "FLUTE_WEB_ACCESS_LOG": "1"}
    config = WebConfig.from_env({**env, "FLUTE_GRPC_TLS_CA": str(ca), "FLUTE_WEB_TRUSTED_PROXIES": "2"})
    assert (config.grpc_address, config.rpc_timeout_s, config.access_log) == ("a:1", 2.5, True)
    assert config.trusted_proxies == 2
    assert WebConfig.from_env({"FLUTE_WEB_TRUSTED_PROXIES": "0"}).trusted_proxies == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FLUTE_WEB_WORKERS", "0"),
        ("FLUTE_WEB_THREADS", "x"),
        ("FLUTE_WEB_TRUSTED_PROXIES", "-1"),
        ("FLUTE_WEB_RPC_TIMEOUT", "0"),
        ("FLUTE_WEB_BODY_TIMEOUT", "soon"),
        ("FLUTE_WEB_ACCESS_LOG", "maybe"),
        ("FLUTE_GRPC_TLS_CA", "/nowhere"),
        ("FLUTE_WEB_SECRET", "short"),
    ],
)
def test_a_wrong_setting_is_named(name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=name):
        WebConfig.from_env({name: value})
