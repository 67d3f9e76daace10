"""The gRPC server process."""

from __future__ import annotations

import logging
import signal
import threading
from concurrent import futures
from pathlib import Path

import grpc
from flute.v1 import (
    account_service_pb2,
    account_service_pb2_grpc,
    alert_service_pb2,
    alert_service_pb2_grpc,
    api_key_service_pb2,
    api_key_service_pb2_grpc,
    audit_service_pb2,
    audit_service_pb2_grpc,
    domain_check_service_pb2,
    domain_check_service_pb2_grpc,
    drill_service_pb2,
    drill_service_pb2_grpc,
    email_service_pb2,
    email_service_pb2_grpc,
    environment_service_pb2,
    environment_service_pb2_grpc,
    event_service_pb2,
    event_service_pb2_grpc,
    member_service_pb2,
    member_service_pb2_grpc,
    person_service_pb2,
    person_service_pb2_grpc,
    provider_account_service_pb2,
    provider_account_service_pb2_grpc,
    route_service_pb2,
    route_service_pb2_grpc,
    session_service_pb2,
    session_service_pb2_grpc,
    statistics_service_pb2,
    statistics_service_pb2_grpc,
    suppression_service_pb2,
    suppression_service_pb2_grpc,
    system_service_pb2,
    system_service_pb2_grpc,
    user_service_pb2,
    user_service_pb2_grpc,
    webhook_service_pb2,
    webhook_service_pb2_grpc,
)
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from flute_server.app import create_app
from flute_server.config import Config, ConfigError
from flute_server.rpc.accounts import AccountServicer
from flute_server.rpc.alerts import AlertServicer
from flute_server.rpc.api_keys import ApiKeyServicer
from flute_server.rpc.audit import AuditServicer
from flute_server.rpc.domain_checks import DomainCheckServicer
from flute_server.rpc.drills import DrillServicer
from flute_server.rpc.emails import EmailServicer
from flute_server.rpc.environments import EnvironmentServicer
from flute_server.rpc.event_stream import Streams
from flute_server.rpc.events import EventServicer
from flute_server.rpc.interceptors import CallInterceptor
from flute_server.rpc.members import MemberServicer
from flute_server.rpc.persons import PersonServicer
from flute_server.rpc.provider_accounts import ProviderAccountServicer
from flute_server.rpc.routes import RouteServicer
from flute_server.rpc.sessions import SessionServicer
from flute_server.rpc.statistics import StatisticsServicer
from flute_server.rpc.suppressions import SuppressionServicer
from flute_server.rpc.system import SystemServicer
from flute_server.rpc.users import UserServicer
from flute_server.rpc.webhooks import WebhookServicer
from flute_server.vault import vault

log = logging.getLogger(__name__)

SERVICES = (
    account_service_pb2,
    alert_service_pb2,
    api_key_service_pb2,
    audit_service_pb2,
    domain_check_service_pb2,
    drill_service_pb2,
    email_service_pb2,
    environment_service_pb2,
    event_service_pb2,
    provider_account_service_pb2,
    route_service_pb2,
    member_service_pb2,
    person_service_pb2,
    session_service_pb2,
    user_service_pb2,
    statistics_service_pb2,
    suppression_service_pb2,
    system_service_pb2,
    webhook_service_pb2,
)
# A mail of MAX_CONTENT_BYTES with its envelope; gRPC's own default is 4 MB.
MAX_MESSAGE_BYTES = 40 * 1024 * 1024
DRAIN_S = 10.0


def serve(config: Config) -> None:
    """Serve until SIGTERM or SIGINT, then let running calls end. Raises ConfigError."""
    vault(config.secret_keys)
    stop = threading.Event()
    server, services_health = build(config, stop)
    port = _listen(server, config)
    server.start()
    log.info("flute_server listens on port %s", port)
    for signal_ in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signal_, lambda *_: stop.set())
    stop.wait()
    services_health.enter_graceful_shutdown()
    server.stop(DRAIN_S).wait()


def build(config: Config, stop: threading.Event) -> tuple[grpc.Server, health.HealthServicer]:
    """The server with all services, not listening yet. When `stop` is set, streams end."""
    app = create_app(config)
    server = grpc.server(
        futures.ThreadPoolExecutor(config.grpc_threads, "rpc"),
        interceptors=[CallInterceptor(app, config, SERVICES)],
        options=[
            ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
            ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
            # A second server at our address is refused; else the kernel would give it some of our calls.
            ("grpc.so_reuseport", 0),
            # A listener whose machine is gone gives its stream back.
            ("grpc.keepalive_time_ms", 60_000),
        ],
    )
    account_service_pb2_grpc.add_AccountServiceServicer_to_server(AccountServicer(), server)
    alert_service_pb2_grpc.add_AlertServiceServicer_to_server(AlertServicer(), server)
    api_key_service_pb2_grpc.add_ApiKeyServiceServicer_to_server(ApiKeyServicer(), server)
    domain_check_service_pb2_grpc.add_DomainCheckServiceServicer_to_server(
        DomainCheckServicer(config), server
    )
    drill_service_pb2_grpc.add_DrillServiceServicer_to_server(DrillServicer(), server)
    email_service_pb2_grpc.add_EmailServiceServicer_to_server(EmailServicer(config), server)
    environment_service_pb2_grpc.add_EnvironmentServiceServicer_to_server(EnvironmentServicer(), server)
    streams = Streams(config, app, stop)
    event_service_pb2_grpc.add_EventServiceServicer_to_server(EventServicer(config, streams), server)
    provider_account_service_pb2_grpc.add_ProviderAccountServiceServicer_to_server(
        ProviderAccountServicer(config), server
    )
    route_service_pb2_grpc.add_RouteServiceServicer_to_server(RouteServicer(), server)
    suppression_service_pb2_grpc.add_SuppressionServiceServicer_to_server(SuppressionServicer(config), server)
    audit_service_pb2_grpc.add_AuditServiceServicer_to_server(AuditServicer(), server)
    statistics_service_pb2_grpc.add_StatisticsServiceServicer_to_server(StatisticsServicer(), server)
    system_service_pb2_grpc.add_SystemServiceServicer_to_server(SystemServicer(config), server)
    member_service_pb2_grpc.add_MemberServiceServicer_to_server(MemberServicer(config), server)
    person_service_pb2_grpc.add_PersonServiceServicer_to_server(PersonServicer(config), server)
    session_service_pb2_grpc.add_SessionServiceServicer_to_server(SessionServicer(config), server)
    user_service_pb2_grpc.add_UserServiceServicer_to_server(UserServicer(), server)
    webhook_service_pb2_grpc.add_WebhookServiceServicer_to_server(WebhookServicer(config), server)
    return server, _describe(server)


def _describe(server: grpc.Server) -> health.HealthServicer:
    """Health checking and reflection, by which a stranger with grpcurl finds the way around."""
    names = [
        service.full_name for module in SERVICES for service in module.DESCRIPTOR.services_by_name.values()
    ]
    services_health = health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(services_health, server)
    for name in ("", *names):
        services_health.set(name, health_pb2.HealthCheckResponse.SERVING)
    reflection.enable_server_reflection([*names, health.SERVICE_NAME, reflection.SERVICE_NAME], server)
    return services_health


def _listen(server: grpc.Server, config: Config) -> int:
    try:
        if not config.grpc_tls_cert:
            return server.add_insecure_port(config.grpc_address)
        pair = (Path(config.grpc_tls_key).read_bytes(), Path(config.grpc_tls_cert).read_bytes())
        return server.add_secure_port(config.grpc_address, grpc.ssl_server_credentials([pair]))
    except (RuntimeError, OSError) as error:
        raise ConfigError(f"cannot listen on FLUTE_GRPC_ADDRESS={config.grpc_address}: {error}") from error
