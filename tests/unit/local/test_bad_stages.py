"""Whatever a stage does wrong fails that stage with words: it never leaves a session stuck or a history unreadable."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from stageflow_es import BaseStage, Session, SessionFailed, register_stage
from stageflow_es.session import events as ev

from .stages import end, pipeline, stage

HALF = "\ud800"
"""Half a character: no UTF-8 has it."""


class Odd(BaseException):
    """Not even an Exception."""


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("it cannot be said")


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def fail_with(error: BaseException) -> None:
    raise error


DEEDS: dict[str, tuple[Callable[[BaseStage], Any], str]] = {
    "an output of half a character": (lambda s: s.set_outputs({"v": HALF}), "is not JSON"),
    "an output nested too deep": (lambda s: s.set_outputs({"v": nested(900)}), "nested more than 128 levels"),
    "an output nested deeper than recursion goes": (lambda s: s.set_outputs({"v": nested(200_000)}), "is not JSON"),
    "a number of thousands of digits": (lambda s: s.set_outputs({"v": 10**5000}), "is not JSON"),
    "outputs that are no object": (lambda s: s.set_outputs([1]), "has no attribute 'items'"),  # type: ignore[arg-type]
    "an error that says half a character": (lambda s: fail_with(ValueError(f"bad {HALF}")), r"bad \\ud800"),
    "an error that closes coroutines": (lambda s: fail_with(GeneratorExit("closed")), "closed"),
    "an error that says it was cancelled": (lambda s: fail_with(asyncio.CancelledError()), "was cancelled from inside"),
    "an error that cannot say what it is": (lambda s: fail_with(Mute()), "the error has no text"),
    "an error that is no Exception": (lambda s: fail_with(Odd("odd")), "odd"),
    "an event without a text for its name": (lambda s: s.emit(5), "cannot emit 5"),  # type: ignore[arg-type]
    "an event named half a character": (lambda s: s.emit(HALF), "is no text"),
    "an event whose payload is no JSON": (lambda s: s.emit("x", [HALF]), "is not JSON"),
    "a step without a text for its name": (lambda s: s.step(5, int), "cannot step 5"),  # type: ignore[arg-type]
    "a step named half a character": (lambda s: s.step(HALF, int), "is no text"),
    "a wait for no type": (lambda s: s.wait_input(None), "cannot wait None"),  # type: ignore[arg-type]
    "a wait for half a character": (lambda s: s.wait_input(HALF), "is no text"),
    "a wait that is not a number long": (lambda s: s.wait_input("x", float("nan")), "must be a number of seconds"),
    "a wait a text long": (lambda s: s.wait_input("x", "5"), "must be a number of seconds"),  # type: ignore[arg-type]
    "a sleep that is not a number long": (lambda s: s.sleep(float("nan")), "must be a number of seconds"),
    "a sleep a list long": (lambda s: s.sleep([1]), "must be a number of seconds"),  # type: ignore[arg-type]
    "a context path that is no text": (lambda s: s.session.context.set(5, 1), "5 is no context path"),
    "a context path of half a character": (lambda s: s.session.context.set(HALF, 1), "is no context path"),
    "an event inside a step": (lambda s: s.step("a", lambda: s.emit("x")), "cannot emit 'x' inside its step 'a'"),
    "a step inside a step": (lambda s: s.step("a", lambda: s.step("b", int)), "cannot step 'b' inside its step 'a'"),
    "a wait inside a step": (lambda s: s.step("a", lambda: s.wait_input("x")), "cannot wait 'x' inside its step 'a'"),
    "a sleep inside a step": (lambda s: s.step("a", lambda: s.sleep(1)), "cannot sleep inside its step 'a'"),
    "an output inside a step": (lambda s: s.step("a", lambda: s.set_outputs({"v": 1})), "cannot set 'v' inside its"),
    "the context inside a step": (lambda s: s.step("a", lambda: s.session.context.set("v", 1)), "cannot set 'v' in"),
    "a call of a task begun in a step": (lambda s: s.step("a", lambda: asyncio.gather(s.sleep(1))), "cannot sleep in"),
    "a context path of many parts": (lambda s: s.session.context.set(".".join("a" * 99), 1), "32 is the most"),
}


@register_stage("DoesBadly")
class DoesBadly(BaseStage):
    async def run(self) -> None:
        done = DEEDS[self.config["deed"]][0](self)
        if asyncio.iscoroutine(done):
            await done


@register_stage("DoesBadlyInThread")
class DoesBadlyInThread(DoesBadly):
    blocking = True


@pytest.mark.parametrize("name", ["DoesBadly", "DoesBadlyInThread"])
@pytest.mark.parametrize("deed", DEEDS)
async def test_a_stage_that_does_badly_fails_and_says_why(deed: str, name: str) -> None:
    node = stage("bad", name, config={"deed": deed}, outputs={"v": "v"})
    session = Session("s", pipeline(node, end()))
    with pytest.raises(SessionFailed, match=DEEDS[deed][1]) as failure:
        await asyncio.wait_for(session.run(), 20)
    assert failure.value.error is not None
    assert failure.value.error.node == "bad"
    assert [type(ev.decode(data)) for data in session.events] == [ev.SessionStarted, ev.StageFailed, ev.SessionFailed]


SECONDS = {"long": 1e300, "endless": float("inf"), "huge": 10**300, "none": 0, "less": -5, "least": -float("inf")}


@register_stage("InterruptsInThread")
class InterruptsInThread(BaseStage):
    blocking = True

    async def run(self) -> None:
        raise KeyboardInterrupt


async def test_a_thread_that_raises_a_keyboard_interrupt_ends_nothing_but_its_stage() -> None:
    with pytest.raises(SessionFailed, match="the stage raised KeyboardInterrupt"):
        await asyncio.wait_for(Session("s", pipeline(stage("a", "InterruptsInThread"), end())).run(), 20)


@register_stage("WaitsFor")
class WaitsFor(BaseStage):
    async def run(self) -> None:
        seconds = SECONDS[self.config["seconds"]]
        if self.config["sleeps"]:
            await self.sleep(seconds)
        else:
            await self.wait_input("x", timeout=seconds)


@register_stage("RunsAsAFunction")
class RunsAsAFunction(BaseStage):
    def run(self) -> None:  # type: ignore[override]
        self.set_outputs({"v": 1})


@register_stage("RunsAsAFunctionInThread")
class RunsAsAFunctionInThread(RunsAsAFunction):
    blocking = True


@register_stage("RunsAsAGenerator")
class RunsAsAGenerator(BaseStage):
    async def run(self) -> Any:
        yield 1


@register_stage("HandsItsRunOn")
class HandsItsRunOn(BaseStage):
    def run(self) -> Any:
        return self.work()

    async def work(self) -> None:
        self.set_outputs({"v": 1})


@pytest.mark.parametrize("name", ["RunsAsAFunction", "RunsAsAFunctionInThread", "RunsAsAGenerator"])
async def test_a_run_that_is_no_coroutine_is_told_how_to_be_one(name: str) -> None:
    session = Session("s", pipeline(stage("a", name, next="end"), end()))
    with pytest.raises(SessionFailed, match=f"StageError: run\\(\\) of stage '{name}' .*: write it as `async def run"):
        await session.run()


async def test_a_run_that_hands_on_to_a_coroutine_is_one() -> None:
    session = Session("s", pipeline(stage("a", "HandsItsRunOn", outputs={"v": "v"}, next="end"), end("v")))
    assert (await session.run()).artifacts == {"v": 1}


def waiting(seconds: str, *, sleeps: bool) -> Session:
    return Session("s", pipeline(stage("w", "WaitsFor", config={"seconds": seconds, "sleeps": sleeps}), end()))


@pytest.mark.parametrize("sleeps", [True, False])
@pytest.mark.parametrize("seconds", ["long", "endless", "huge"])
async def test_however_long_a_wait_is_its_end_is_a_date(seconds: str, sleeps: bool) -> None:
    session = waiting(seconds, sleeps=sleeps)
    running = asyncio.create_task(session.run())
    while len(session.events) < 2:
        assert not running.done()
        await asyncio.sleep(0)
    begun = ev.decode(session.events[1])
    assert isinstance(begun, (ev.TimerSet, ev.WaitingForInput))
    assert begun.due is not None
    assert begun.due > "2100"
    await session.stop()
    await running


@pytest.mark.parametrize("sleeps", [True, False])
@pytest.mark.parametrize("seconds", ["none", "less", "least"])
async def test_a_wait_of_no_length_is_over_at_once(seconds: str, sleeps: bool) -> None:
    result = await asyncio.wait_for(waiting(seconds, sleeps=sleeps).run(), 20)
    assert result.result == {"status": "ok"}
