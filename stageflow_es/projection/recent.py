"""The sessions that had events lately, in memory, so that their next events need no snapshot to begin from."""

from __future__ import annotations

from collections import OrderedDict

from stageflow_es.projection.folding import Live


class Recent:
    """Sessions by id, the least lately used ones forgotten when their snapshots come to more than `limit` bytes; an
    ended one is forgotten at once, for hardly anything follows."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._bytes = 0
        self._kept: OrderedDict[str, tuple[Live, int]] = OrderedDict()

    def take(self, session: str) -> Live | None:
        """The session, taken out; None: it is not here."""
        live, size = self._kept.pop(session, (None, 0))
        self._bytes -= size
        return live

    def put(self, live: Live) -> None:
        if live.state.ended:
            return
        size = len(live.image or b"")
        self._kept[live.state.session] = live, size
        self._bytes += size
        while self._bytes > self._limit and len(self._kept) > 1:
            _, (_, dropped) = self._kept.popitem(last=False)
            self._bytes -= dropped

    def clear(self) -> None:
        self._kept.clear()
        self._bytes = 0
