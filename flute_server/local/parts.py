"""What Flute consists of: how each part is started, and with which settings."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from .errors import LocalError
from .ports import join_address, reachable, split_address
from .process import Launch

SANDBOX_PORTS = 6  # control, then one for each provider
SANDBOX_SMTP = 5  # which of them speaks SMTP
BOUNCES_BIND = "FLUTE_BOUNCES_BIND"
SYSTEM_SMTP = "FLUTE_SYSTEM_SMTP"
# Marks every process of one start, however deep: by it a later start finds what was left behind.
MARK = "FLUTE_RUN"
# What the sandbox's SMTP server accepts.
SANDBOX_LOGIN = {"username": "sandbox", "password": "sandbox-password"}
# Only the server side may know these.
_SERVER_ONLY = ("DATABASE_URL", "REDIS_URL", "FLUTE_SECRET_KEYS", "FLUTE_SERVICE_TOKEN", SYSTEM_SMTP)


@dataclass(frozen=True)
class Plan:
    """Everything that was decided before the first part starts."""

    data_dir: Path
    database_url: str = field(repr=False)
    redis_url: str = field(repr=False)
    secret_keys: str = field(repr=False)
    service_token: str = field(repr=False)
    web_secret: str = field(repr=False)
    web_bind: str
    web_address: str
    grpc_address: str
    sandbox_port: int  # 0: no demo
    bounces_bind: str  # empty: bounces are not received here
    workers: int
    mark: str

    @property
    def demo(self) -> bool:
        """Is the sandbox to be started and filled?"""
        return self.sandbox_port > 0

    @property
    def bounces_address(self) -> str:
        """Where others reach the receiver of bounces; empty if there is none."""
        if not self.bounces_bind:
            return ""
        host, port = split_address(self.bounces_bind, BOUNCES_BIND)
        return join_address(reachable(host), port)

    @property
    def sandbox_file(self) -> Path:
        """Where the sandbox says what it plays."""
        return self.data_dir / "run" / "sandbox.json"


def migrate(plan: Plan) -> Launch:
    """Brings the schema up to date."""
    return _python(plan, _server_env(plan), "flute_server.cli", "migrate")


def server(plan: Plan) -> Launch:
    """flute_server."""
    return _python(plan, _server_env(plan), "flute_server")


def worker(plan: Plan) -> Launch:
    """One RQ worker."""
    return _python(plan, _server_env(plan), "workers")


def probe(plan: Plan, workers: list[int]) -> Launch:
    """Ends when the server serves and these workers are registered."""
    pids = [str(pid) for pid in workers]
    return _python(plan, _server_env(plan), "flute_server.local.probe", plan.grpc_address, *pids)


def demo(plan: Plan) -> Launch:
    """Makes what the demo shows, and lets the sandbox tell what becomes of its mail."""
    arguments = (str(plan.data_dir), str(plan.sandbox_file), plan.web_address, plan.bounces_address)
    return _python(plan, _server_env(plan), "flute_server.local.demo", *arguments)


def web(plan: Plan) -> Launch:
    """gunicorn with the public API."""
    env = {**_env(plan), "FLUTE_WEB_BIND": plan.web_bind, "FLUTE_WEB_SECRET": plan.web_secret}
    env.setdefault("FLUTE_PUBLIC_URL", plan.web_address)
    return _python(plan, env, "gunicorn", "--config", str(gunicorn_config()), "web:create_app()")


def bounces(plan: Plan) -> Launch:
    """The receiver of bounces."""
    host, port = split_address(plan.bounces_bind, BOUNCES_BIND)
    arguments = ("bounces", "--host", host, "--port", str(port))
    return _python(plan, _server_env(plan), "flute_server.cli", *arguments)


def sandbox(plan: Plan) -> Launch:
    """The providers' look-alikes."""
    plan.sandbox_file.unlink(missing_ok=True)
    arguments = ("--port", str(plan.sandbox_port), "--ready-file", str(plan.sandbox_file))
    return _python(plan, _env(plan), "flute_server.cli", "sandbox", *arguments)


def gunicorn_config() -> Path:
    """gunicorn.conf.py stands beside the package web, which must not be imported from here."""
    spec = find_spec("web")
    path = Path(spec.origin).parent.parent / "gunicorn.conf.py" if spec and spec.origin else None
    if path is None or not path.exists():
        raise LocalError(
            "gunicorn.conf.py is not beside the package web. "
            "Install Flute from its folder with `pip install -e .` (`make setup` does)."
        )
    return path


def _python(plan: Plan, env: Mapping[str, str], module: str, *arguments: str) -> Launch:
    return Launch((sys.executable, "-m", module, *arguments), env)


def _env(plan: Plan) -> dict[str, str]:
    env = {name: value for name, value in os.environ.items() if name not in _SERVER_ONLY}
    env |= {"FLUTE_GRPC_ADDRESS": plan.grpc_address, "PYTHONUNBUFFERED": "1", MARK: plan.mark}
    return env


def _server_env(plan: Plan) -> dict[str, str]:
    env = _env(plan) | {
        "DATABASE_URL": plan.database_url,
        "REDIS_URL": plan.redis_url,
        "FLUTE_SECRET_KEYS": plan.secret_keys,
        "FLUTE_SERVICE_TOKEN": plan.service_token,
        "FLUTE_DATA_DIR": str(plan.data_dir),
    }
    env.setdefault("FLUTE_PUBLIC_URL", plan.web_address)
    if plan.demo:  # the sandbox is at a private address
        env["FLUTE_ALLOW_PRIVATE_ADDRESSES"] = "1"
    return env | _system_mail(plan)


def _system_mail(plan: Plan) -> dict[str, str]:
    """The route that the operator set; in the demo the sandbox, whose inbox shows the mail."""
    if given := os.environ.get(SYSTEM_SMTP, "").strip():
        return {SYSTEM_SMTP: given}
    if not plan.demo:
        return {}
    login = f"{SANDBOX_LOGIN['username']}:{SANDBOX_LOGIN['password']}"
    port = plan.sandbox_port + SANDBOX_SMTP
    return {
        SYSTEM_SMTP: f"smtp://{login}@127.0.0.1:{port}?starttls=off",
        "FLUTE_SYSTEM_FROM": "Flute <flute@flutemail.io>",
    }
