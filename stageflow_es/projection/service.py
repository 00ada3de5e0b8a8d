"""The query endpoints: a subject's last part, the bytes that came, the bytes to answer.

Whatever happens becomes an `Answer`: faults of the asker with their problems, ours without their insides.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

import msgspec

from stageflow_es.engine.ports import BusError
from stageflow_es.errors import OperatorError, Problem
from stageflow_es.log import logger
from stageflow_es.pipeline import Catalog
from stageflow_es.projection.database import Unavailable
from stageflow_es.projection.health import Health
from stageflow_es.projection.queries import Queries, QueryProblem
from stageflow_es.projection.reader import Filter
from stageflow_es.session import questions as ask

log = logger(__name__)

LARGEST = 64 * 1024
"""Bytes of a question."""

T = TypeVar("T", bound=ask.Question)


class Answer(msgspec.Struct, frozen=True):
    """An answer's JSON body. `code` is 0, or as in HTTP when the body is a list of problems; `reason` says the first
    of them."""

    body: bytes
    code: int = 0
    reason: str = ""


Handler = Callable[[bytes], Awaitable[Answer]]
Question = Callable[[bytes], Awaitable[bytes]]


def endpoints(queries: Queries, health: Health, stages: Catalog) -> Mapping[str, Handler]:
    """Handlers by the subject's part after `<prefix>.query.`; `stages` is what `stages` lists."""
    handlers = _Endpoints(queries, health, stages)
    questions: dict[str, Question] = {
        "session.get": handlers.get,
        "session.list": handlers.list,
        "session.count": handlers.count,
        "session.history": handlers.history,
        "session.state": handlers.state,
        "session.snapshot": handlers.snapshot,
        "pipeline.get": handlers.pipeline,
        "pipeline.list": handlers.pipelines,
        "stages": handlers.stages,
        "health": handlers.health,
    }
    return {name: _answering(name, question) for name, question in questions.items()}


class _Endpoints:
    def __init__(self, queries: Queries, health: Health, stages: Catalog) -> None:
        self._queries = queries
        self._health = health
        self._stages = stages

    async def get(self, body: bytes) -> bytes:
        return await self._queries.get(_asked(body, ask.OneSession).session)

    async def list(self, body: bytes) -> bytes:
        wanted = _asked(body, ask.ListSessions)
        name, _, value = (wanted.label or "").partition("=")
        label = (name, value) if wanted.label is not None else None
        pipeline, _, digest = (wanted.pipeline or "").partition("@")
        filter_ = Filter(status=wanted.status, pipeline=pipeline or None, digest=digest or None, label=label)
        return await self._queries.list(filter_, wanted.limit, wanted.cursor)

    async def count(self, body: bytes) -> bytes:
        wanted = _asked(body, ask.CountSessions)
        return await self._queries.count(wanted.pipeline, wanted.limit)

    async def history(self, body: bytes) -> bytes:
        wanted = _asked(body, ask.ReadHistory)
        return await self._queries.history(wanted.session, wanted.start, wanted.limit)

    async def state(self, body: bytes) -> bytes:
        wanted = _asked(body, ask.ReadState)
        return await self._queries.state(wanted.session, wanted.at)

    async def snapshot(self, body: bytes) -> bytes:
        return await self._queries.snapshot(_asked(body, ask.OneSession).session)

    async def pipeline(self, body: bytes) -> bytes:
        return await self._queries.pipeline(_asked(body, ask.OnePipeline).pipeline)

    async def pipelines(self, body: bytes) -> bytes:
        _asked(body, ask.Nothing)
        return await self._queries.pipelines()

    async def stages(self, body: bytes) -> bytes:
        _asked(body, ask.Nothing)
        return msgspec.json.encode({"stages": [spec for _, spec in sorted(self._stages.items())]})

    async def health(self, body: bytes) -> bytes:
        _asked(body, ask.Nothing)
        return msgspec.json.encode(await self._health.report())


def _asked(body: bytes, type: type[T]) -> T:
    """A question from its body. Raises QueryProblem."""
    if len(body) > LARGEST:
        raise QueryProblem(413, f"a question has at most {LARGEST:,} bytes, this one has {len(body):,}")
    question = ask.parse_question(body, type)
    if isinstance(question, list):
        raise QueryProblem(400, question[0].message, question[0].path)
    return question


def _answering(name: str, question: Question) -> Handler:
    async def answer(body: bytes) -> Answer:
        try:
            return Answer(await question(body))
        except QueryProblem as problem:
            return _refusal(problem.code, problem.problems)
        except (Unavailable, BusError, OperatorError) as problem:
            log.warning("query_not_answered", endpoint=name, problem=str(problem))
            return _refusal(503, [Problem(message="the projection cannot answer just now; its log says why")])
        except Exception:
            log.exception("query_failed", endpoint=name)
            return _refusal(500, [Problem(message="this could not be answered; the fault is ours")])

    return answer


def _refusal(code: int, problems: tuple[Problem, ...] | list[Problem]) -> Answer:
    return Answer(msgspec.json.encode(problems), code, problems[0].message)
