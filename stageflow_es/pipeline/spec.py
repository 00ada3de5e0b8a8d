"""What the core must know of a stage class, as plain data: `stages` derives it from the class; nothing runs here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec


class FieldSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One documented argument, config entry or output of a stage. `format`: `json-logic` and `template` are looked into
    where a definition gives one, other words say nothing here."""

    name: str
    type: str = "any"
    optional: bool = False
    description: str = ""
    format: str = ""


class MessageSpec(msgspec.Struct, frozen=True, kw_only=True):
    """An event a stage may emit or an input it may wait for; `payload_schema` is a JSON Schema."""

    type: str | None = None
    description: str | None = None
    payload_schema: dict[str, Any] | bool | None = None


class StageSpec(msgspec.Struct, frozen=True, kw_only=True):
    """The contract of one registered stage.

    Times are seconds. `None` for `arguments`, `config` or `outputs` means the docstring is silent, so nothing
    can be said about names there; an empty tuple means the stage documents that it takes none.
    """

    stage_name: str
    category: str | None = None
    description: str = ""
    skipable: bool = False
    blocking: bool = False
    timeout: float | None = 30
    retries: int = 0
    retry_delay: float = 0
    retry_backoff: float = 1
    allowed_events: tuple[MessageSpec, ...] = ()
    allowed_inputs: tuple[MessageSpec, ...] = ()
    arguments: tuple[FieldSpec, ...] | None = None
    config: tuple[FieldSpec, ...] | None = None
    outputs: tuple[FieldSpec, ...] | None = None


Catalog = Mapping[str, StageSpec]
"""Registered stages by name."""
