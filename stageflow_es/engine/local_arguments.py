"""What a session in this process is given, checked at once: whoever gave it learns in one line what is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stageflow_es.engine.stage_view import plain
from stageflow_es.errors import CommandRejected, DefinitionError, Problem, StageError
from stageflow_es.pipeline import Pipeline as CompiledPipeline
from stageflow_es.pipeline import StageNode
from stageflow_es.pipeline.values import is_text
from stageflow_es.session.wire import INPUT_TYPE
from stageflow_es.stageflow import Pipeline
from stageflow_es.stages import Context, get_stages


def check_kinds(id: str, pipeline: Pipeline | CompiledPipeline, context: Context | None) -> None:
    """Raise for what would come out as something else once the session runs."""
    if not is_name(id):
        raise ValueError(f"a session's id is a text that is not empty, not {id!a:.80}")
    if not isinstance(pipeline, Pipeline | CompiledPipeline):
        raise TypeError(f"a session runs a pipeline, such as Pipeline.from_dict gives, and not {pipeline!r:.80}")
    if not isinstance(context, Context | None):
        raise TypeError(f"a session's context is a Context, such as Context(payload={{...}}), not {context!r:.80}")


def check_handler(handler: object) -> None:
    """Raise TypeError for what cannot be called."""
    if not (handler is None or callable(handler)):
        raise TypeError(f"an event handler is called with every event, and {handler!r:.80} cannot be called")


def is_name(given: Any) -> bool:
    """Whether it is a text that is not empty; enumerations may have texts as their members."""
    return isinstance(given, str) and bool(given) and is_text(given[:])


def check_type(type_: str) -> None:
    """Raise CommandRejected for what is no type of an input."""
    if not is_name(type_):
        raise CommandRejected([Problem(path="/type", message=INPUT_TYPE)])


def json_of(value: Any, what: str) -> Any:
    """A value as JSON has it, detached from the caller's. Raises CommandRejected when it is not JSON."""
    try:
        return plain(value, what)
    except StageError as problem:
        raise CommandRejected([Problem(path="/payload", message=str(problem))]) from None


def check_stages(pipeline: CompiledPipeline) -> None:
    """Raise DefinitionError for the stages of a pipeline that are not registered here: it may have been made without
    looking."""
    known = get_stages()
    unknown = [
        Problem(message=f"stage {node.stage!r} of node {node.id!r} is not registered")
        for each in _with_subpipelines(pipeline, {})
        for node in each.nodes.values()
        if isinstance(node, StageNode) and node.stage not in known
    ]
    if unknown:
        raise DefinitionError(unknown)


def _with_subpipelines(pipeline: CompiledPipeline, found: dict[int, CompiledPipeline]) -> Sequence[CompiledPipeline]:
    if id(pipeline) not in found:
        found[id(pipeline)] = pipeline
        for inner in pipeline.subpipelines.values():
            _with_subpipelines(inner, found)
    return list(found.values())
