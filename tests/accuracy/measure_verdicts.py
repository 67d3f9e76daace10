"""Measures the classifier on labelled bounces: python tests/accuracy/measure_verdicts.py FILE

FILE holds one JSON object a line: text, status, reply, destination, rhost and the answer in
`cause`, with other answers that are right too in `also`.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from flute_server.domain.verdict import Action, Cause, Diagnostic, Verdict, classify

RESENDS = {Action.FAILOVER, Action.FAILOVER_IF_AUTHENTICATED}
NOT_TO_RESEND = {Cause.RECIPIENT, Cause.MESSAGE}
FIELDS = ("text", "status", "reply", "destination", "rhost")


@dataclass(frozen=True)
class Judged:
    """One labelled bounce and what the classifier made of it."""

    record: dict[str, Any]
    truth: Cause
    accepted: frozenset[Cause]
    verdict: Verdict

    @property
    def right(self) -> bool:
        return self.verdict.cause in self.accepted

    @property
    def to_leave_alone(self) -> bool:
        return self.truth in NOT_TO_RESEND and Cause.PROVIDER not in self.accepted


def judge(line: str) -> Judged:
    record = json.loads(line)
    truth = Cause(record["cause"])
    also = (Cause(name) for name in record.get("also") or ())
    diagnostic = Diagnostic(**{field: record.get(field) or "" for field in FIELDS})
    return Judged(record, truth, frozenset({truth, *also}), classify(diagnostic))


def share(name: str, hits: Iterable[bool]) -> str:
    found = list(hits)
    rate = sum(found) / len(found) if found else 0.0
    return f"{name:38} {sum(found):4}/{len(found):<4} {rate:.3f}"


def figures(judged: list[Judged]) -> list[str]:
    providers = [j for j in judged if j.truth is Cause.PROVIDER]
    harmless = [j for j in judged if j.truth in NOT_TO_RESEND]
    strict = [j for j in judged if j.to_leave_alone]
    return [
        share("right (accepting `also`)", (j.right for j in judged)),
        share("right (first label only)", (j.verdict.cause is j.truth for j in judged)),
        share("provider found", (j.verdict.cause is Cause.PROVIDER for j in providers)),
        share("provider predicted, R or M", (j.verdict.cause is Cause.PROVIDER for j in harmless)),
        share("the same, where `also` forbids it", (j.verdict.cause is Cause.PROVIDER for j in strict)),
        share("resend action, R or M", (j.verdict.action in RESENDS for j in harmless)),
    ]


def confusion(judged: list[Judged]) -> list[str]:
    cells = Counter((j.truth, j.verdict.cause) for j in judged)
    lines = [f"{'truth / verdict':14}" + "".join(f"{cause[:9]:>11}" for cause in Cause)]
    for truth in Cause:
        lines.append(f"{truth:14}" + "".join(f"{cells[truth, said]:11}" for said in Cause))
    return lines


def mistakes(judged: list[Judged]) -> list[str]:
    return [
        f"{j.record.get('id', '?')}: {j.truth} taken for {j.verdict.cause} by {j.verdict.rule} "
        f"({j.verdict.confidence}): {j.record['text'][:300]}"
        for j in judged
        if not j.right
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description="Accuracy of the verdicts on labelled bounces.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--mistakes", action="store_true", help="also list what went wrong")
    options = parser.parse_args()
    lines = options.file.read_text(encoding="utf-8").splitlines()
    judged = [judge(line) for line in lines if line.strip()]
    report = [*figures(judged), "", *confusion(judged)]
    if options.mistakes:
        report += ["", *mistakes(judged)]
    click.echo("\n".join(report))


if __name__ == "__main__":
    main()
