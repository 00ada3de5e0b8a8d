"""Asking the query service: NATS requests, JSON in and out, and an error in micro's own headers."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from stageflow_es.bus.jetstream.link import Absent, Denied, Link
from stageflow_es.bus.jetstream.subjects import Names
from stageflow_es.engine.ports import Unanswered
from stageflow_es.errors import OperatorError, Problem, StageFlowError, in_one_line
from stageflow_es.session.ids import is_session_id, not_an_id
from stageflow_es.session.questions import QUESTIONS, ReadHistory, problem_of

BAD, NOT_FOUND = 400, 404

T = TypeVar("T")


class NoQueries(OperatorError):
    """No query service answers."""


class QueryRefused(StageFlowError):
    """The query service refused a question: `code` as in HTTP, `problems` says why."""

    def __init__(self, code: int, problems: list[Problem]) -> None:
        self.code = code
        self.problems = tuple(problems)
        super().__init__(in_one_line(self.problems) or f"refused with code {code}")


def askable(session: str) -> str:
    """The session id itself. Raises QueryRefused when it is none: as a part of a subject, `*` would mean every session
    there is."""
    if not isinstance(session, str) or not is_session_id(session):
        raise QueryRefused(BAD, [Problem(path="/session", message=not_an_id(session))])
    return session


def numbered(n: int) -> int:
    """The number of an event itself. Raises QueryRefused when it can be none's."""
    return checked({"session": "-", "from": n}, ReadHistory).start


def checked(value: Any, type: type[T]) -> T:
    """A value as what it has to be. Raises QueryRefused."""
    try:
        return msgspec.convert(value, type)
    except msgspec.ValidationError as problem:
        raise QueryRefused(BAD, [problem_of(problem)]) from None
    except ValueError as problem:  # it could not even be shown
        raise QueryRefused(BAD, [Problem(message=f"this is no question: {problem}")]) from None


def question(name: str, **fields: Any) -> bytes:
    """The body that asks on `<prefix>.query.<name>`; fields that are None are left out. Raises QueryRefused for what
    the service would refuse whatever it has."""
    given = {key: value for key, value in fields.items() if value is not None}
    checked(given, QUESTIONS[name])
    try:
        return msgspec.json.encode(given)
    except UnicodeEncodeError as problem:
        raise QueryRefused(BAD, [Problem(message=f"the question is not JSON: {problem}")]) from None


class SessionInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One session as the projection has it. Times are RFC 3339, UTC."""

    session: str
    status: str
    pipeline: str | None = None
    digest: str = ""
    version: int = 0
    nodes: list[str] = []
    waiting_for: list[str] = []
    result: Any = None
    artifacts: dict[str, Any] | None = None
    error: Any = None
    labels: dict[str, str] = {}
    started_at: str | None = None
    updated_at: str | None = None
    finished_at: str | None = None


class SessionPage(msgspec.Struct, frozen=True, kw_only=True):
    """One page of a list; `cursor` asks for the next, None: this was the last."""

    sessions: list[SessionInfo]
    cursor: str | None = None


class PipelineCounts(msgspec.Struct, frozen=True, kw_only=True):
    """The sessions of one pipeline by status, those that have any. `pipeline` None: of all definitions without a
    name."""

    pipeline: str | None = None
    sessions: dict[str, int] = {}


class SessionCounts(msgspec.Struct, frozen=True, kw_only=True):
    """All sessions by status, and the pipelines that have most of them. `more`: pipelines that are not listed.
    `seq`: the stream sequence as of which that is so."""

    seq: int
    sessions: dict[str, int]
    pipelines: list[PipelineCounts]
    more: int = 0


class _History(msgspec.Struct, frozen=True, kw_only=True):
    events: list[msgspec.Raw]
    next: int | None = None


class Queries:
    """The service's questions. All raise NoQueries and QueryRefused."""

    def __init__(self, link: Link, names: Names) -> None:
        self._link = link
        self._prefix = names.prefix

    async def ask(self, name: str, **fields: Any) -> bytes:
        """The JSON answer to `<prefix>.query.<name>`; fields that are None are left out."""
        body = question(name, **fields)
        subject = f"{self._prefix}.query.{name}"
        try:
            answer = await self._link.request(subject, body)
        except Denied as problem:
            raise NoQueries(str(problem)) from problem
        except Unanswered as problem:
            raise NoQueries(self._silence(subject, problem)) from problem
        headers = answer.headers or {}
        if "Nats-Service-Error" in headers or "Nats-Service-Error-Code" in headers:
            code = headers.get("Nats-Service-Error-Code", "500")
            raise QueryRefused(int(code) if code.isdigit() else 500, _problems(answer.data, headers))
        return answer.data

    def _silence(self, subject: str, problem: Unanswered) -> str:
        if self._link.client.is_closed:
            return "the connection is closed"
        if isinstance(problem, Absent):
            where = f"none runs under the prefix {self._prefix!r} (`stageflow up` has one), or this user may not ask"
            return f"no query service answers on {subject}: {where}"
        return f"the query service has not answered on {subject}: {problem}"

    async def session(self, session: str) -> SessionInfo | None:
        """A session's row; None: there is none."""
        try:
            return msgspec.json.decode(await self.ask("session.get", session=askable(session)), type=SessionInfo)
        except QueryRefused as problem:
            if problem.code == NOT_FOUND:
                return None
            raise

    async def sessions(self, **wanted: Any) -> SessionPage:
        """One page of sessions: `status`, `pipeline`, `label`, `limit`, `cursor`."""
        return msgspec.json.decode(await self.ask("session.list", **wanted), type=SessionPage)

    async def counts(self, **wanted: Any) -> SessionCounts:
        """How many sessions have which status: `pipeline`, `limit`."""
        return msgspec.json.decode(await self.ask("session.count", **wanted), type=SessionCounts)

    async def history(self, session: str, start: int, limit: int) -> list[msgspec.Raw]:
        """Events from number `start` on, as they are stored."""
        answer = await self.ask("session.history", session=session, limit=limit, **{"from": start})
        return msgspec.json.decode(answer, type=_History).events


def _problems(data: bytes, headers: dict[str, str]) -> list[Problem]:
    try:
        return msgspec.json.decode(data, type=list[Problem])
    except msgspec.MsgspecError:
        return [Problem(message=headers.get("Nats-Service-Error", "refused"))]
