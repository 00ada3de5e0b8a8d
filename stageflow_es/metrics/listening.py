"""Where metrics are served: on this machine only, unless somebody says otherwise."""

from __future__ import annotations

import msgspec

from stageflow_es.errors import OperatorError

LOOPBACK = "127.0.0.1"
PORT = 9464
DEFAULT = f"{LOOPBACK}:{PORT}"


class Listen(msgspec.Struct, frozen=True):
    """A host and a port; port 0: any free one."""

    host: str = LOOPBACK
    port: int = PORT

    @classmethod
    def parse(cls, text: str) -> Listen:
        """From `HOST:PORT`, `[IPV6]:PORT` or a port of this machine. Raises OperatorError."""
        host, colon, port = text.strip().rpartition(":")
        if not (port.isascii() and port.isdecimal() and int(port) < 2**16) or (colon and not host):
            raise OperatorError(
                f"{text!r} is not where metrics can be served: say HOST:PORT, or a port of {LOOPBACK}; 0.0.0.0 is for "
                "everybody who can reach this machine"
            )
        return cls(host.removeprefix("[").removesuffix("]") or LOOPBACK, int(port))

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}/metrics"
