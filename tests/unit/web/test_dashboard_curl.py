"""The command on the page does in a shell what the form would do, whatever the mail says."""

from __future__ import annotations

import base64
import json
import subprocess
from pathlib import Path
from typing import Any

from flute.v1.email_pb2 import Address, EmailContent

from web.dashboard import curl

HOSTILE = "It's $(touch /tmp/x) `id` \"$HOME\" \\ \\' ☃\nsecond line; rm -rf . #"


def run(command: str, folder: Path) -> list[str]:
    """The arguments that curl would get."""
    script = 'curl() { for one in "$@"; do printf \'%s\\0\' "$one"; done; }\n' + command
    ran = subprocess.run(
        ["sh", "-c", script],
        cwd=folder,
        env={"FLUTE_KEY": "k1", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.decode().split("\0")[:-1]


def sent(content: EmailContent, folder: Path) -> dict[str, Any]:
    arguments = run(curl.send("https://mail.example.com", content), folder)
    assert arguments[0] == "https://mail.example.com/v1/email"
    assert arguments[1:5] == ["-H", "Authorization: Bearer k1", "-H", "Content-Type: application/json"]
    body: dict[str, Any] = json.loads(arguments[6])
    return body


def test_what_a_shell_would_read_otherwise_arrives_as_it_is(tmp_path: Path):
    content = EmailContent(
        subject=HOSTILE, text=HOSTILE, to=[Address(email="ada@example.com", name="O'Hara")], tags=["a'b"]
    )
    getattr(content, "from").email = "hello@flutemail.io"
    assert sent(content, tmp_path) == {
        "from": {"email": "hello@flutemail.io"},
        "to": [{"email": "ada@example.com", "name": "O'Hara"}],
        "subject": HOSTILE,
        "text": HOSTILE,
        "tags": ["a'b"],
    }


def test_files_are_read_where_the_command_runs(tmp_path: Path):
    name = 'O\'Hara $(id) "1".txt'
    (tmp_path / name).write_bytes(b"x" * 1000)
    content = EmailContent(subject="file-", text="x")
    content.attachments.add(filename=name)
    [file] = sent(content, tmp_path)["attachments"]
    assert file["filename"] == name
    assert base64.b64decode(file["content"]) == b"x" * 1000


def test_what_is_read_is_named_whole(tmp_path: Path):
    arguments = run(curl.read("https://mail.example.com/v1/email?page_size=5", "flute_x"), tmp_path)
    assert arguments == [
        "https://mail.example.com/v1/email?page_size=5",
        "-H",
        "Authorization: Bearer flute_x",
    ]
