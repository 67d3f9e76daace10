"""``flute classify``: explains a bounce, one on the command line or many as JSON lines."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from typing import Any

import click

from flute_server.domain import verdict
from flute_server.domain.verdict import Diagnostic, Verdict

JSON_FIELDS = ("text", "status", "reply", "destination", "rhost")
LINE_FAULT = 1  # exit code when a JSON line could not be read


@click.command()
@click.argument("text", required=False)
@click.option("--status", default="", help="Enhanced status code, such as 5.1.1.")
@click.option("--reply", default="", help="SMTP reply code, such as 550.")
@click.option("--destination", default="", help="The recipient's domain.")
@click.option("--rhost", default="", help="The host that refused.")
@click.option("--provider", default="", help="The sending provider, such as sendgrid.")
@click.option("--provider-class", default="", help="The provider's own bounce class or reason.")
@click.option("--provider-detail", default="", help="The provider's second word, if it has one.")
@click.option("--json", "as_json", is_flag=True, help="Read JSON lines from stdin, write as many.")
def classify(text: str | None, as_json: bool, **known: str) -> None:
    """Tell whose fault a bounce is, and what Flute would do about it.

    TEXT is what the receiver said: flute classify "550 5.7.1 blocked using ..."
    """
    if as_json:
        if text is not None or any(known.values()):
            raise click.UsageError("--json reads everything from stdin: give no text or option.")
        if _classify_lines(sys.stdin):
            sys.exit(LINE_FAULT)
        return
    if not text and not any(known.values()):
        raise click.UsageError("give the text of a bounce, an option, or --json.")
    click.echo(_explanation(verdict.classify(Diagnostic(text=text or "", **known))))


def _explanation(found: Verdict) -> str:
    lasts = "yes" if found.permanent else "no, it may pass"
    return "\n".join(
        (
            f"cause:       {found.cause}",
            f"permanent:   {lasts}",
            f"action:      {found.action}",
            f"rule:        {found.rule}",
            f"reason:      {found.reason}",
            f"confidence:  {found.confidence:.2f}",
        )
    )


def _classify_lines(lines: Iterable[str]) -> int:
    """One answer per input line, so that both files stay aligned. Returns the number of faults."""
    faults = 0
    for number, line in enumerate(lines, start=1):
        try:
            answer = _as_record(verdict.classify(_diagnostic(line)))
        except ValueError as error:
            faults += 1
            answer = {"error": str(error)}
            click.echo(f"line {number}: {error}", err=True)
        click.echo(json.dumps(answer))
    return faults


def _diagnostic(line: str) -> Diagnostic:
    """Unknown fields are ignored: the lines may carry labels and ids of their own."""
    try:
        record = json.loads(line)
    except ValueError as error:
        raise ValueError(f"not JSON: {error}") from error
    if not isinstance(record, dict):
        raise ValueError("not a JSON object")
    return Diagnostic(**{field: _text(record, field) for field in JSON_FIELDS})


def _text(record: dict[str, Any], field: str) -> str:
    value = record.get(field)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ValueError(f"{field} is not a string")
    return value


def _as_record(found: Verdict) -> dict[str, object]:
    return {
        "cause": found.cause,
        "permanent": found.permanent,
        "action": found.action,
        "rule": found.rule,
        "confidence": found.confidence,
    }
