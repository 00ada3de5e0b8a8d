"""What an operator may choose about the bus. All has a default; a wrong value is an `OperatorError`."""

from __future__ import annotations

import re

import msgspec

from stageflow_es.errors import OperatorError

_PREFIX = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
_COUNTS = (
    "partitions",
    "replicas",
    "lease_ttl",
    "batch_messages",
    "batch_bytes",
    "page",
    "pull",
    "rejections_age",
)
_TIMES = ("request_timeout", "connect_timeout", "ready_timeout", "heartbeat")


class BusSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`partitions` is fixed when the streams are created; the rest may change between runs.

    Times are seconds, sizes bytes; a limit of -1 means none. Limits are applied when a stream is created.
    """

    prefix: str = "stageflow"
    partitions: int = 8
    replicas: int = 1

    request_timeout: float = 5.0
    """How long an answer is waited for; after that a write is `Unanswered`."""
    connect_timeout: float = 5.0
    ready_timeout: float = 30.0
    """How long a JetStream is waited for that cannot answer just now, such as that of a cluster which elects a leader,
    before the streams are created or checked."""
    lease_ttl: int = 4
    """The term of a lease and of an announcement, and so how long a dead engine keeps its partitions; the server
    counts whole seconds, one at least.
    """
    heartbeat: float = 1.0
    """How often the server says that a quiet reader's consumer is alive; three in a row missed: a new
    consumer.
    """

    plain_appends: int = 12
    """Up to so many events go out as plain publishes, more as one atomic batch."""
    batch_messages: int = 1000
    batch_bytes: int = 4 * 1024 * 1024
    page: int = 512
    """Events per read request."""
    pull: int = 512
    """Messages a reader asks for at a time, and so the most it holds."""

    commands_bytes: int = -1
    events_bytes: int = -1
    rejections_age: int = 7 * 24 * 3600

    def __post_init__(self) -> None:
        if not (isinstance(self.prefix, str) and _PREFIX.fullmatch(self.prefix)):
            raise OperatorError(f"the bus prefix {self.prefix!r} is not made of letters, digits, '_', '-' and dots")
        for name in _COUNTS:
            if getattr(self, name) < 1:
                raise OperatorError(f"the bus setting {name} must be at least 1, not {getattr(self, name)}")
        for name in _TIMES:
            if getattr(self, name) <= 0:
                raise OperatorError(f"the bus setting {name} must be above 0 seconds, not {getattr(self, name)}")
        if self.batch_messages > 1000:
            raise OperatorError("the bus setting batch_messages is at most 1000: the server takes no larger batch")
