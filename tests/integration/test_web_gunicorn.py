"""web under gunicorn, over real sockets: connections, limits, slow clients, broken HTTP."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest
from flute.v1.suppression_service_pb2 import ExportSuppressionsResponse

from tests.integration.web_script import BODY, KEY, Script, serve
from tests.stack import free_port, until

ROOT = Path(__file__).parents[2]


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def address(script: Script) -> Iterator[str]:
    server, address = serve(script)
    yield address
    server.stop(0).wait()


@pytest.fixture
def gunicorn(address: str) -> Iterator[int]:
    port = free_port()
    env = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "proto" / "gen")]),
        "FLUTE_GRPC_ADDRESS": address,
        "FLUTE_WEB_BIND": f"127.0.0.1:{port}",
        "FLUTE_WEB_WORKERS": "1",
        "FLUTE_WEB_THREADS": "4",
        "FLUTE_WEB_BODY_TIMEOUT": "1",
        "FLUTE_WEB_MAX_BODY": "3000000",
        "FLUTE_WEB_ACCESS_LOG": "1",
    }
    command = [sys.executable, "-m", "gunicorn", "web:create_app()"]
    log = subprocess.PIPE
    with subprocess.Popen(
        command, cwd=ROOT, env=env, stdout=log, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            wait_for(port)
            yield port
        finally:
            process.terminate()
            output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert KEY not in output
    assert "Traceback" not in output


def wait_for(port: int) -> None:
    def answers() -> bool:
        try:
            return ask(port, "GET", "/healthz")[0] == 200
        except OSError:
            return False

    until(answers, "gunicorn answers")


def ask(port: int, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


JSON = {"Content-Type": "application/json"}


def test_gunicorn_keeps_connections_and_serves_large_mails(gunicorn: int, script: Script) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", gunicorn, timeout=60)
    attachment = {"filename": "a", "content": "QUJD" * 500_000}
    for body in (BODY, BODY | {"attachments": [attachment]}, BODY):
        connection.request("POST", "/v1/email", json.dumps(body), JSON)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 202
        assert not answer.will_close
    connection.close()
    assert len(script.requests[1].content.attachments[0].content) == 1_500_000


def test_gunicorn_takes_chunked_bodies_and_limits_them(gunicorn: int) -> None:
    whole = json.dumps(BODY).encode()
    assert ask(gunicorn, "POST", "/v1/email", iter([whole[:9], whole[9:]]), **JSON)[0] == 202
    status, body = ask(gunicorn, "POST", "/v1/email", iter([b" " * 1_000_000] * 4), **JSON)
    assert (status, body["code"]) == (413, "request_entity_too_large")


def send(port: int, data: bytes) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=60)
    connection.sendall(data)
    return connection


def read(connection: socket.socket) -> bytes:
    with connection:
        return b"".join(iter(lambda: connection.recv(65536), b""))


HEAD = b"POST /v1/email HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


def test_a_body_that_is_too_large_is_refused_before_it_is_sent(gunicorn: int) -> None:
    connection = send(gunicorn, HEAD + b"Content-Length: 3000001\r\n\r\n")
    assert connection.recv(65536).startswith(b"HTTP/1.1 413 ")
    connection.close()


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (HEAD + b"Authorization: Bearer " + KEY.encode() + b"\x01\r\n\r\n", b"400"),
        (HEAD + b"Content-Length: x\r\n\r\n", b"400"),
        (HEAD + b"X-Long: " + b"a" * 20_000 + b"\r\n\r\n", b"431"),
        (HEAD + b"X-Many: 1\r\n" * 200 + b"\r\n", b"431"),
        (b"GET /" + b"a" * 9_000 + b" HTTP/1.1\r\n\r\n", b"414"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", b"400"),
    ],
)
def test_what_is_not_http_gets_a_problem_too(gunicorn: int, request_bytes: bytes, status: bytes) -> None:
    answer = read(send(gunicorn, request_bytes.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1)))
    assert answer.split(b" ")[1] == status
    assert b"application/problem+json" in answer
    assert KEY.encode() not in answer


def test_slow_clients_do_not_hold_every_thread(gunicorn: int) -> None:
    heads = [HEAD, HEAD + b"Content-Length: 100\r\n\r\n{"] * 8  # four threads serve them
    slow = [send(gunicorn, head) for head in heads]
    begin = time.monotonic()
    assert ask(gunicorn, "POST", "/v1/email", json.dumps(BODY), **JSON)[0] == 202
    assert time.monotonic() - begin < 30
    answers = [read(connection) for connection in slow]
    assert sum(answer.startswith(b"HTTP/1.1 408 ") for answer in answers) >= 8
    assert time.monotonic() - begin < 60


def test_a_slow_but_steady_client_is_served(gunicorn: int) -> None:
    body = json.dumps(BODY).encode()
    connection = send(gunicorn, HEAD + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body))
    for part in (body[:50], body[50:100], body[100:]):
        time.sleep(0.1)
        connection.sendall(part)
    assert read(connection).startswith(b"HTTP/1.1 202 ")


def test_slow_bodies_of_every_call_are_ended(gunicorn: int) -> None:
    places = ["/v1/suppressions/import", "/v1/webhook-endpoints", "/v1/email/batch", "/unsubscribe/x"]
    key = b"Authorization: Bearer " + KEY.encode()
    for place in places:
        kind = b"text/csv" if place.endswith("import") else b"application/json"
        head = b"POST %s HTTP/1.1\r\nHost: x\r\n%s\r\nContent-Type: %s\r\nContent-Length: 9\r\n\r\n{"
        answer = read(send(gunicorn, head % (place.encode(), key, kind)))
        assert answer.startswith(b"HTTP/1.1 408 "), place


def test_an_export_that_breaks_off_is_seen_to(gunicorn: int, script: Script) -> None:
    def answer(request: Any, context: grpc.ServicerContext) -> ExportSuppressionsResponse:
        if request.page_token:
            context.abort(grpc.StatusCode.UNAVAILABLE, "away")
        return ExportSuppressionsResponse(csv=b"email\r\n", next_page_token="more")

    script.answer = answer
    connection = http.client.HTTPConnection("127.0.0.1", gunicorn, timeout=60)
    connection.request("GET", "/v1/suppressions/export", headers={"Authorization": f"Bearer {KEY}"})
    begun = connection.getresponse()
    assert begun.status == 200
    with pytest.raises(http.client.IncompleteRead):
        begun.read()
    connection.close()


def test_clients_that_do_not_read_leave_threads_to_others(gunicorn: int, script: Script) -> None:
    # More than the sockets hold.
    script.answer = lambda *_: ExportSuppressionsResponse(csv=b"x" * 6_000_000, next_page_token="more")
    head = f"GET /v1/suppressions/export HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n\r\n"
    with ExitStack() as stack:
        for _ in range(6):
            lazy = stack.enter_context(socket.socket())
            lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            lazy.connect(("127.0.0.1", gunicorn))
            lazy.sendall(head.encode())
        for _ in range(3):
            assert ask(gunicorn, "GET", "/healthz")[0] == 200
