"""One script for each session of the storm: what its clients send, and what must come of it.

Clients are of the careful kind: they send a command again, under its id, until the bus has acknowledged it, and some
send it once more a good while later for no reason at all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from stageflow_es.client import Client
from stageflow_es.engine.ports import CommandKind
from stageflow_es.errors import OperatorError
from stageflow_es.session import events as ev
from stageflow_es.session.wire import ControlBody, InputBody, StartBody
from tests.faults import pipelines as pl
from tests.faults.observer import Observer, outcome_of


class Sent(msgspec.Struct, frozen=True):
    """A command the bus acknowledged: whose it is, its id, and the sequence it got."""

    session: str
    kind: CommandKind
    id: str
    seq: int


class Clients:
    """Runs scripts over `clients`. `sent` is every acknowledgement; `expected` each session's outcome."""

    def __init__(self, clients: list[Client], observer: Observer, folder: Path) -> None:
        self._clients = clients
        self._observer = observer
        self._folder = folder
        self.sent: list[Sent] = []
        self.expected: dict[str, dict[str, Any] | str] = {}
        self.repeated = 0
        self.unanswered = 0
        self.interrupted = 0
        self._late: set[asyncio.Task[None]] = set()

    async def play(self, name: str, session: str, rng: Random) -> None:
        """Play the script `name` with a session of that id, to its end."""
        await SCRIPTS[name](Scene(self, session, rng))

    async def settle(self) -> None:
        """Wait until the last repeated command is sent."""
        while self._late:
            await asyncio.gather(*self._late)

    async def tell(self, rng: Random, kind: CommandKind, session: str, body: msgspec.Struct, id: str) -> None:
        """Send a command until the bus has acknowledged it."""
        await self._until_acknowledged(rng.choice(self._clients), kind, session, body, id)
        if rng.random() < 0.25:
            self.repeated += 1
            late = self._again(rng.random() * 2, rng.choice(self._clients), kind, session, body, id)
            task = asyncio.get_running_loop().create_task(late)
            self._late.add(task)
            task.add_done_callback(self._late.discard)

    async def _again(
        self, after: float, client: Client, kind: CommandKind, session: str, body: msgspec.Struct, id: str
    ) -> None:
        await asyncio.sleep(after)
        await self._until_acknowledged(client, kind, session, body, id)

    async def _until_acknowledged(
        self, client: Client, kind: CommandKind, session: str, body: msgspec.Struct, id: str
    ) -> None:
        while True:
            try:
                sent = await client.send(kind, session, body, id=id, wait=False)
            except OperatorError:
                self.unanswered += 1
                await asyncio.sleep(0.05)
            else:
                self.sent.append(Sent(session, kind, id, sent.seq))
                return

    async def outcome(self, rng: Random, session: str, *, healing: bool = False) -> None:
        """Wait for the end, and have a session go on that failed because its stage was interrupted too often, or, with
        `healing`, because it was sick."""
        number = 0
        while True:
            last = await self._observer.ended(session)
            if not isinstance(last, ev.SessionFailed):
                return
            number += 1
            if last.error.type == "StageInterrupted":
                self.interrupted += 1
            elif not (healing and last.error.type == "RuntimeError"):
                return
            if healing:
                (self._folder / f"healed-{session}").touch()
            n = last.n
            await self.tell(rng, "control", session, ControlBody(action="retry"), f"{session}-retry-{n}")
            await self._observer.until(
                session, lambda history, n=n: any(e.n > n and not isinstance(e, ev.CommandRejected) for e in history)
            )


class Scene:
    """One session on its way through a script."""

    def __init__(self, clients: Clients, session: str, rng: Random) -> None:
        self._clients = clients
        self._observer = clients._observer
        self.session = session
        self.rng = rng

    async def start(self, pipeline: dict[str, Any], expected: dict[str, Any] | str, **payload: Any) -> None:
        """`expected`: the artifacts, or `stopped`."""
        self._clients.expected[self.session] = expected
        body = StartBody(pipeline=pipeline, payload=payload, labels={"script": "storm"})
        await self._clients.tell(self.rng, "start", self.session, body, f"{self.session}-start")

    async def control(self, action: Any) -> None:
        body = ControlBody(action=action)
        await self._clients.tell(self.rng, "control", self.session, body, f"{self.session}-{action}")

    async def answer(self, number: int) -> None:
        body = InputBody(type="answer", payload=number)
        await self._clients.tell(self.rng, "input", self.session, body, f"{self.session}-answer-{number}")

    async def happened(self, kind: type[ev.Event], count: int = 1) -> None:
        """Wait until there are so many events of a kind, or the session has ended."""
        await self._observer.until(
            self.session,
            lambda history: (
                sum(isinstance(event, kind) for event in history) >= count or outcome_of(history) is not None
            ),
        )

    async def end(self, *, healing: bool = False) -> None:
        await self._clients.outcome(self.rng, self.session, healing=healing)


async def chain(scene: Scene) -> None:
    kinds = [scene.rng.choice(["Quick", "Slow", "Steps", "Blocking"]) for _ in range(scene.rng.randint(3, 10))]
    await scene.start(pl.chain(*kinds), {"value": len(kinds)})
    await scene.end()


async def fan(scene: Scene) -> None:
    await scene.start(pl.FAN, pl.FANNED)
    await scene.end()


async def race(scene: Scene) -> None:
    await scene.start(pl.RACE, pl.RACED)
    await scene.end()


async def each(scene: Scene) -> None:
    items = list(range(scene.rng.randint(0, 6)))
    await scene.start(pl.EACH, {"grown": [item + 3 for item in items]}, items=items)
    await scene.end()


async def nested(scene: Scene) -> None:
    await scene.start(pl.NESTED, {"value": 9})
    await scene.end()


async def flaky(scene: Scene) -> None:
    await scene.start(pl.chain("Flaky", "Quick"), {"value": 2})
    await scene.end()


async def nap(scene: Scene) -> None:
    seconds = scene.rng.choice([0.2, 0.8, 1.5, 2.5])
    await scene.start(pl.chain("Nap", "Quick", seconds=seconds), {"value": 2})
    await scene.end()


async def ask(scene: Scene) -> None:
    """Answers one after another, some of them before they are waited for."""
    numbers = list(range(scene.rng.randint(1, 4)))
    await scene.start(pl.asking(len(numbers)), {"answers": numbers})
    for number in numbers:
        if scene.rng.random() < 0.5:
            await scene.happened(ev.WaitingForInput, number + 1)
        await scene.answer(number)
    await scene.end()


async def impatient(scene: Scene) -> None:
    """Nobody answers; the wait runs out, once."""
    await scene.start(pl.asking(1, "Impatient"), {"answers": [None]})
    await scene.end()


async def pause(scene: Scene) -> None:
    await scene.start(pl.chain(*["Slow"] * 6), {"value": 6})
    await scene.happened(ev.StageCompleted, scene.rng.randint(1, 3))
    await scene.control("pause")
    await asyncio.sleep(scene.rng.random() / 2)
    await scene.control("resume")
    await scene.end()


async def stop(scene: Scene) -> None:
    await scene.start(pl.asking(1), "stopped")
    if scene.rng.random() < 0.7:
        await scene.happened(ev.WaitingForInput)
    await scene.control("stop")
    await scene.end()


async def skip(scene: Scene) -> None:
    await scene.start(pl.asking(1), {"answers": None})
    await scene.happened(ev.WaitingForInput)
    await scene.control("skip")
    await scene.end()


async def retry(scene: Scene) -> None:
    """Fails until it is healed, and retried."""
    await scene.start(pl.chain("Slow", "Sickly", "Steps"), {"value": 3})
    await scene.end(healing=True)


SCRIPTS: dict[str, Callable[[Scene], Awaitable[None]]] = {
    script.__name__: script
    for script in (chain, fan, race, each, nested, flaky, nap, ask, impatient, pause, stop, skip, retry)
}
