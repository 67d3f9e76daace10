"""The gRPC edge: one thin servicer a service."""
