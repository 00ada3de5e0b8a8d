"""The YAML docstring of a stage: `description`, `arguments`, `config`, `outputs`, in every shape StageFlow reads.

Fields come as a mapping (`name: {type: ...}` or `name: type`), as a list of names, or as a list of mappings that have
a `name` or one key. A docstring that is prose is the description. One that begins as YAML and is none is taken as prose
too, for the stage runs all the same; but nothing can be checked against it then, so its author is told.
"""

from __future__ import annotations

import re
from inspect import cleandoc
from typing import Any

import msgspec

Fields = list[dict[str, Any]]


class Flaw(msgspec.Struct, frozen=True):
    """Why a docstring that begins as YAML is none, and on which of its lines, counted from 0."""

    problem: str
    line: int = 0


class Described(msgspec.Struct, frozen=True, kw_only=True):
    """What a docstring says; None where it is silent."""

    description: str = ""
    arguments: Fields | None = None
    config: Fields | None = None
    outputs: Fields | None = None
    flaw: Flaw | None = None


def describe(text: str | None) -> Described:
    """Read a docstring. Never raises: what is no YAML mapping is taken as prose."""
    if not text:
        return Described()
    document, flaw = _load(text)
    if not isinstance(document, dict) or not _KEYS & document.keys():
        clean = cleandoc(text)
        prose = clean.split("\n\n")[0].replace("\n", " ")
        return Described(description=prose, flaw=flaw if _MEANT_AS_YAML.search(clean) else None)
    described = document.get("description")
    return Described(
        description="" if described is None else str(described),
        arguments=_fields(document["arguments"]) if "arguments" in document else None,
        config=_fields(document["config"]) if "config" in document else None,
        outputs=_fields(document["outputs"]) if "outputs" in document else None,
    )


_KEYS = {"description", "arguments", "config", "outputs"}
_MEANT_AS_YAML = re.compile(
    r"\A(description|arguments|config|outputs) *:(\s|\Z)|^(arguments|config|outputs) *:[ \t]*([{\[#]|$)", re.MULTILINE
)
"""It begins with one of the keys, or has a line of its own for one."""


def _load(text: str) -> tuple[Any, Flaw | None]:
    """What YAML makes of a text: as it stands, and else with its first line at the margin of the others."""
    import yaml

    problem: Exception | None = None
    for spelled in (text, cleandoc(text)):
        try:
            return yaml.safe_load(spelled), None
        except (yaml.YAMLError, ValueError, RecursionError) as wrong:  # such as a date that is none, or a deep nest
            problem = wrong
    first = next((number for number, line in enumerate(text.split("\n")) if line.strip()), 0)
    if not isinstance(problem, yaml.MarkedYAMLError):
        return None, Flaw(str(problem), first)
    mark = problem.problem_mark or problem.context_mark
    said = ", ".join(part for part in (problem.context, problem.problem) if part)
    return None, Flaw(said, first + (mark.line if mark else 0))


def _fields(raw: Any) -> Fields:
    if isinstance(raw, dict):
        return [_field(str(name), spec) for name, spec in raw.items()]
    if not isinstance(raw, list):
        return []
    fields = []
    for item in raw:
        if not isinstance(item, dict):
            fields.append(_field(str(item), {}))
        elif "name" in item:
            fields.append(_field(str(item["name"]), {key: value for key, value in item.items() if key != "name"}))
        elif len(named := item.keys() - _ATTRIBUTES) == 1:  # `- total: number`, and maybe `optional: true` below it
            (name,) = named
            spec = item[name] if isinstance(item[name], dict) else {"type": item[name]}
            fields.append(_field(str(name), {key: item[key] for key in _ATTRIBUTES & item.keys()} | spec))
        else:
            fields += [_field(str(name), spec) for name, spec in item.items()]
    return fields


_ATTRIBUTES = {"optional", "description", "default"}


def _field(name: str, spec: Any) -> dict[str, Any]:
    entry = spec if isinstance(spec, dict) else {"type": spec}
    kind = entry.get("type")
    return {"optional": False, "description": "", **entry, "name": name, "type": "any" if kind is None else kind}
