"""Stages that block run in threads of their own, which neither hold each other up nor outlive their runs."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any, ClassVar

from stageflow_es import BaseStage, Context, Event, Pipeline, Session, register_stage

from .stages import end, pipeline, stage, until_waiting

MANY = 40
"""More than the threads of any pool that one would share."""


@register_stage("ThreadAsks")
class ThreadAsks(BaseStage):
    blocking = True
    threads: ClassVar[dict[str, threading.Thread]] = {}

    async def run(self) -> None:
        self.threads[self.session.id] = threading.current_thread()
        answer = await self.wait_input("go")
        assert answer is not None
        self.set_outputs({"answer": answer["payload"]})


@register_stage("ThreadSleepsInside")
class ThreadSleepsInside(BaseStage):
    blocking = True
    timeout = 0.05
    seen: ClassVar[list[threading.Thread]] = []

    async def run(self) -> None:
        self.seen.append(threading.current_thread())
        await asyncio.Event().wait()


@register_stage("ThreadBlocksOn")
class ThreadBlocksOn(BaseStage):
    blocking = True
    timeout = 0.02
    release: ClassVar[threading.Event] = threading.Event()
    after: ClassVar[list[str]] = []
    threads: ClassVar[list[threading.Thread]] = []

    async def run(self) -> None:
        self.threads.append(threading.current_thread())
        self.release.wait()
        try:
            self.emit("late")
        except asyncio.CancelledError:
            self.after.append("cancelled")
            raise
        self.after.append("emitted")


@register_stage("ThreadBlocksAtFirst")
class ThreadBlocksAtFirst(BaseStage):
    """Its first attempt blocks until the second lets it go on, and waits for its end."""

    blocking = True
    timeout = 0.1
    retries = 1
    release: ClassVar[threading.Event] = threading.Event()
    first: ClassVar[list[threading.Thread]] = []

    async def run(self) -> None:
        if self.attempt == 1:
            self.first.append(threading.current_thread())
            self.release.wait()
            self.set_outputs({"late": True})
            self.emit("late")
        else:
            self.release.set()
            await gone(self.first[-1])
            self.set_outputs({"value": 2})


@register_stage("ThreadUsesSession")
class ThreadUsesSession(BaseStage):
    blocking = True

    async def run(self) -> None:
        session = self.session
        here = threading.current_thread()
        session.context.set("set.there", 5)
        read = [session.context.get("a"), session.context.get("set.there"), session.context.payload["a"]]
        stepped = await self.step("thread", lambda: threading.current_thread() is here)
        session.emit(Event(type="said", session_id=session.id, payload={"n": 1}))
        await self.sleep(0.001)
        answer = await session.wait_input("go")
        seen = {
            "read": read,
            "stepped": stepped,
            "answer": answer,
            "entry": session.pipeline.entry,
            "last": session.last_input(),
            "history": list(session.input_history),
            "key": self.idempotency_key,
            "attempt": self.attempt,
            "arguments": self.get_arguments(),
        }
        self.set_outputs({"seen": seen})


@register_stage("ThreadWaitsBesides")
class ThreadWaitsBesides(BaseStage):
    """Waits in one task and works in another: its timeout runs on."""

    blocking = True
    timeout = 0.05

    async def run(self) -> None:
        await asyncio.gather(self.wait_input("go"), asyncio.Event().wait())


def asking() -> Pipeline:
    return pipeline(stage("ask", "ThreadAsks", outputs={"answer": "a"}), end("a"))


async def gone(thread: threading.Thread) -> None:
    async with asyncio.timeout(10):
        while thread.is_alive():
            await asyncio.sleep(0.001)


async def test_any_number_of_blocking_stages_wait_at_once() -> None:
    sessions = [Session(f"many{i}", asking()) for i in range(MANY)]
    running = [asyncio.create_task(session.run()) for session in sessions]
    async with asyncio.timeout(20):
        for session in sessions:
            await until_waiting(session)
        for number, session in enumerate(sessions):
            await session.input("go", number)
        results = await asyncio.gather(*running)
    assert [result.artifacts["a"] for result in results] == list(range(MANY))


async def test_the_thread_of_a_stopped_session_ends() -> None:
    session = Session("stopped", asking())
    running = asyncio.create_task(session.run())
    await until_waiting(session)
    await session.stop()
    await running
    await gone(ThreadAsks.threads["stopped"])


async def test_what_a_thread_awaits_is_cancelled_when_its_stage_times_out() -> None:
    session = Session("s", pipeline(stage("t", "ThreadSleepsInside", fallback="end"), end()))
    assert "stage_timeout" in [event.type for event in (await session.run()).history]
    await gone(ThreadSleepsInside.seen[-1])


async def test_a_thread_that_cannot_be_interrupted_is_left_behind_and_its_next_call_raises() -> None:
    session = Session("s", pipeline(stage("t", "ThreadBlocksOn", fallback="end"), end()))
    result = await session.run()
    ThreadBlocksOn.release.set()
    await gone(ThreadBlocksOn.threads[-1])
    assert ThreadBlocksOn.after == ["cancelled"]
    assert "late" not in [event.type for event in result.history]


async def test_what_a_thread_left_behind_does_is_not_taken_for_the_next_attempts() -> None:
    outputs = {"late": "late", "value": "value"}
    session = Session("s", pipeline(stage("t", "ThreadBlocksAtFirst", outputs=outputs), end("late", "value")))
    result = await session.run()
    assert result.artifacts == {"late": None, "value": 2}
    assert "late" not in [event.type for event in result.history]


async def test_every_call_can_be_made_from_a_thread() -> None:
    node = stage("use", "ThreadUsesSession", arguments={"x": "a"}, outputs={"seen": "seen"})
    session = Session("s", pipeline(node, end("seen", "set.there")), Context(payload={"a": 1}))
    running = asyncio.create_task(session.run())
    await until_waiting(session)
    await session.input("go", {"v": 2})
    result = await running
    entry: dict[str, Any] = {"type": "go", "payload": {"v": 2}}
    assert result.artifacts["set.there"] == 5
    assert result.artifacts["seen"] == {
        "read": [1, 5, 1],
        "stepped": True,
        "answer": entry,
        "entry": "use",
        "last": entry,
        "history": [entry],
        "key": "s::use:1",
        "attempt": 1,
        "arguments": {"x": 1},
    }
    assert [event.payload for event in result.history if event.type == "said"] == [{"n": 1}]


async def test_a_thread_that_waits_beside_other_work_counts_as_running() -> None:
    session = Session("s", pipeline(stage("t", "ThreadWaitsBesides", fallback="end"), end()))
    started = time.monotonic()
    history = [event.type for event in (await asyncio.wait_for(session.run(), 20)).history]
    assert "stage_timeout" in history
    assert time.monotonic() - started < 10
