"""`flute doctor`: what is wrong, where, and how to mend it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from flute_server.cli import checks
from flute_server.cli.checks import Finding, Patient
from flute_server.cli.common import data_folder
from flute_server.config import Config, ConfigError
from flute_server.local.errors import LocalError
from flute_server.local.files import read_json
from flute_server.local.ports import is_free
from flute_server.local.ready import read_ready

_WIDTH = 24
_Checks = tuple[Callable[[Patient], Iterator[Finding]], ...]
_CHECKS: _Checks = (
    checks.settings,
    checks.postgres,
    checks.redis,
    checks.grpc_server,
    checks.alerts,
    checks.system_mail,
    checks.webhooks,
    checks.web,
    checks.disk,
)


@click.command()
@data_folder("The folder of a `flute up` on this machine.")
def doctor(data_dir: Path) -> None:
    """Look at every part, say what is wrong and how to mend it. Exit code 1 if anything is.

    Examines what the environment variables name, and the `flute up` of the data folder for the rest.
    """
    trouble = hints = 0
    for finding in _examine(data_dir):
        _print(finding)
        trouble += not finding.ok
        hints += finding.hint
    click.echo(_summary(trouble, hints))
    sys.exit(1 if trouble else 0)


def _summary(trouble: int, hints: int) -> str:
    if not trouble and not hints:
        return "all is well"
    counted = f"{trouble or 'no'} problem{'s' * (trouble != 1)}"
    return f"{counted}, {hints} hint{'s' * (hints != 1)}" if hints else counted


def _examine(data_dir: Path) -> Iterator[Finding]:
    try:
        ready = read_ready(data_dir)
        env = {**_from_folder(data_dir, ready), **{k: v for k, v in os.environ.items() if v.strip()}}
        patient = Patient(Config.from_env(env), data_dir.absolute(), ready, checks.web_address(env, ready))
    except (ConfigError, LocalError) as error:
        yield Finding("settings", False, str(error), "set it, or start `flute up` on this data folder")
        yield from _ports()
        return
    yield Finding("settings", True, "complete")
    wanted = _CHECKS
    if not ready and "DATABASE_URL" not in os.environ:
        text = f"no `flute up` is ready on {data_dir}"
        yield Finding("flute up", False, text, "start it, or name its folder with --data-dir")
        yield from _ports()
        wanted = (checks.settings, checks.disk)  # the rest would only say again that nothing runs
    for check in wanted:
        try:
            yield from check(patient)
        except Exception as error:  # one check must not hide the others
            text = f"could not be examined ({type(error).__name__})"
            yield Finding(check.__name__, False, text, "please report this")


def _from_folder(data_dir: Path, ready: dict[str, Any]) -> dict[str, str]:
    """The settings that `flute up` gave its parts."""
    run, own = read_json(data_dir / "run.json"), read_json(data_dir / "secrets.json")
    found = {
        "DATABASE_URL": run.get("postgres_url", ""),
        "REDIS_URL": run.get("valkey_url", ""),
        "FLUTE_SECRET_KEYS": ",".join(own.get("secret_keys", [])),
        "FLUTE_SERVICE_TOKEN": own.get("service_token", ""),
        "FLUTE_GRPC_ADDRESS": ready.get("grpc", ""),
    }
    return {name: value for name, value in found.items() if value}


def _ports() -> Iterator[Finding]:
    """Nothing runs: could it?"""
    for what, port in (("web", 8080), ("gRPC", 50051)):
        free = is_free("127.0.0.1", port)
        text = "free" if free else "taken by another program; `flute up` takes another"
        yield Finding(f"port {port} ({what})", True, text)


def _print(finding: Finding) -> None:
    word, colour = ("hint", "yellow") if finding.hint else ("ok", "green")
    mark = click.style(f"{word:<7}", fg=colour) if finding.ok else click.style("problem", fg="red")
    click.echo(f"{mark}  {finding.what:<{_WIDTH}} {finding.text}")
    if finding.mend:
        click.echo(f"{'':<9}{'':<{_WIDTH}} -> {finding.mend}")
