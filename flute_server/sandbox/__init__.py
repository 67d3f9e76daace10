"""Look-alikes of the providers that can be told to fail: for the demo, for drills and for tests.

    with flute_server.sandbox.start() as sandbox:
        sandbox.set_mode("sendgrid", "down")
        sandbox.base_url("postmark"), sandbox.credentials("postmark")
        sandbox.inbox(to="ada@example.com")

The sandbox reads the providers' documentation on its own; it shares no code with the provider clients.
"""

from flute_server.sandbox.client import Sandbox, SandboxError, start

__all__ = ["Sandbox", "SandboxError", "start"]
