"""Everything that is wrong with a pipeline definition, at once, each with a JSON pointer to where it is.

    plain       what is no JSON, or too large
    document    shape: fields, types, empty lists, duplicate ids
    graph       references between nodes, reachability, joins, ends
    calls       references to subpipelines, what they leave behind, and subpipelines that contain themselves
    stage_use   stages and what they document, where a catalog is given
    rules       the JSON Logic of conditions

Every subpipeline is checked like the pipeline itself, used or not, at any depth. A definition without errors compiles
and can start; warnings are things that are probably not meant.
"""

from __future__ import annotations

from contextlib import suppress

from stageflow_es.errors import Problem
from stageflow_es.pipeline.calls import Calls
from stageflow_es.pipeline.document import MAX_NODES, Document, Walk
from stageflow_es.pipeline.graph import Search, check_graph
from stageflow_es.pipeline.plain import json_problems
from stageflow_es.pipeline.pointers import below
from stageflow_es.pipeline.report import Report, TooMany
from stageflow_es.pipeline.room import with_room
from stageflow_es.pipeline.rules import check_condition
from stageflow_es.pipeline.spec import Catalog
from stageflow_es.pipeline.stage_use import StageUse


def validate(data: object, stages: Catalog | None = None) -> list[Problem]:
    """All problems of a definition, errors first; none means it can run. Never raises, whatever `data` is.

    `stages` are the stages it may use; None leaves out the checks that need them.
    """
    return with_room(_problems, data, stages)


def _problems(data: object, stages: Catalog | None) -> list[Problem]:
    report = Report()
    with suppress(TooMany):
        _look_at(data, stages, report)
    return report.problems()


def _look_at(data: object, stages: Catalog | None, report: Report) -> None:
    report.extend(json_problems(data))
    if report.empty:
        walk = Walk(report)
        root = walk.read(data)
        if walk.nodes > MAX_NODES:
            report.error("/nodes", f"a pipeline may have {MAX_NODES:,} nodes at most, here are {walk.nodes:,}")
        elif root is not None:
            _check(walk.documents, stages, report)


def errors_of(data: object, stages: Catalog | None = None) -> list[Problem]:
    """The problems a definition cannot run with."""
    return [problem for problem in validate(data, stages) if problem.severity == "error"]


def _check(documents: list[Document], stages: Catalog | None, report: Report) -> None:
    calls, search = Calls(report), Search()
    use = StageUse(stages, report) if stages is not None else None
    for document in documents:
        check_graph(document, report, search)
        _check_rules(document, report)
        calls.check(document)
        if use is not None:
            use.check(document)


def _check_rules(document: Document, report: Report) -> None:
    for node in document.nodes:
        for index, condition in node.conditions():
            if "if" in condition:
                pointer = below(node.pointer, "conditions", index, "if")
                report.extend(check_condition(condition["if"], pointer, report.effort))
