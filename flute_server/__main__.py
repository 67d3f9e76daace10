"""`python -m flute_server`: the gRPC server process."""

from __future__ import annotations

import logging
import sys

from flute_server.config import Config, ConfigError
from flute_server.rpc.server import serve


def main() -> None:
    """Serve; a wrong setting ends it with one sentence."""
    try:
        config = Config.from_env()
        logging.basicConfig(level=config.log_level, format="%(levelname)s %(name)s: %(message)s")
        serve(config)
    except ConfigError as error:
        sys.exit(f"flute server: {error}")


if __name__ == "__main__":
    main()
