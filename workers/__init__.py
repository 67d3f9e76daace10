"""The RQ processes: the asynchronous arm of flute_server."""
