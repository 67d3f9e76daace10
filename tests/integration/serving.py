"""A gRPC server in the test's own process, with settings of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager
from types import ModuleType

import grpc
from flask import Flask

from flute_server.app import create_app
from flute_server.config import Config
from flute_server.models import db
from flute_server.rpc.interceptors import CallInterceptor


@contextmanager
def serving(config: Config, service: ModuleType, add: Callable[[Flask, grpc.Server], None]) -> Iterator[str]:
    """The address of a server with this service, to which `add` adds its servicer."""
    app = create_app(config)
    interceptor = CallInterceptor(app, config, [service])
    server = grpc.server(futures.ThreadPoolExecutor(2), interceptors=[interceptor])
    add(app, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(5).wait()
        with app.app_context():
            for engine in db.engines.values():
                engine.dispose()
