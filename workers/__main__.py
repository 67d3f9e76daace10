"""`python -m workers`: one RQ worker process."""

from __future__ import annotations

import logging
import sys
import threading
from types import FrameType

from redis import Redis
from redis.exceptions import RedisError
from rq import Queue, SimpleWorker

from flute_server.config import Config, ConfigError
from flute_server.sending.wake import QUEUES
from workers import process

log = logging.getLogger("workers")

# How long to leave Redis alone before trying again, at the most.
LONGEST_REDIS_PAUSE_S = 5
# How long webhook calls and system mail under way may take to end and be written down.
LAST_CALLS_S = 15


class Worker(SimpleWorker):
    """Runs jobs without forking, so that connections to providers stay open from one job to the next."""

    max_connection_wait_time = LONGEST_REDIS_PAUSE_S

    def request_stop(self, signum: int, frame: FrameType | None) -> None:
        """SIGTERM: no new mail, but the calls under way are waited for and written down."""
        process.stop.set()
        super().request_stop(signum, frame)  # type: ignore[no-untyped-call]  # RQ annotates it not


def main() -> None:
    """Work until told to stop, through any outage of Redis; a wrong setting ends it with one sentence."""
    try:
        config = Config.from_env()
        logging.basicConfig(level=config.log_level, format="%(levelname)s %(name)s: %(message)s")
        process.app()
        process.deliverer()
    except ConfigError as error:
        sys.exit(f"flute worker: {error}")
    for forever in (process.sweep_forever, process.follow_forever):
        threading.Thread(target=forever, name=forever.__name__, daemon=True).start()
    telling = threading.Thread(target=process.tell_forever, name="tell_forever", daemon=True)
    mailing = threading.Thread(target=process.mail_forever, name="mail_forever", daemon=True)
    for talking in (telling, mailing):
        talking.start()
    while not process.stop.is_set():
        _work(config)
    process.deliverer().finish()
    for talking in (telling, mailing):
        talking.join(LAST_CALLS_S)


def _work(config: Config) -> None:
    # Of its own: RQ sets a long time-out on the connection with which it waits for jobs.
    redis = Redis.from_url(config.redis_url)
    try:
        worker = Worker([Queue(name, connection=redis) for name in QUEUES], connection=redis)
        log.info("worker %s is ready", worker.name)
        worker.work(logging_level="WARNING")
    except RedisError as error:
        log.warning("Redis does not answer: %s", error)
        process.stop.wait(LONGEST_REDIS_PAUSE_S)


if __name__ == "__main__":
    main()
