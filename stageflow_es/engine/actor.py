"""One session at work: it takes commands in order, appends what the core decides, and keeps the stages running.

The state runs ahead of the log by what is being appended. Nothing outside is told before an append is durable; when
one is refused or unanswered the actor forgets its state, reads the log again, and decides the same commands anew.
"""

from __future__ import annotations

import asyncio
from collections import deque
from traceback import format_exc

from stageflow_es.engine.debts import Debts
from stageflow_es.engine.host import Host
from stageflow_es.engine.inbox import BusItem, FireItem, Item, ReportItem, refusing
from stageflow_es.engine.places import Turn
from stageflow_es.engine.ports import Refused, Unanswered, WrongSequence
from stageflow_es.engine.refusing import publish_rejection
from stageflow_es.engine.setbacks import Setbacks
from stageflow_es.engine.workers import Workers
from stageflow_es.errors import Problem
from stageflow_es.log import FRAMES, logger
from stageflow_es.session import Refused as NoSession
from stageflow_es.session import State, decide, seal
from stageflow_es.session import commands as cmd
from stageflow_es.session.decide import UNDECIDED, command_body
from stageflow_es.session.events import Event

log = logger(__name__)

STALE_PAUSE = 0.05
"""Seconds until a leader that has not the latest events yet is asked again."""


class Actor:
    """The actor of one session. `recovered`: its stages may have been running in an engine that died; `after_crash`:
    they may, if its first command turns out to be applied already; `unlisted`: no stage of it may begin before the
    checkpoint says so; `least`: the version it has at the least."""

    def __init__(
        self,
        session: str,
        host: Host,
        *,
        recovered: bool = False,
        after_crash: bool = False,
        unlisted: bool = False,
        least: int = 0,
    ) -> None:
        self.session = session
        self.host = host
        self.least = least
        self.appending = False
        self._recovered = recovered
        self._after_crash = after_crash
        self._unborn = not (recovered or after_crash or least)
        self.state: State | None = None
        self.queued = False
        self.turn: Turn | None = None
        self.placed = False
        self.unlisted = unlisted
        self.last_command = 0
        self.last_fire = 0
        self.workers = Workers(self)
        self._debts = Debts(self)
        self._inbox: deque[Item] = deque()
        self._setbacks: Setbacks | None = None
        self._posted = 0
        self._loaded_at = 0
        self._task: asyncio.Task[None] | None = None
        self._asleep: asyncio.Future[None] | None = None
        self._closed = False

    # --- from outside ---

    def post(self, item: Item) -> None:
        """Give the actor something to do, after all it was given before."""
        if self._closed:
            item.abandon()
            return
        self._posted += 1
        item.mark = self._posted
        self._inbox.append(item)
        if self._asleep is not None or self._task is None:  # whoever works looks again by itself
            self.poke()

    def poke(self) -> None:
        """Have the actor look what is outstanding."""
        if self._closed:
            return
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._work(), name=f"session {self.session}")
        elif self._asleep is not None and not self._asleep.done():
            self._asleep.set_result(None)

    def grant_place(self) -> None:
        self.queued, self.placed = False, True
        self.poke()

    def listed(self) -> None:
        """The checkpoint says that its stages may have begun."""
        self.unlisted = False
        self.poke()

    def close(self) -> None:
        """Drop everything at once: whatever was not durable is the log's to tell."""
        self._closed = True
        self.queued = self.unlisted = False
        if self._task is not None:
            self._task.cancel()
        self.workers.close()
        self._debts.close()
        for item in self._inbox:
            item.abandon()
        self._inbox.clear()
        self.host.busy(self, False)

    def let_go(self) -> None:
        """It rests, and nobody comes back to it: without cycles nothing waits for a collection."""
        self._closed = True
        self.workers.let_go()
        self._debts.let_go()
        self._setbacks = None

    @property
    def running(self) -> bool:
        """Whether stages of it may have begun, here or in an engine that died."""
        return self.placed or self._recovered or self.workers.suspecting

    @property
    def working(self) -> bool:
        """Whether something is being decided or appended right now."""
        return self._task is not None and self._asleep is None

    @property
    def idle(self) -> bool:
        """Whether nothing is left to do here, or nothing until the session's turn comes, and nothing in memory is
        needed."""
        workers = self.workers
        needed = workers.occupied or workers.owing or (self.queued and workers.suspecting)
        return not (self._inbox or needed or self._debts.local)

    # --- the work ---

    async def _work(self) -> None:
        """Do what is outstanding, sleep until poked, and end when there is nothing to be here for."""
        while True:
            try:
                await self._catch_up()
                if self._setbacks is not None:
                    self._setbacks.caught_up()
            except Exception:
                log.error("actor_crashed", session=self.session, error=format_exc(FRAMES))
                self.state = None
                await self._setback().fault()
                continue
            self.host.busy(self, self.workers.busy)
            if self.idle:
                self._task = None
                if self.queued:
                    self.host.wait_for_turn(self)
                else:
                    self.host.rest(self)
                return
            self._asleep = asyncio.get_running_loop().create_future()
            await self._asleep
            self._asleep = None

    def _setback(self) -> Setbacks:
        """The setbacks, which begin with this one."""
        if self._setbacks is None:
            self._setbacks = Setbacks(self, self._inbox)
        return self._setbacks

    async def _catch_up(self) -> None:
        """Do what is outstanding, one thing after the other, until there is nothing."""
        while True:
            if self.state is None:
                await self._load()
            state = self.state
            assert state is not None
            if self._debts.open(state) and await self._debts.pay(state):
                continue
            if self._inbox or state.stirring():
                running = not state.outcome
                data, dealt, due = self._decide(state)
                if data and not await self._append(state, data):
                    continue
                if running and state.outcome and self.state is state:
                    self.workers.reconcile(state)
                for _ in range(dealt):
                    self._settle(self._inbox.popleft())
                if self.state is None:
                    continue
                if not (data or dealt):
                    await self._look_closer(state, self._inbox[0])
                    continue
                if self._inbox or due or self._debts.open(state):
                    continue
            again = self.workers.reconcile(state)
            if self.queued and not self.workers.occupied and not self._debts.local:
                self.state = None
            if not (self._inbox or (again and self.state is not None)):
                return

    async def _load(self) -> None:
        """Read the state from the log. A start is first taken for that of a new session, without looking: if it is
        not, its append is refused."""
        head = self._inbox[0] if self._inbox else None
        if self._unborn and head is not None and isinstance(head.command, cmd.Start):
            self._unborn = False
            self.state = State(self.session)
            return
        mark = self._posted
        state = await self.host.load(self.session, self.least)
        self._loaded_at = mark
        self._debts.loaded(state)
        self.least = max(self.least, state.n)
        if isinstance(head, BusItem) and self._after_crash:
            self._recovered = self._recovered or head.bus_command.seq <= state.last_command
        if self._recovered:
            self.workers.suspect(state)
        self._recovered = self._after_crash = False
        self._drop_overtaken(state)
        self.state = state

    def _drop_overtaken(self, state: State) -> None:
        """Forget the runs, and what they reported, that another engine has taken further."""
        late = [item for item in self._inbox if isinstance(item, ReportItem) and item.overtaken(state)]
        for item in late:
            self._inbox.remove(item)
            item.abandon()
        self.workers.drop_overtaken(state)

    def _decide(self, state: State) -> tuple[list[bytes], int, bool]:
        """Decide what is due and what the inbox holds, as far as one append takes it: the bytes of the new events,
        how many items are dealt with once those are durable, and whether something is due still. A command that led to
        an event is not dealt with by that where more may follow: a wait may refuse several kept inputs before it opens,
        and a refusal counts when its rejection is acknowledged. An outcome ends it: what runs is cancelled before a
        retry is decided, which would not know what was reported in between. After the bus refused events, one item at a
        time, to find out whose they are that cannot be stored. An error may leave the state half changed: what was
        decided before goes out, and the rest is decided with the state as the log has it."""
        data: list[bytes] = []
        dealt = 0
        ended = state.outcome != ""
        limit = self.host.settings.append_limit
        inbox = self._inbox
        due = state.stirring()
        while due or dealt < len(inbox):
            if state.refusal is not None and self._debts.owes_rejection(state):
                break
            item = inbox[dealt] if dealt < len(inbox) else None
            command = cmd.Advance(at=self.host.at(), by=self.host.name) if item is None else item.command
            sealed, number = len(data), state.n
            try:
                events = self._ask(state, item, command)
                for event in events or ():
                    data.append(seal(state, event))
            except Exception as problem:
                del data[sealed:]
                self.state, state.n, state.head = None, number, ""
                if not (data or dealt):
                    self._setback().undecidable(problem)
                break
            if events is None:
                break
            more = due or state.refusal is not None or type(command) is cmd.OpenWait
            due = state.stirring()
            if item is not None and not (events and more):
                dealt += 1
                if data and self._setbacks is not None and self._setbacks.careful:
                    break
            if len(data) >= limit or (state.outcome and not ended):
                break
        return data, dealt, due

    def _ask(self, state: State, item: Item | None, command: cmd.Command) -> list[Event] | None:
        """The next events; None when only a closer look can tell what the item means."""
        if state.n == 0 and isinstance(item, BusItem) and item.pipeline is not None:
            state.pipeline = item.pipeline
        try:
            answer = decide(state, command, self.host.catalog)
        except Exception:
            name = type(command).__name__
            log.error("decide_failed", session=self.session, command=name, error=format_exc(FRAMES))
            if not isinstance(item, BusItem) or isinstance(command, cmd.Refuse):
                raise
            problems = (Problem(message=UNDECIDED),)
            body = command_body(item.bus_command)
            item.command = refusing(item.bus_command, problems, body)
            return self._ask(state, item, item.command)
        if answer:
            return answer
        if not isinstance(answer, list):
            return None if item is not None else []
        if isinstance(item, FireItem) and item.fire.timer not in state.timers and not item.checked:
            return None
        return answer

    async def _append(self, state: State, data: list[bytes]) -> bool:
        """Store new events. On any doubt the state is dropped, to be read again."""
        self.appending = True
        try:
            state.seq = await self.host.events.append(self.session, data, state.seq)
        except WrongSequence:
            self.state = None
            return False
        except Unanswered as problem:
            self.state = None
            await self._setback().doubt(problem)
            return False
        except Refused as problem:
            self.state = None
            self._setback().refusal(problem)
            return False
        finally:
            self.appending = False
        self.least = state.n
        if self._setbacks is not None:
            self._setbacks.appended()
        return True

    def _settle(self, item: Item) -> None:
        if not isinstance(item, ReportItem):
            self._note(item)
        item.settle()

    def _note(self, item: Item) -> None:
        """Remember what was dealt with of the bus. Whoever is woken by more than its start waits for no place."""
        if isinstance(item, BusItem):
            self.last_command = max(self.last_command, item.bus_command.seq)
            self.placed = self.placed or not isinstance(item.bus_command, cmd.Start)
        elif isinstance(item, FireItem):
            self.last_fire = max(self.last_fire, item.fire.seq)
            self.placed = True
        self.queued = self.queued and not self.placed

    async def _look_closer(self, state: State, item: Item) -> None:
        """The item means nothing to the state in memory: only a leader read made after it was read may say so."""
        fresh = item.mark <= self._loaded_at
        if not fresh:
            self.state = None
            if isinstance(item, FireItem):
                self.least = max(self.least, item.fire.n)
            return
        if isinstance(item, FireItem) and state.n < item.fire.n:
            await asyncio.sleep(STALE_PAUSE)
            self.state = None
            self.least = max(self.least, item.fire.n)
            return
        if isinstance(item, FireItem):
            item.checked = True
            if state.n > 0:
                return
        elif isinstance(item, BusItem):
            await self._answer_stranger(item)
        self._inbox.popleft()
        self._settle(item)

    async def _answer_stranger(self, item: BusItem) -> None:
        """Reject a command to a session that does not exist: there is no history to record it in."""
        assert self.state is not None
        answer = decide(self.state, item.command, self.host.catalog)
        assert isinstance(answer, NoSession)
        command = item.bus_command
        await publish_rejection(self.host, self.session, command_body(command), command.seq, list(answer.problems))
