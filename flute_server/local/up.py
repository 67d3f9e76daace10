"""`flute up`: everything on this machine, in the right order, until somebody asks it to stop."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from . import http, parts
from .errors import LocalError
from .files import prepare_data_dir, read_json, write_json
from .greeting import greeting
from .log import Log
from .parts import BOUNCES_BIND, MARK, SANDBOX_PORTS, Plan
from .ports import Ports, join_address, reachable, split_address
from .postgres import Postgres
from .process import end_marked
from .ready import only_one, remove_ready, write_ready
from .secrets import load_secrets
from .supervisor import Part, Stopped, Supervisor
from .valkey import Valkey

WEB_PORT = 8080
GRPC_PORT = 50051
SANDBOX_PORT = 8025
BOUNCES_PORT = 2525
READY_SECONDS = 90.0
RUN_FILE = "run.json"
_LAST = ("sandbox", "valkey", "postgres")


@dataclass(frozen=True)
class Wish:
    """What the person at the command line asked for."""

    data_dir: Path
    demo: bool
    port: int | None  # None: the usual one, or another if it is taken


def up(wish: Wish) -> None:
    """Run until SIGINT or SIGTERM. Raises LocalError when it cannot start."""
    data_dir = prepare_data_dir(wish.data_dir)
    log = Log(sys.stdout)
    with only_one(data_dir):
        remove_ready(data_dir)
        _clear(data_dir, log)
        asyncio.run(Up(wish, data_dir, log).run())


class Up:
    """One run from start to stop."""

    def __init__(self, wish: Wish, data_dir: Path, log: Log) -> None:
        self._wish = wish
        self._data_dir = data_dir
        self._log = log
        self._supervisor = Supervisor(log)
        self._databases: list[Postgres | Valkey] = []
        self._workers: list[str] = []
        self._one_demo = asyncio.Lock()
        self._demo_of = 0  # the process id of the sandbox that it was made with

    async def run(self) -> None:
        """Start, supervise, stop; whatever happens, nothing of it is left running."""
        self._supervisor.watch()
        mark = secrets.token_hex(8)
        try:
            await self._start(self._plan(mark))
            await self._supervisor.until_asked()
        except Stopped:
            pass
        finally:
            remove_ready(self._data_dir)
            await self._supervisor.stop(["web", "server", *self._workers, *_LAST])
            end_marked(MARK, mark, signal.SIGKILL)
        self._log.say("stopped; nothing is lost, `flute up` resumes")

    def _plan(self, mark: str) -> Plan:
        ports = Ports(self._log.say)
        grpc = _grpc_address(ports)
        bounces = _bounces_address(ports, demo=self._wish.demo)
        web_host, web_port = _web_address(ports, self._wish.port)
        installation = load_secrets(self._data_dir)
        database_url, redis_url = self._database_urls()
        embedded = {f"{database.name}_url": database.url for database in self._databases}
        write_json(self._data_dir / RUN_FILE, {"mark": mark, **embedded})
        wanted = os.environ.get("FLUTE_WORKERS", "").strip() or "1"
        if not wanted.isdecimal() or int(wanted) < 1:
            raise LocalError(f"FLUTE_WORKERS must be a whole number of at least 1, not {wanted!r}.")
        sandbox_port = 0
        if self._wish.demo:
            what = "the sandbox"
            sandbox_port = ports.usual("127.0.0.1", SANDBOX_PORT, what, "--demo", SANDBOX_PORTS)
        return Plan(
            data_dir=self._data_dir,
            database_url=database_url,
            redis_url=redis_url,
            secret_keys=installation.secret_keys,
            service_token=installation.service_token,
            web_secret=installation.web_secret,
            web_bind=join_address(web_host, web_port),
            web_address=f"http://{join_address(reachable(web_host), web_port)}",
            grpc_address=grpc,
            sandbox_port=sandbox_port,
            bounces_bind=bounces,
            workers=int(wanted),
            mark=mark,
        )

    def _database_urls(self) -> tuple[str, str]:
        """The given ones; those of embedded databases where none are given."""
        database_url = os.environ.get("DATABASE_URL", "").strip()
        redis_url = os.environ.get("REDIS_URL", "").strip()
        if not redis_url:
            self._databases.append(Valkey(self._data_dir, self._log.say))
            redis_url = self._databases[-1].url
        if not database_url:
            self._databases.append(Postgres(self._data_dir, self._log.say))
            database_url = self._databases[-1].url
        return database_url, redis_url

    async def _start(self, plan: Plan) -> None:
        begin = time.monotonic()
        self._log.say(f"starting, data in {self._data_dir}")
        supervisor = self._supervisor
        for database in self._databases:
            supervisor.start(Part(database.name, database.prepare, grace=30.0))
        if plan.demo:
            on_start = partial(self._greet_sandbox, plan)
            supervisor.start(Part("sandbox", partial(parts.sandbox, plan), 5.0, on_start))
        # Answers 503 until the server is there. The server waits for the schema that its code expects.
        supervisor.start(Part("web", partial(parts.web, plan), 35.0))
        for database in self._databases:
            ready = partial(_database_ready, supervisor, database)
            await supervisor.until(ready, f"{database.name} is not ready", READY_SECONDS)
        await supervisor.run("migrate", parts.migrate(plan))
        self._start_server_side(plan)
        pids = [supervisor.pid(name) for name in self._workers]
        steps = [supervisor.run("probe", parts.probe(plan, pids))]
        if plan.demo:
            steps.append(self._make_demo(plan))
        await asyncio.gather(*steps)
        # Not earlier: a process of web that was asked before the server serves would say 503 for a while.
        await self._doors_open(plan)
        content = self._content(plan)
        write_ready(self._data_dir, content)
        self._log.plain(greeting(content, self._data_dir, time.monotonic() - begin))

    def _start_server_side(self, plan: Plan) -> None:
        self._supervisor.start(Part("server", partial(parts.server, plan), 20.0))
        self._workers = [f"worker-{n}" if plan.workers > 1 else "worker" for n in range(1, plan.workers + 1)]
        for name in self._workers:
            self._supervisor.start(Part(name, partial(parts.worker, plan), 60.0))
        if plan.bounces_bind:
            self._supervisor.start(Part("bounces", partial(parts.bounces, plan), 25.0))

    async def _doors_open(self, plan: Plan) -> None:
        """Whoever listens to the world does so."""
        healthz = partial(_answers, f"{plan.web_address}/healthz")
        await self._supervisor.until(healthz, "web does not answer at /healthz", READY_SECONDS)
        if plan.bounces_bind:
            listens = partial(_listens, plan.bounces_address)
            await self._supervisor.until(listens, "nothing listens for bounces", READY_SECONDS)

    async def _make_demo(self, plan: Plan) -> None:
        there = plan.sandbox_file.exists
        await self._supervisor.until(there, "the sandbox is not ready", READY_SECONDS)
        async with self._one_demo:
            self._demo_of = read_json(plan.sandbox_file)["pid"]
            await self._supervisor.run("demo", parts.demo(plan))

    def _content(self, plan: Plan) -> dict[str, object]:
        """What ready.json says."""
        content: dict[str, object] = {"web": plan.web_address, "grpc": plan.grpc_address}
        if plan.demo:
            made = read_json(self._data_dir / "demo.json")
            content["sandbox"] = read_json(plan.sandbox_file)["control"]
            names = ("access_token", "test_access_token", "environment_id", "login")
            content |= {name: made[name] for name in names}
        return content

    async def _greet_sandbox(self, plan: Plan) -> None:
        """After each start of the sandbox, which remembers nothing of the one before."""
        while not plan.sandbox_file.exists():
            await asyncio.sleep(0.05)
        sandbox = read_json(plan.sandbox_file)
        await self._break_first_provider(sandbox["control"])
        async with self._one_demo:
            known = self._demo_of in {0, sandbox["pid"]}
        if not known:
            await self._make_demo_again(plan)

    async def _make_demo_again(self, plan: Plan) -> None:
        """The sandbox has to be told anew where to post; what goes wrong must not end anything."""
        try:
            await self._make_demo(plan)
        except Stopped:
            pass
        except LocalError as error:
            self._log.say(f"the new sandbox does not tell what becomes of its mail: {error}")

    async def _break_first_provider(self, control: str) -> None:
        """It is down, so that failover can be watched."""
        url = f"{control}/providers/sendgrid/mode"
        if await http.call(url, "PUT", json.dumps({"mode": "down"}).encode()) != 200:
            self._log.say(f"the sandbox did not take the mode `down` for SendGrid ({url})")


def _clear(data_dir: Path, log: Log) -> None:
    """End what a start that was killed left behind; the kernel asked it to end already."""
    mark = str(read_json(data_dir / RUN_FILE).get("mark", ""))
    left = end_marked(MARK, mark, signal.SIGTERM) if mark else 0
    if left:
        log.say(f"ended {left} processes that the last start left behind")


def _grpc_address(ports: Ports) -> str:
    what, setting = "the gRPC server", "FLUTE_GRPC_ADDRESS"
    return _asked_address(ports, what, setting) or _usual_address(ports, GRPC_PORT, what, setting)


def _bounces_address(ports: Ports, *, demo: bool) -> str:
    """Empty: nobody wants them received here."""
    what, setting = "the receiver of bounces", BOUNCES_BIND
    asked = _asked_address(ports, what, setting)
    return _usual_address(ports, BOUNCES_PORT, what, setting) if demo and not asked else asked


def _asked_address(ports: Ports, what: str, setting: str) -> str:
    """What the environment says; empty if it says nothing."""
    given = os.environ.get(setting, "").strip()
    if given:
        host, port = split_address(given, setting)
        ports.asked(host, port, what, setting)
    return given


def _usual_address(ports: Ports, port: int, what: str, setting: str) -> str:
    return join_address("127.0.0.1", ports.usual("127.0.0.1", port, what, setting))


def _web_address(ports: Ports, port: int | None) -> tuple[str, int]:
    bind = os.environ.get("FLUTE_WEB_BIND", "").strip()
    host, given = split_address(bind, "FLUTE_WEB_BIND") if bind else ("127.0.0.1", 0)
    if port is not None:
        return host, ports.asked(host, port, "web", "--port (or FLUTE_PORT)")
    if given:
        return host, ports.asked(host, given, "web", "FLUTE_WEB_BIND")
    return host, ports.usual(host, WEB_PORT, "web", "--port")


def _database_ready(supervisor: Supervisor, database: Postgres | Valkey) -> bool:
    pid = supervisor.pid(database.name)
    return pid > 0 and database.is_ready(pid)


async def _answers(url: str) -> bool:
    return await http.call(url) == 200


async def _listens(address: str) -> bool:
    host, port = split_address(address, BOUNCES_BIND)
    try:
        async with asyncio.timeout(3):
            _, writer = await asyncio.open_connection(host, port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True
