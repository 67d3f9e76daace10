"""The command `flute`. Each subcommand is imported when it is called, so that --help is quick."""

from __future__ import annotations

from importlib import import_module

import click

_HERE = "flute_server.cli"
# name: (module, attribute, what it does)
_COMMANDS = {
    "up": ("up", "up", "Run everything on this machine."),
    "server": ("processes", "server", "Run the gRPC server."),
    "web": ("processes", "web", "Run the public API and the pages."),
    "worker": ("processes", "worker", "Run one worker."),
    "bounces": ("bounces", "bounces", "Receive the mail that comes back."),
    "migrate": ("processes", "migrate", "Bring the database schema up to date."),
    "sandbox": ("sandbox", "sandbox", "Play the providers, for drills and tests."),
    "doctor": ("doctor", "doctor", "Find out what is wrong and how to mend it."),
    "account": ("accounts", "account", "Tenants: create, list."),
    "user": ("users", "user", "People: list, make operators, reset passwords, see mail that waits."),
    "provider": ("provider_accounts", "provider", "Kinds of provider and what each needs."),
    "provider-account": ("provider_accounts", "provider_account", "Credentials at a provider."),
    "environment": ("environments", "environment", "FROM domains and their settings."),
    "route": ("routes", "route", "The order in which an environment tries its providers."),
    "drill": ("drills", "drill", "Pretend that a provider is down: start, end, report."),
    "suppression": ("suppressions", "suppression", "Addresses that get no mail: add, list, import."),
    "audit": ("audit", "audit", "Who changed what."),
    "alert": ("alerts", "alert", "What waits for a person: list, resolve."),
    "key": ("keys", "key", "API keys: create, list, revoke."),
    "send": ("send", "send", "Send a mail, or tell which way it would take."),
    "email": ("emails", "email", "What became of a mail."),
    "emails": ("email_list", "emails", "Find mails by status, recipient, tag, subject, time."),
    "cancel": ("emails", "cancel", "Take a mail back that still waits."),
    "reschedule": ("emails", "reschedule", "Give a scheduled mail another time."),
    "resend": ("emails", "resend", "Send a mail again, as a new one."),
    "webhook": ("webhooks", "webhook", "Programs that are told of events: add, test, replay."),
    "statistics": ("statistics", "statistics", "How much mail, what became of it, how long it took."),
    "classify": ("classify", "classify", "Say what a provider's answer or bounce means."),
}


class _Lazy(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, attribute, _ = _COMMANDS[cmd_name]
        command: click.Command = getattr(import_module(f"{_HERE}.{module}"), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, _, text) in _COMMANDS.items()])


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="flute", prog_name="flute")
def main() -> None:
    """Flute: one API in front of your email providers, with failover that can be trusted."""
