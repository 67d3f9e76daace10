"""`python -m flute_server.local.probe`: ends well when the server serves and the workers are registered.

A process of its own, so that the supervisor carries neither gRPC nor its threads.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import grpc
from grpc_health.v1 import health_pb2
from redis import Redis
from redis.exceptions import RedisError

from .client import open_channel
from .process import wait_until

SECONDS = 60.0
_WORKERS = "rq:workers"


def serving(address: str, timeout: float = 1.0) -> bool:
    """Does the gRPC server say that it serves?"""
    with open_channel(address, os.environ.get("FLUTE_GRPC_TLS_CA", "")) as channel:
        check = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            health_pb2.HealthCheckRequest.SerializeToString,
            health_pb2.HealthCheckResponse.FromString,
        )
        try:
            answer = check(health_pb2.HealthCheckRequest(), timeout=timeout, wait_for_ready=True)
        except grpc.RpcError:
            return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def registered(redis: Redis) -> set[int]:
    """The process ids of the RQ workers that registered themselves."""
    try:
        names = [str(name) for name in redis.smembers(_WORKERS)]
        return {int(pid) for name in names if (pid := redis.hget(name, "pid"))}
    except RedisError:
        return set()


def main(arguments: Sequence[str]) -> int:
    """First argument: the gRPC address; the others: the workers' process ids."""
    address, *workers = arguments
    wanted = {int(pid) for pid in workers}
    redis = Redis.from_url(os.environ["REDIS_URL"], socket_timeout=2, decode_responses=True)
    lacking = "the gRPC server does not answer"
    if wait_until(lambda: serving(address), SECONDS):
        lacking = "the workers have not registered themselves"
        if wait_until(lambda: wanted <= registered(redis), SECONDS):
            return 0
    sys.stderr.write(f"{lacking} after {SECONDS:.0f} s\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
