"""The YAML docstring of a stage: `description`, `arguments`, `config`, `outputs`, in every shape StageFlow reads.

Fields come as a mapping (`name: {type: ...}` or `name: type`), as a list of names, or as a list of mappings that have
a `name` or one key. A docstring that is prose is the description.
"""

from __future__ import annotations

from inspect import cleandoc
from typing import Any

import msgspec

Fields = list[dict[str, Any]]


class Described(msgspec.Struct, frozen=True, kw_only=True):
    """What a docstring says; None where it is silent."""

    description: str = ""
    arguments: Fields | None = None
    config: Fields | None = None
    outputs: Fields | None = None


def describe(text: str | None) -> Described:
    """Read a docstring. Never raises: what is no YAML mapping is taken as prose."""
    if not text:
        return Described()
    document = _load(text)
    if not isinstance(document, dict) or not _KEYS & document.keys():
        return Described(description=cleandoc(text).split("\n\n")[0].replace("\n", " "))
    described = document.get("description")
    return Described(
        description="" if described is None else str(described),
        **{key: _fields(document[key]) for key in ("arguments", "config", "outputs") if key in document},
    )


_KEYS = {"description", "arguments", "config", "outputs"}


def _load(text: str) -> Any:
    import yaml

    for spelled in (text, cleandoc(text)):  # as it stands, and with the first line at the margin of the others
        try:
            return yaml.safe_load(spelled)
        except (yaml.YAMLError, ValueError, RecursionError):  # prose may look like a date that is none, or a deep nest
            continue
    return None


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
