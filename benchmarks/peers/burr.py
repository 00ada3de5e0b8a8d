"""Burr: a library; its state machine, persisted after every action into SQLite over one shared connection."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from burr.core import Application, ApplicationBuilder, State, action, default, when
from burr.integrations.persisters.b_aiosqlite import AsyncSQLitePersister

from benchmarks.peers.work import STEPS, Work, program


class Burr(Work):
    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._waiting: dict[str, Application[Any]] = {}

    async def open(self) -> None:
        self._persister = await AsyncSQLitePersister.from_values(db_path=str(self.directory / "burr.db"))
        await self._persister.initialize()

        @action(reads=["value"], writes=["value"])
        async def step(state: State) -> State:
            self.steps_done += 1
            return state.update(value=state["value"] + 1)

        @action(reads=[], writes=["answer"])
        async def answer(state: State, given: Any) -> State:
            return state.update(answer=given)

        @action(reads=[], writes=[])
        async def end(state: State) -> State:
            return state

        self._step, self._answer, self._end = step, answer, end

    async def close(self) -> None:
        await self._persister.connection.close()

    async def _chain(self, name: str) -> Application[Any]:
        return await (
            ApplicationBuilder()
            .with_actions(step=self._step, end=self._end)
            .with_transitions(("step", "end", when(value=STEPS)), ("step", "step", default))
            .initialize_from(
                self._persister, resume_at_next_action=True, default_state={"value": 0}, default_entrypoint="step"
            )
            .with_state_persister(self._persister)
            .with_identifiers(app_id=name, partition_key="bench")
            .abuild()
        )

    async def run(self, name: str) -> None:
        _, _, state = await (await self._chain(name)).arun(halt_after=["end"])
        assert state["value"] == STEPS

    async def ask(self, name: str) -> None:
        application = await (
            ApplicationBuilder()
            .with_actions(begin=self._end, answer=self._answer, end=self._end)
            .with_transitions(("begin", "answer"), ("answer", "end"))
            .initialize_from(self._persister, resume_at_next_action=True, default_state={}, default_entrypoint="begin")
            .with_state_persister(self._persister)
            .with_identifiers(app_id=name, partition_key="bench")
            .abuild()
        )
        await application.arun(halt_before=["answer"])
        self._waiting[name] = application

    async def answer(self, name: str) -> None:
        await self._waiting.pop(name).arun(halt_after=["end"], inputs={"given": {"approved": True}})

    async def recover(self, names: list[str]) -> None:
        for name in names:
            stored = await self._persister.load("bench", name)
            if stored is None or stored["position"] != "end":
                await self.run(name)


if __name__ == "__main__":
    program(Burr)
