"""ProviderAccountService."""

from __future__ import annotations

from datetime import UTC, datetime

import grpc
from flute.v1 import provider_account_service_pb2 as pb
from flute.v1.provider_account_service_pb2_grpc import ProviderAccountServiceServicer
from google.protobuf.empty_pb2 import Empty

from flute_server.admin import provider_accounts
from flute_server.admin.find import find
from flute_server.admin.provider_accounts import Use
from flute_server.config import Config
from flute_server.errors import Violation, invalid
from flute_server.models import ProviderAccount, db
from flute_server.providers.base import Field, Provider
from flute_server.providers.portrait import portrait
from flute_server.providers.registry import PROVIDERS
from flute_server.rpc.convert import timestamp
from flute_server.rpc.principal import author, require_account
from flute_server.rpc.provider_health import breaker_state, state, told
from flute_server.rpc.statistics import period
from flute_server.rpc.waiting import waiting
from flute_server.sending import account_health, account_states, health
from flute_server.sending.account_states import Standing

# What begins the path of a credential in an update_mask (AIP-161: the key of a map).
_CREDENTIAL = "credentials."


class ProviderAccountServicer(ProviderAccountServiceServicer):
    """Credentials at sending services."""

    def __init__(self, config: Config) -> None:
        self._config = config

    def ListProviders(
        self, request: pb.ListProvidersRequest, context: grpc.ServicerContext
    ) -> pb.ListProvidersResponse:
        return pb.ListProvidersResponse(providers=map(_provider, PROVIDERS.values()))

    def CreateProviderAccount(
        self, request: pb.CreateProviderAccountRequest, context: grpc.ServicerContext
    ) -> pb.ProviderAccount:
        given = request.provider_account
        row = provider_accounts.create(
            self._config,
            require_account(given.account_id),
            given.provider,
            given.name,
            given.credentials,
            author=author(),
        )
        return self._shown(row)

    def GetProviderAccount(
        self, request: pb.GetProviderAccountRequest, context: grpc.ServicerContext
    ) -> pb.ProviderAccount:
        return self._shown(find(ProviderAccount, request.id))

    def ListProviderAccounts(
        self, request: pb.ListProviderAccountsRequest, context: grpc.ServicerContext
    ) -> pb.ListProviderAccountsResponse:
        rows, token = provider_accounts.list_page(
            require_account(request.account_id), request.page_size, request.page_token
        )
        return pb.ListProviderAccountsResponse(provider_accounts=self._all_shown(rows), next_page_token=token)

    def UpdateProviderAccount(
        self, request: pb.UpdateProviderAccountRequest, context: grpc.ServicerContext
    ) -> pb.ProviderAccount:
        name, credentials = _wanted(request)
        id_ = request.provider_account.id
        row = provider_accounts.update(self._config, id_, name, credentials, author())
        health.reset(row.id)
        db.session.commit()
        return self._shown(row)

    def DeleteProviderAccount(
        self, request: pb.DeleteProviderAccountRequest, context: grpc.ServicerContext
    ) -> Empty:
        provider_accounts.delete(request.id, author())
        return Empty()

    def VerifyProviderAccount(
        self, request: pb.VerifyProviderAccountRequest, context: grpc.ServicerContext
    ) -> pb.VerifyProviderAccountResponse:
        with waiting(self._config.grpc_threads).one():
            check = provider_accounts.verify(self._config, request.id)
        if check.ok:
            health.reset(find(ProviderAccount, request.id).id)
        db.session.commit()
        return pb.VerifyProviderAccountResponse(ok=check.ok, text=check.text, advice=check.advice)

    def ResetProviderAccount(
        self, request: pb.ResetProviderAccountRequest, context: grpc.ServicerContext
    ) -> pb.ProviderAccount:
        row = provider_accounts.reset(request.id, author())
        health.reset(row.id)
        db.session.commit()
        return self._shown(row)

    def PauseProviderAccount(
        self, request: pb.PauseProviderAccountRequest, context: grpc.ServicerContext
    ) -> pb.ProviderAccount:
        return self._shown(provider_accounts.pause(request.id, author()))

    def GetProviderAccountHealth(
        self, request: pb.GetProviderAccountHealthRequest, context: grpc.ServicerContext
    ) -> pb.ProviderAccountHealth:
        row = find(ProviderAccount, request.id)
        return told(account_health.read(row, period(request.period), datetime.now(UTC)))

    def ResumeProviderAccount(
        self, request: pb.ResumeProviderAccountRequest, context: grpc.ServicerContext
    ) -> pb.ProviderAccount:
        row = provider_accounts.resume(request.id, author())
        health.hurry(row.id, datetime.now(UTC))
        db.session.commit()
        return self._shown(row)

    def _shown(self, row: ProviderAccount) -> pb.ProviderAccount:
        return self._all_shown([row])[0]

    def _all_shown(self, rows: list[ProviderAccount]) -> list[pb.ProviderAccount]:
        used = provider_accounts.environments(row.id for row in rows)
        standings = account_states.read(rows)
        return [self._told(row, used.get(row.id, []), standings[row.id]) for row in rows]

    def _told(self, row: ProviderAccount, used: list[Use], standing: Standing) -> pb.ProviderAccount:
        credentials = provider_accounts.known_credentials(self._config, row)
        kind = PROVIDERS[row.provider]
        shown = pb.ProviderAccount(
            id=str(row.id),
            account_id=str(row.account_id),
            provider=row.provider,
            name=row.name,
            credentials=credentials.shown,
            known_secrets=credentials.secrets,
            environments=map(_environment, used),
            create_time=timestamp(row.create_time),
            breaker_state=pb.BREAKER_STATE_CLOSED,
            webhook_path=f"/v1/webhooks/{row.provider}/{row.id}" if kind.webhooks else "",
            webhook_help=kind.webhook_help,
            paused=row.pause_time is not None,
            pause_time=timestamp(row.pause_time) if row.pause_time else None,
            last_event_time=timestamp(row.last_event_time) if row.last_event_time else None,
            last_check=_check(row) if row.check_time else None,
            state=state(standing.state),
        )
        if row.rejected_time:
            shown.last_rejected_event.time.FromDatetime(row.rejected_time)
            shown.last_rejected_event.reason = row.rejected_reason
        for breaker in standing.breakers:
            told = shown.domains.add(domain=breaker.domain) if breaker.domain else shown
            told.breaker_state, told.breaker_reason = breaker_state(breaker.state), breaker.reason
            if when := account_states.next_try(breaker, datetime.now(UTC)):
                told.retry_time.FromDatetime(when)
        return shown


def _wanted(request: pb.UpdateProviderAccountRequest) -> tuple[str | None, dict[str, str]]:
    """The new name, or None, and the credentials that change; an empty one is to be removed."""
    given = request.provider_account
    if not request.HasField("update_mask"):
        kept = {name: value for name, value in given.credentials.items() if value.strip()}
        return given.name if given.name.strip() else None, kept
    paths = set(request.update_mask.paths)
    names = {path.removeprefix(_CREDENTIAL) for path in paths if path.startswith(_CREDENTIAL)}
    if not paths or paths - {"name"} - {_CREDENTIAL + name for name in names}:
        text = "has to name what to change: name, or credentials.NAME for each credential"
        raise invalid([Violation("update_mask", text)])
    wanted = {name: given.credentials.get(name, "") for name in names}
    return given.name if "name" in paths else None, wanted


def _check(row: ProviderAccount) -> pb.CredentialsCheck:
    return pb.CredentialsCheck(
        time=timestamp(row.check_time),
        ok=row.check_ok,
        refused=row.check_refused,
        text=row.check_text,
        advice=row.check_advice,
    )


def _environment(use: Use) -> pb.ProviderAccountEnvironment:
    return pb.ProviderAccountEnvironment(id=str(use.id), name=use.name, route_disabled=use.route_disabled)


def _provider(kind: type[Provider]) -> pb.Provider:
    return pb.Provider(
        slug=kind.slug,
        name=kind.name,
        fields=map(_field, kind.fields),
        max_bytes=kind.capabilities.max_bytes,
        max_recipients=kind.capabilities.max_recipients,
        about=kind.about,
        capabilities=(
            pb.ProviderCapability(name=trait.name, supported=trait.supported, text=trait.text)
            for trait in portrait(kind)
        ),
    )


def _field(field: Field) -> pb.ProviderField:
    return pb.ProviderField(
        name=field.name,
        label=field.label,
        secret=field.secret,
        required=field.required,
        default_value=field.default,
        help=field.help,
        choices=field.choices,
        webhook=field.webhook,
    )
