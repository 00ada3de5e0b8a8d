"""The network between the servers of a cluster: what one says to another goes through a proxy of ours, either way.

A server dials each other one at a port of its own here. What they tell each other of where they are leads nowhere, or
they would find ways that do not lead through here.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import permutations
from typing import Literal

from tests.faults.processes import free_port
from tests.faults.proxy import Proxy

NOWHERE = "127.0.0.1:1"
"""What servers tell each other of where they are."""

How = Literal["cut", "stall"]
"""Connections are broken and new ones refused, or nothing passes and connections stay open."""
Way = tuple[int, int]
"""From which server to which."""


class Network:
    """Between servers whose routes listen at `ports`."""

    def __init__(self, ports: list[int]) -> None:
        self._dialled = {way: free_port() for way in permutations(range(len(ports)), 2)}
        self._proxies = {way: Proxy(ports[way[1]], plain=True) for way in self._dialled}
        self._barred: dict[Way, list[How]] = {way: [] for way in self._dialled}
        self._open = False

    def routes(self, server: int) -> list[int]:
        """Where a server dials the others."""
        return [port for (here, _), port in self._dialled.items() if here == server]

    async def open(self) -> None:
        """Let connections be made; once is enough."""
        if not self._open:
            self._open = True
            for way, proxy in self._proxies.items():
                await proxy.start(self._dialled[way])

    async def close(self) -> None:
        for proxy in self._proxies.values():
            await proxy.close()

    def bar(self, ways: Iterable[Way], how: How) -> None:
        """Let nothing pass on these ways, until they are cleared as often as they were barred."""
        for way in ways:
            self._barred[way].append(how)
        self._apply()

    def clear(self, ways: Iterable[Way], how: How) -> None:
        for way in ways:
            self._barred[way].remove(how)
        self._apply()

    def _apply(self) -> None:
        """A connection carries both ways, whoever dialled: cutting one way cuts the other too, stalling does not."""
        for (here, there), proxy in self._proxies.items():
            out, back = self._barred[here, there], self._barred[there, here]
            proxy.stall(up="stall" in out, down="stall" in back)
            refusing = "cut" in out or "cut" in back
            if refusing and not proxy.refusing:
                proxy.cut()
            proxy.refusing = refusing


def ways_cut(kind: str, one: int, other: int, count: int) -> tuple[list[Way], How]:
    """What is barred by a parting of server `one` of so many from all others, or in some from an `other`."""
    rest = [server for server in range(count) if server != one]
    out, back = [(one, server) for server in rest], [(server, one) for server in rest]
    match kind:
        case "cut off" | "cut off with an engine":
            return out + back, "cut"
        case "silence":
            return out + back, "stall"
        case "not heard":
            return out, "stall"
        case "hears nothing":
            return back, "stall"
        case "cut from one":
            return [(one, other), (other, one)], "cut"
        case _:
            return [(one, other), (other, one)], "stall"


PARTINGS = {
    "cut off": 1.0,
    "cut off with an engine": 1.0,
    "silence": 1.0,
    "not heard": 1.0,
    "hears nothing": 1.0,
    "cut from one": 0.5,
    "silence to one": 0.5,
}
"""How servers are parted, and how often beside other faults."""
