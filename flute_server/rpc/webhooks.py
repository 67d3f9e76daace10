"""WebhookService."""

from __future__ import annotations

from flute.v1.webhook_service_pb2_grpc import WebhookServiceServicer

from flute_server.config import Config


class WebhookServicer(WebhookServiceServicer):
    """Where an environment's events are told to its owner's own programs."""

    def __init__(self, config: Config) -> None:
        self._config = config
