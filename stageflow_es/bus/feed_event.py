"""What a feed of all sessions' events delivers, on either bus."""

from __future__ import annotations

import msgspec


class FeedEvent(msgspec.Struct, frozen=True, gc=False):
    """One committed event of some session. `seq` is the stream's sequence, not the session's n."""

    seq: int
    session: str
    data: bytes
