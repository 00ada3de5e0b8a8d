"""StageFlow pipelines as durable, event-sourced sessions on NATS JetStream.

    errors       every error, by whose fault it is
    log          what is logged, through structlog; `release` is which one this is
    process      how a process treats the machine it runs on
    pipeline/    what may run: nodes, definitions, validation, rules                   (pure)
    session/     what happens: commands -> decide -> events -> evolve -> state         (pure)
    stages/      what users write: BaseStage, the registry, the built-in stages
    stageflow    StageFlow's own node objects and `Pipeline`, for pipelines written in Python
    audit        histories verified, exported and explained, with no server
    engine/      the shell that runs sessions: ports, actors, partitions; `local` is a session in this process
    bus/         the ports implemented: in memory, and on JetStream
    projection/  snapshots in SQLite and the queries over them
    client/      starting, following and steering sessions over NATS
    doctor/      what the connected server really promises, and whether its engines keep up
    metrics/     what a Prometheus collects, read over the bus
    cli/         the `stageflow` command
    docs/        documentation made from the code: a page of stages, pipelines drawn, schemas
    testing/     given/when/then, pipeline tests, the simulator

The names below are the public ones. They are loaded when first used: importing this package costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from stageflow_es.release import RELEASE

if TYPE_CHECKING:
    from stageflow_es.audit import explain_history, export_history, replay_history, verify_history, what_if
    from stageflow_es.client import Client, SessionHandle, connect
    from stageflow_es.docs import generate_pipeline_schema, generate_stages_json, generate_stages_yaml
    from stageflow_es.docs.html import generate_docs_assets
    from stageflow_es.engine import Engine, EngineSettings
    from stageflow_es.engine.local import Session, SessionResult
    from stageflow_es.errors import (
        Bug,
        CommandRejected,
        DefinitionError,
        MissingArtifact,
        OperatorError,
        PathError,
        Problem,
        RuleError,
        SessionFailed,
        StageError,
        StageFlowError,
    )
    from stageflow_es.stageflow import (
        Condition,
        ConditionNode,
        JsonLogic,
        MapNode,
        Node,
        ParallelNode,
        Pipeline,
        StageNode,
        SubPipelineNode,
        TerminalNode,
    )
    from stageflow_es.stages import (
        BaseStage,
        Context,
        DotDict,
        Event,
        EventSpec,
        InputSpec,
        get_stage,
        get_stages,
        get_stages_by_category,
        register_stage,
        validate_schema,
    )

_HOMES = {
    "stageflow_es.audit": ("explain_history", "export_history", "replay_history", "verify_history", "what_if"),
    "stageflow_es.client": ("Client", "SessionHandle", "connect"),
    "stageflow_es.docs": ("generate_pipeline_schema", "generate_stages_json", "generate_stages_yaml"),
    "stageflow_es.docs.html": ("generate_docs_assets",),
    "stageflow_es.engine": ("Engine", "EngineSettings"),
    "stageflow_es.engine.local": ("Session", "SessionResult"),
    "stageflow_es.errors": (
        "Bug",
        "CommandRejected",
        "DefinitionError",
        "MissingArtifact",
        "OperatorError",
        "PathError",
        "Problem",
        "RuleError",
        "SessionFailed",
        "StageError",
        "StageFlowError",
    ),
    "stageflow_es.stageflow": (
        "Condition",
        "ConditionNode",
        "JsonLogic",
        "MapNode",
        "Node",
        "ParallelNode",
        "Pipeline",
        "StageNode",
        "SubPipelineNode",
        "TerminalNode",
    ),
    "stageflow_es.stages": (
        "BaseStage",
        "Context",
        "DotDict",
        "Event",
        "EventSpec",
        "InputSpec",
        "get_stage",
        "get_stages",
        "get_stages_by_category",
        "register_stage",
        "validate_schema",
    ),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__version__ = RELEASE

__all__ = [
    "BaseStage",
    "Bug",
    "Client",
    "CommandRejected",
    "Condition",
    "ConditionNode",
    "Context",
    "DefinitionError",
    "DotDict",
    "Engine",
    "EngineSettings",
    "Event",
    "EventSpec",
    "InputSpec",
    "JsonLogic",
    "MapNode",
    "MissingArtifact",
    "Node",
    "OperatorError",
    "ParallelNode",
    "PathError",
    "Pipeline",
    "Problem",
    "RuleError",
    "Session",
    "SessionFailed",
    "SessionHandle",
    "SessionResult",
    "StageError",
    "StageFlowError",
    "StageNode",
    "SubPipelineNode",
    "TerminalNode",
    "connect",
    "explain_history",
    "export_history",
    "generate_docs_assets",
    "generate_pipeline_schema",
    "generate_stages_json",
    "generate_stages_yaml",
    "get_stage",
    "get_stages",
    "get_stages_by_category",
    "register_stage",
    "replay_history",
    "validate_schema",
    "verify_history",
    "what_if",
]


def __getattr__(name: str) -> Any:
    module = _HOME_OF.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(module), name)
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
