"""The gRPC service that owns environments and sending."""
