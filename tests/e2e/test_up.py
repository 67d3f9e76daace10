"""`flute up` as a person starts it: one command, in a folder of its own, with everything real."""

from __future__ import annotations

import json
import os
import shutil
import signal
import smtplib
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import requests

from flute_server.local.embedded import Services
from flute_server.local.parts import MARK
from flute_server.local.process import living_in, marked
from tests.stack import ROOT, free_port, fresh_database, until

READY_S = 120.0
EXAMPLE = {
    "subject": "Test subject",
    "text": "Test message",
    "to": [{"email": "recipient@example.com"}],
    "from": {"name": "Sender", "email": "sender@flutemail.io"},
}


class Up:
    """One `flute up` on a data folder; its log goes to a file beside it."""

    def __init__(self, folder: Path, *arguments: str, **env: str) -> None:
        self.folder = folder
        self.log = folder.with_suffix(".log")
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [*FLUTE, "up", "--data-dir", str(folder), *arguments],
                env=environment(**env),
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def ready(self) -> dict[str, Any]:
        """The content of ready.json, once it is there."""

        def there() -> bool:
            assert self.process.poll() is None, self.text()
            # After a kill, an old ready.json stays until the new start is under way.
            return "Flute is ready" in self.text()

        until(there, "ready", READY_S)
        content: dict[str, Any] = json.loads((self.folder / "ready.json").read_text())
        return content

    def text(self) -> str:
        return self.log.read_text()

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(how)
        return self.process.wait(120)

    def processes(self) -> list[int]:
        """Everything this start brought to life, but the supervisor."""
        mark = json.loads((self.folder / "run.json").read_text())["mark"]
        databases = living_in(self.folder / "postgres") + living_in(self.folder / "valkey")
        return marked(MARK, mark) + databases

    def part(self, words: str) -> int:
        """The supervisor's child with these words in its command line; 0 if there is none."""
        for pid in Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split():
            # A child may end, and be collected, between the two readings.
            with suppress(FileNotFoundError, ProcessLookupError):
                line = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
                if words in line:
                    return int(pid)
        return 0

    def kill(self, words: str) -> int:
        """Kill that part, as soon as it is there. Returns its process id."""
        victim = int(until(lambda: self.part(words), f"{words} is there"))
        os.kill(victim, signal.SIGKILL)
        return victim


FLUTE = (sys.executable, "-m", "flute_server.cli")


def environment(**changes: str) -> dict[str, str]:
    ours = ("FLUTE_", "DATABASE_URL", "REDIS_URL")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    path = os.pathsep.join([str(ROOT), str(ROOT / "proto" / "gen")])
    return {**kept, "PYTHONPATH": path, **changes}


def flute(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*FLUTE, *arguments],
        env=environment(FLUTE_DATA_DIR=str(folder)),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def folder() -> Iterator[Path]:
    # Not below pytest's own folder, whose permissions pytest resets while others may use it.
    path = Path(tempfile.mkdtemp(prefix="flute-up-"))
    yield path / "data"
    shutil.rmtree(path)


@contextmanager
def running(folder: Path, *arguments: str, **env: str) -> Iterator[Up]:
    """Runs until the block ends. Then it ends well; after a failure, whose cause matters more, somehow."""
    started = Up(folder, *arguments, **env)
    try:
        yield started
    except BaseException:
        started.stop()
        raise
    assert started.stop() == 0, started.text()


@pytest.fixture
def up(folder: Path) -> Iterator[Up]:
    """A demo of the test's own, to stop or kill."""
    started = Up(folder, "--demo")
    yield started
    if started.process.poll() is None:
        started.stop()


@pytest.fixture(scope="module")
def shared() -> Iterator[Up]:
    """A demo for all tests that leave it running."""
    path = Path(tempfile.mkdtemp(prefix="flute-up-"))
    with running(path / "data", "--demo") as started:
        yield started
    shutil.rmtree(path)


def send_example(ready: dict[str, Any], **changes: object) -> str:
    body = {"access_token": ready["access_token"], **EXAMPLE, **changes}
    answer = requests.post(f"{ready['web']}/v1/email", json=body, timeout=60)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def mail(ready: dict[str, Any], id_: str) -> dict[str, Any]:
    """What the API tells of a mail. Callers try again after a 503 or a refused connection; so do we."""

    def told() -> dict[str, Any] | None:
        with suppress(requests.ConnectionError):
            answer = requests.get(f"{ready['web']}/v1/email/{id_}", timeout=60)
            return answer.json() if answer.status_code == 200 else None
        return None

    found: dict[str, Any] = until(told, f"{ready['web']} tells of {id_}")
    return found


def story(ready: dict[str, Any], id_: str) -> list[tuple[str, str]]:
    """What happened to a mail so far, and at which provider account."""
    return [(event["type"], event["provider_account"]) for event in mail(ready, id_)["timeline"]]


def ends(ready: dict[str, Any], id_: str, status: str = "delivered") -> list[tuple[str, str]]:
    """The mail's story, once it has this status."""
    try:
        until(lambda: mail(ready, id_)["status"] == status, status)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{mail(ready, id_)}") from error
    return story(ready, id_)


def inbox(ready: dict[str, Any], to: str) -> list[str]:
    """The sandbox's providers that got a mail for this address."""
    arrived = requests.get(f"{ready['sandbox']}/inbox", params={"to": to}, timeout=60).json()
    return [entry["provider"] for entry in arrived]


@contextmanager
def mode(ready: dict[str, Any], provider: str, name: str) -> Iterator[None]:
    """How a provider of the sandbox behaves meanwhile."""
    url = f"{ready['sandbox']}/providers/{provider}/mode"
    assert requests.put(url, json={"mode": name}, timeout=60).status_code == 200
    try:
        yield
    finally:
        assert requests.put(url, json={"mode": "ok"}, timeout=60).status_code == 200


def test_the_example_is_delivered_through_postmark_because_sendgrid_is_down(shared: Up):
    ready = shared.ready()
    id_ = send_example(ready)
    ends(ready, id_)
    # Postmark may tell of the delivery before its answer to the call has been read.
    told = until(lambda: found if len(found := story(ready, id_)) >= 6 else None, "the whole story")
    assert told[:4] == [
        ("accepted", None),
        ("attempt", "SendGrid"),
        ("failover", "SendGrid"),
        ("attempt", "Postmark"),
    ]
    assert sorted(told[4:]) == [("delivered", "Postmark"), ("sent", "Postmark")]
    assert inbox(ready, "recipient@example.com") == ["postmark"]


def test_what_postmark_bounces_by_its_own_fault_goes_on_through_smtp(shared: Up):
    ready = shared.ready()
    to = "blocked@example.com"
    with mode(ready, "postmark", "block"):
        id_ = send_example(ready, to=[{"email": to}])
        until(lambda: ("sent", "SMTP") in story(ready, id_), "SMTP took it")
    assert ("bounced", "Postmark") in ends(ready, id_, "sent")
    assert inbox(ready, to) == ["postmark", "smtp"]
    told = flute(shared.folder, "email", id_, "--explain").stdout
    assert "resending to this recipient through the next provider" in told


def test_the_bounce_of_an_smtp_mail_comes_back_to_its_mail(shared: Up):
    ready = shared.ready()
    to = "nobody@example.com"
    with mode(ready, "postmark", "down"), mode(ready, "smtp", "bounce"):
        id_ = send_example(ready, to=[{"email": to}])
        assert ("bounced", "SMTP") in ends(ready, id_, "bounced")
    assert to in flute(shared.folder, "suppression", "list").stdout


def test_a_sandbox_that_dies_is_told_anew_where_to_post(shared: Up):
    ready = shared.ready()
    victim = shared.kill("flute_server.cli sandbox")
    until(lambda: shared.part("flute_server.cli sandbox") not in {0, victim}, "the sandbox starts again")
    until(lambda: _webhook(ready).startswith(ready["web"]), "its webhook is set again")
    ends(ready, send_example(ready))


def _webhook(ready: dict[str, Any]) -> str:
    """Where the sandbox's Postmark posts to; empty while it posts nowhere."""
    try:
        answer = requests.get(f"{ready['sandbox']}/providers/postmark/webhook", timeout=60)
    except requests.RequestException:
        return ""
    return str(answer.json()["url"] or "")


def test_ready_json_says_where_everything_is_to_its_owner_alone(shared: Up):
    ready = shared.ready()
    keys = {"access_token", "test_access_token", "environment_id"}
    assert set(ready) == {"web", "grpc", "sandbox", "login"} | keys
    assert set(ready["login"]) == {"email", "password"}
    for name in ("ready.json", "secrets.json", "demo.json", "run.json"):
        assert stat.S_IMODE((shared.folder / name).stat().st_mode) == 0o600
    assert ready["access_token"] in shared.text()  # the example to copy
    doctor = flute(shared.folder, "doctor")
    assert (doctor.returncode, doctor.stdout.splitlines()[-1]) == (0, "all is well"), doctor.stdout
    assert ready["access_token"] not in doctor.stdout


def test_ctrl_c_while_starting_stops_what_was_started(folder: Path):
    with running(folder) as up:
        until(lambda: living_in(folder / "postgres"), "the database is starting")
        assert up.stop(signal.SIGINT) == 0, up.text()
    assert up.processes() == []
    assert "Flute is ready" not in up.text()


def test_stops_cleanly_and_the_next_start_resumes(up: Up):
    ready = up.ready()
    id_ = send_example(ready)
    assert len(up.processes()) >= 6
    assert up.stop() == 0, up.text()
    assert up.processes() == []
    assert not (up.folder / "ready.json").exists()
    assert flute(up.folder, "doctor").returncode == 1

    with running(up.folder, "--demo") as again:
        resumed = again.ready()
        stable = ("access_token", "test_access_token", "environment_id", "login")
        assert [resumed[name] for name in stable] == [ready[name] for name in stable]
        until(lambda: mail(resumed, id_)["status"] in {"sent", "delivered"}, "the mail left")
        ends(resumed, send_example(resumed))  # also when the sandbox has other ports and keys now


@pytest.mark.parametrize(
    "words", ["-m workers", "-m flute_server ", "gunicorn", "cli bounces", "valkey-server", "bin/postgres"]
)
def test_a_part_that_dies_is_started_again_and_mail_goes_on(shared: Up, words: str):
    ready = shared.ready()
    victim = shared.kill(words)
    until(lambda: shared.part(words) not in {0, victim}, f"{words} starts again")
    assert "ended (killed by SIGKILL); starting it again" in shared.text()
    ends(ready, until(lambda: _taken(ready), "mail is taken again", 30))


def _taken(ready: dict[str, Any]) -> str:
    """The id of a mail; empty if it was not taken. Callers try again after a 503 or a refused connection."""
    try:
        return send_example(ready)
    except (AssertionError, requests.RequestException):
        return ""


def test_nothing_is_left_when_the_supervisor_is_killed_and_the_next_start_copes(up: Up):
    ready = up.ready()
    up.stop(signal.SIGKILL)
    # At once, while the parts may still be ending.
    again = Up(up.folder, "--demo")
    try:
        resumed = again.ready()
        assert resumed["access_token"] == ready["access_token"]
        ends(resumed, send_example(resumed))
    finally:
        again.stop(signal.SIGKILL)
    until(lambda: again.processes() == [], "all processes end")


def test_a_second_start_on_the_same_folder_is_refused(shared: Up):
    shared.ready()
    second = flute(shared.folder, "up")
    assert second.returncode == 1
    assert f"already runs on {shared.folder}" in second.stderr
    assert shared.process.poll() is None


def test_a_taken_port_that_was_asked_for_is_refused(folder: Path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        done = flute(folder, "up", "--port", str(port))
    assert done.returncode == 1
    assert f"Port {port} on 127.0.0.1, asked for with --port (or FLUTE_PORT), is taken" in done.stderr


def test_a_taken_usual_port_is_named_and_another_is_used(folder: Path):
    try:
        server = socket.create_server(("127.0.0.1", 8080))
    except OSError:
        server = socket.socket()  # taken already: as good
    with server, running(folder) as up:
        ready = up.ready()
        assert not ready["web"].endswith(":8080")
        assert "port 8080 is taken by another program: web uses" in up.text()
        assert set(ready) == {"web", "grpc"}


def test_databases_that_are_given_are_not_started(folder: Path, services: Services):
    database = fresh_database(services, "up_given")
    queue = services.redis_url.replace("db=0", "db=10")  # its worker must not take the jobs of other tests
    with running(folder, DATABASE_URL=database, REDIS_URL=queue) as up:
        up.ready()
        assert not (folder / "postgres").exists()
        assert not (folder / "valkey").exists()


def test_bounces_are_received_where_somebody_wants_them(folder: Path):
    address = f"127.0.0.1:{free_port()}"
    with running(folder, FLUTE_BOUNCES_BIND=address) as up:
        ready = up.ready()
        assert set(ready) == {"web", "grpc"}
        host, port = address.split(":")
        with smtplib.SMTP(host, int(port), timeout=60) as session:
            session.ehlo()
            assert session.mail("")[0] == 250
            assert session.rcpt("bounce+forged@bounces.example.org")[0] == 550


def test_a_start_that_fails_says_why_and_leaves_nothing(folder: Path):
    up = Up(folder, DATABASE_URL="postgresql://nobody:topsecret@127.0.0.1:1/none")
    assert up.process.wait(120) == 1
    assert "migrate failed" in up.text()
    assert "Connection refused" in up.text()
    assert "topsecret" not in up.text()
    assert "Traceback" not in up.text()
    assert up.processes() == []
