"""How gunicorn serves web: `gunicorn "web:create_app()"` from this folder. Settings: web/config.py.

Threads, not sync workers. Measured on two shared cores with 16 clients and a do-nothing gRPC server behind:
2 x 16 threads 1,380-1,660 answers/s, 2 x 8 threads 1,460-1,650, 2 sync workers 1,480-1,730, 4 sync workers
1,280-1,580: no difference beyond the noise. What decides is that threads keep connections open, which saves
each client a handshake a mail, and that a sync worker waiting for a slow client serves
nobody else; see web/patience.py for the threads. A process takes 45 MB.
"""

import logging
import os
import secrets

from web.config import WebConfig

# Made here, before the processes fork, so that all know the same. It is gone when they end, and people have
# to log in again; `flute up` keeps one, and several machines need to be given one.
os.environ["FLUTE_WEB_SECRET"] = os.environ.get("FLUTE_WEB_SECRET", "").strip() or secrets.token_urlsafe(48)

_config = WebConfig.from_env()

bind = [_config.bind]
workers = _config.workers
worker_class = "web.worker.Worker"
threads = _config.threads
worker_connections = 2_000

# A worker that stops finishes what it has begun; the longest is an upload and a call behind it.
graceful_timeout = 30
timeout = 60
keepalive = 75

# The largest legitimate header is an Authorization header of a few hundred bytes.
limit_request_line = 4_094
limit_request_fields = 64
limit_request_field_size = 8_190

# Without query strings and the Referer: people put keys there, although we refuse them.
accesslog = "-" if _config.access_log else None
access_log_format = '%(h)s "%(m)s %(U)s" %(s)s %(B)s %(M)sms request=%({x-request-id}o)s'
loglevel = _config.log_level.lower()

# A control socket in the home folder is one more thing that two instances would fight over.
control_socket_disable = True

logging.basicConfig(level=_config.log_level, format="%(asctime)s %(levelname)s %(name)s %(message)s")
