"""The embedded PostgreSQL and Valkey: durable, closed to others, and back after anything."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from redis import Redis

from flute_server.local.embedded import Services, embedded, postgres
from flute_server.local.errors import LocalError
from flute_server.local.postgres import Postgres
from flute_server.local.process import living_in
from flute_server.local.valkey import Valkey
from tests.stack import until

# Holds both databases like a program that uses them, until it is killed.
HOLDER = """
import signal, sys
from pathlib import Path
from flute_server.local.embedded import embedded
with embedded(Path(sys.argv[1])):
    print("up", flush=True)
    signal.pause()
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    # Not below pytest's own folder, whose permissions pytest resets while others may use it.
    path = Path(tempfile.mkdtemp(prefix="flute-test-"))
    yield path
    shutil.rmtree(path)


def hold(folder: Path) -> subprocess.Popen[str]:
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(folder)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "up\n"
    holder.stdout.close()
    return holder


def database_processes(folder: Path) -> list[int]:
    return living_in(folder / "postgres") + living_in(folder / "valkey")


def write(services: Services) -> None:
    with psycopg.connect(services.database_url) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept (n int)")
        connection.execute("INSERT INTO kept VALUES (1)")
    with Redis.from_url(services.redis_url) as redis:
        redis.incr("kept")


def read(services: Services) -> tuple[int, int]:
    with psycopg.connect(services.database_url) as connection:
        row = connection.execute("SELECT count(*) FROM kept").fetchone()
    with Redis.from_url(services.redis_url) as redis:
        return (row[0] if row else 0), int(redis.get("kept") or 0)


def test_resumes_its_data_and_leaves_no_process(folder: Path):
    with embedded(folder) as services:
        write(services)
    assert database_processes(folder) == []
    with embedded(folder) as services:
        assert read(services) == (1, 1)


def test_keeps_nothing_relaxed_and_listens_on_no_port(folder: Path):
    with embedded(folder) as services:
        with psycopg.connect(services.database_url) as connection:
            names = ("fsync", "synchronous_commit", "full_page_writes", "data_checksums", "listen_addresses")
            shown = [connection.execute(f"SHOW {name}".encode()).fetchone() for name in names]
        assert [row[0] for row in shown if row] == ["on", "on", "on", "on", ""]
        with Redis.from_url(services.redis_url) as redis:
            config = redis.config_get("*")
    wanted = {"appendonly": "yes", "appendfsync": "everysec", "port": "0", "maxmemory-policy": "noeviction"}
    assert {name: config[name] for name in wanted} == wanted


def test_commits_survive_a_kill_of_everything(folder: Path):
    holder = hold(folder)
    services = Services(Postgres(folder).url, Valkey(folder).url)  # they depend on the folder alone
    write(services)
    with Redis.from_url(services.redis_url) as redis:
        # everysec: wait until it is on disk, as a second would see to.
        redis.execute_command("WAITAOF", 1, 0, 5000)
    for pid in [holder.pid, *database_processes(folder)]:
        os.kill(pid, signal.SIGKILL)
    holder.wait()
    with embedded(folder) as again:
        assert read(again) == (1, 1)


def test_ends_with_its_owner(folder: Path):
    holder = hold(folder)
    holder.kill()
    holder.wait()
    until(lambda: not database_processes(folder), "the databases end")


def test_a_new_start_ends_what_an_old_one_left(folder: Path):
    holder = hold(folder)
    left = living_in(folder / "postgres")
    holder.kill()
    holder.wait()
    # No waiting here: the old server may still be shutting down.
    with embedded(folder) as services:
        write(services)
        assert not set(left) & set(living_in(folder / "postgres"))


def test_a_stale_pid_file_with_the_id_of_another_process_is_no_obstacle(folder: Path):
    with postgres(folder):
        pid_file = (folder / "postgres" / "postmaster.pid").read_text()
    other = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    try:
        lines = [str(other.pid), *pid_file.splitlines()[1:]]
        (folder / "postgres" / "postmaster.pid").write_text("\n".join(lines) + "\n")
        with postgres(folder) as url, psycopg.connect(url) as connection:
            connection.execute("SELECT 1")
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_works_in_a_folder_too_deep_for_sockets(folder: Path):
    deep = folder / ("x" * 60) / ("y" * 60)
    with embedded(deep) as services:
        write(services)
        assert read(services) == (1, 1)


def test_a_start_that_was_cut_short_leaves_no_half_cluster(folder: Path):
    (folder / "postgres.new").mkdir()
    (folder / "postgres.new" / "PG_VERSION").write_text("18\n")
    with postgres(folder) as url, psycopg.connect(url) as connection:
        connection.execute("SELECT 1")
    assert not (folder / "postgres.new").exists()


def test_data_of_another_version_is_refused(folder: Path):
    with postgres(folder):
        pass
    (folder / "postgres" / "PG_VERSION").write_text("12\n")
    with (
        pytest.raises(LocalError, match=r"was written by PostgreSQL 12, but PostgreSQL \d+ is installed"),
        postgres(folder),
    ):
        pass


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_other_users_cannot_enter(folder: Path):
    nobody = pwd.getpwnam("nobody")
    with embedded(folder) as services:
        for url in (services.database_url, services.redis_url):
            place = Path(url.partition("host=")[2] or url.removeprefix("unix://").partition("?")[0])
            done = subprocess.run(
                ["/bin/ls", str(place)],
                user=nobody.pw_uid,
                group=nobody.pw_gid,
                extra_groups=[],
                capture_output=True,
                check=False,
            )
            assert b"Permission denied" in done.stderr
