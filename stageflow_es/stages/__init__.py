"""What users write: stages, and what they need to write them.

base            BaseStage: the contract of a stage
messages        events and inputs as a stage declares and sees them
context         the context as its users hold it
registry        @register_stage, the stages by name, and what the core knows of each
declared        what a class declares in its attributes, held to what it may be
docstring       the YAML docstrings that describe a stage; `flawed` are those that cannot be read as that
payload_schema  Python shapes and JSON Schema for payloads; `json_schema` checks them
runtime         what a running stage may ask of whatever runs it
modules         loading modules that register stages
builtin/        the stages that come with the package; importing this package registers them
"""

from stageflow_es.stages import builtin
from stageflow_es.stages.base import BaseStage
from stageflow_es.stages.context import Context, DotDict
from stageflow_es.stages.messages import Event, EventSpec, InputSpec
from stageflow_es.stages.payload_schema import validate_schema
from stageflow_es.stages.registry import (
    catalog,
    get_stage,
    get_stages,
    get_stages_by_category,
    register_stage,
    spec_of,
)

__all__ = [
    "BaseStage",
    "Context",
    "DotDict",
    "Event",
    "EventSpec",
    "InputSpec",
    "builtin",
    "catalog",
    "get_stage",
    "get_stages",
    "get_stages_by_category",
    "register_stage",
    "spec_of",
    "validate_schema",
]
