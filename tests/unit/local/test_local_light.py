"""What must stay light: the supervisor lives as long as the system, and --help is for impatient people."""

from __future__ import annotations

import subprocess
import sys

HEAVY = {
    "flask",
    "sqlalchemy",
    "grpc",
    "google",
    "redis",
    "rq",
    "aiohttp",
    "requests",
    "cryptography",
    "psycopg",
}


def imported_by(statement: str) -> set[str]:
    code = f"{statement}\nimport sys\nprint(*sorted(name for name in sys.modules if '.' not in name))"
    return set(subprocess.check_output([sys.executable, "-c", code], text=True).split())


def test_the_supervisor_carries_nothing_heavy():
    assert not imported_by("import flute_server.local.up") & HEAVY


def test_help_imports_no_subcommand():
    code = (
        "import io, contextlib\nfrom flute_server.cli import main\n"
        "with contextlib.redirect_stdout(io.StringIO()):\n    main(['--help'], standalone_mode=False)"
    )
    assert not imported_by(code) & HEAVY
