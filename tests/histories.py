"""What every test's sessions leave behind: the events that were stored, each history to be verified at the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from stageflow_es.engine.actor import Actor
from stageflow_es.engine.local_host import LocalHost
from stageflow_es.pipeline import Pipeline
from stageflow_es.session import State
from stageflow_es.session import commands as cmd
from stageflow_es.session.fold import hash_of
from stageflow_es.session.spelling import read
from stageflow_es.session.verify import Broken, verify
from stageflow_es.testing.scenario import Scenario


class Stored:
    """The events stored during one test, by the hash of the one before, and the pipelines by digest."""

    def __init__(self) -> None:
        self._first: list[bytes] = []
        self._after: dict[str, bytes] = {}
        self._pipelines: dict[str, Pipeline] = {}

    def note(self, state: State, events: Sequence[bytes]) -> None:
        self._pipelines[state.pipeline.digest] = state.pipeline
        for data in events:
            event = read(data)
            if event.n == 1:
                self._first.append(data)
            else:
                self._after[event.prev] = data

    def broken(self) -> list[Broken]:
        """What is wrong with the histories that began in this test."""
        found = []
        for first in self._first:
            history = [first]
            while following := self._after.get(hash_of(history[-1])):
                history.append(following)
            digest: Any = read(first)
            verdict = verify(self._pipelines[digest.digest], history)
            found += [] if not isinstance(verdict, Broken) else [verdict]
        return found


def collect(monkeypatch: pytest.MonkeyPatch) -> Stored:
    """Note what sessions of any kind store from now on."""
    stored = Stored()
    append, store, apply = Actor._append, LocalHost._store, Scenario.apply

    async def appending(actor: Actor, state: State, data: list[bytes]) -> bool:
        done = await append(actor, state, data)
        if done and not isinstance(actor.host, LocalHost):
            stored.note(state, data)
        return done

    def storing(host: LocalHost, events: Sequence[bytes]) -> None:
        stored.note(host.state, events)
        store(host, events)

    def applying(scenario: Scenario, command: cmd.AnyCommand) -> None:
        known = len(scenario.history)
        apply(scenario, command)
        stored.note(scenario.state, scenario.history[known:])

    monkeypatch.setattr(Actor, "_append", appending)
    monkeypatch.setattr(LocalHost, "_store", storing)
    monkeypatch.setattr(Scenario, "apply", applying)
    return stored
