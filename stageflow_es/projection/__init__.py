"""Snapshots of all sessions in SQLite, made from their events exactly once, and the queries over them.

feed         what is needed of a bus: all committed events in order, and pages of one session's
projector    follows the feed into the tables; `gathering` makes batches of it, `folding` is what a session's
             events change, `recent` keeps sessions in memory between batches
store        one transaction for a batch and the checkpoint; `upsert` puts many rows at once, `database` is SQLite
             in its thread
schema       the tables; `rows` makes a row of a state
rebuild      making all of it anew, beside what is in use
reader       what queries read from the tables; `counts` is how many sessions have which status
queries      the questions; `state_view` is a readable state, `health` whether the projection keeps up
service      endpoints by subject, for whatever serves them; the questions' bodies are `session.questions`
"""

from stageflow_es.projection.database import Damaged, Outdated, Unavailable
from stageflow_es.projection.health import Health, HealthReport
from stageflow_es.projection.projector import Projector
from stageflow_es.projection.queries import Queries, QueryProblem
from stageflow_es.projection.reader import Reader
from stageflow_es.projection.rebuild import rebuild
from stageflow_es.projection.service import Answer, endpoints
from stageflow_es.projection.store import Store

__all__ = [
    "Answer",
    "Damaged",
    "Health",
    "HealthReport",
    "Outdated",
    "Projector",
    "Queries",
    "QueryProblem",
    "Reader",
    "Store",
    "Unavailable",
    "endpoints",
    "rebuild",
]
