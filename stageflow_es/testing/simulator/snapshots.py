"""Snapshots as a projection would have them: of now or of some time ago, and some that are not to be believed."""

from __future__ import annotations

from random import Random
from typing import Any

import msgspec

from stageflow_es.session import State, apply
from stageflow_es.session.snapshot import dump
from stageflow_es.testing.simulator.network import Line
from stageflow_es.testing.simulator.server import Server
from stageflow_es.testing.simulator.witness import Witness


class SimulatedSnapshots:
    """`Snapshots` of one server, over one process's line."""

    def __init__(self, line: Line, server: Server, witness: Witness) -> None:
        self._line = line
        self._server = server
        self._witness = witness

    async def get(self, session: str) -> bytes | None:
        return await self._line.ask(f"snapshot of {session}", lambda: self._image(session))

    async def _image(self, session: str) -> bytes | None:
        weather, random = self._line.weather, self._line.random
        history = await self._server.bus.events.read(session)
        if not history or weather.strikes("no_snapshot", 0.2):
            return None
        if weather.strikes("stale_snapshot", 0.4):
            history = history[: random.randint(1, len(history))]
        state = State(session, self._witness.states[session].pipeline)
        for stored in history:
            apply(state, stored.data, stored.seq)
        image = dump(state)
        return _spoiled(random, image, self._others(session)) if weather.strikes("lying_snapshot", 0.4) else image

    def _others(self, session: str) -> list[bytes]:
        return [dump(state) for name, state in self._witness.states.items() if name != session]


def _spoiled(random: Random, image: bytes, others: list[bytes]) -> bytes:
    """A snapshot that is torn, another's, or not what it says; what the log does not tell is as it was."""
    found: dict[str, Any] = msgspec.json.decode(image)
    match random.randrange(8):
        case 0:
            return image[: random.randrange(len(image))]
        case 1:
            return random.choice(others) if others else b""
        case 2 if others:
            stranger = msgspec.json.decode(random.choice(others))
            found = {**stranger, "session": found["session"], "digest": found["digest"]}
        case 3:
            found["version"] += 1
        case 4:
            found["head"] = found["head"][::-1]
        case 5:
            found["n"] += random.choice([-1, 1])
        case 6:
            found["seq"] += random.choice([-1, 1, 1000, -1000])
        case _:
            found["digest"] = found["digest"][::-1]
    return msgspec.json.encode(found)
