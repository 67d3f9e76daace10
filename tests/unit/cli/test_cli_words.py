"""What the command line makes of words."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from google.protobuf.duration_pb2 import Duration

from flute_server.cli import main
from flute_server.cli.common import Span, printable, secret_value, span_words


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("15m", 900), ("24h", 86400), ("7d", 604800)])
def test_a_span_is_read_and_shown(text: str, seconds: int):
    assert Span().convert(text, None, None) == Duration(seconds=seconds)
    assert Span().convert(span_words(Duration(seconds=seconds)), None, None) == Duration(seconds=seconds)


@pytest.mark.parametrize("text", ["", "5", "h", "-1h", "1.5h", "1 h", "1w"])
def test_what_is_no_span_is_refused(text: str):
    with pytest.raises(click.BadParameter, match="is no time span"):
        Span().convert(text, None, None)


def test_a_secret_can_come_from_a_file(tmp_path: Path):
    (tmp_path / "key").write_text("s3cret\n")
    assert secret_value(f"@{tmp_path / 'key'}") == "s3cret"
    assert secret_value("@@literal") == "@literal"
    assert secret_value("plain") == "plain"
    with pytest.raises(click.ClickException, match="cannot be read"):
        secret_value(f"@{tmp_path / 'none'}")


def test_words_of_others_cannot_steer_the_terminal():
    assert printable("a\x1b[2Jb\nc") == "a [2Jb c"


@pytest.mark.parametrize("name", ["up", "server", "web", "worker", "migrate", "sandbox", "doctor", "account",
    "provider", "provider-account", "environment", "route", "key", "send", "email", "bounces", "suppression",
    "alert", "classify", "drill"])  # fmt: skip
def test_every_command_explains_itself(name: str):
    assert name in CliRunner().invoke(main, ["--help"]).output
    shown = CliRunner().invoke(main, [name, "--help"])
    assert shown.exit_code == 0, shown.output
    assert "Usage: main " + name in shown.output


def test_without_a_server_it_says_what_to_start(tmp_path: Path):
    done = CliRunner(env={"FLUTE_GRPC_ADDRESS": None}).invoke(
        main, ["account", "list", "--data-dir", str(tmp_path)]
    )
    assert done.exit_code == 1
    assert "Start `flute up`" in done.output


def test_a_missing_setting_is_one_sentence():
    done = CliRunner(env={"DATABASE_URL": None}).invoke(main, ["server"])
    assert done.exit_code == 1
    assert done.output.startswith("Error: DATABASE_URL is not set")
