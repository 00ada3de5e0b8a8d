"""Templates with placeholders, written as for `str.format` and rendered without it.

`{name}`, `{item[key]}` and `{a.b.c}` look up names, keys and list indexes in the JSON values given and nowhere else:
a Python object's attributes cannot be reached. `{price:.2f}` and `{n:>10}` format a number or a text, with bounded
width and precision; `!s`, `!r` and `!a` convert first; `{{` and `}}` are braces. What `str.format` makes of JSON values
(`None`, `True`, lists as Python writes them) is what comes out here, so that existing templates read the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from stageflow_es.errors import RuleError
from stageflow_es.pipeline.pointers import kind_of, shown
from stageflow_es.pipeline.room import with_room

MAX_TEMPLATE: Final = 262_144
MAX_FIELDS: Final = 2_000
FEW: Final = 100
"""Braces and placeholders of most templates; one with more is given room for its calls."""
MAX_BRACES: Final = 20_000
MAX_LOOKUPS: Final = 32
MAX_WIDTH: Final = 1_000
MAX_PRECISION: Final = 100
MAX_OUTPUT: Final = 1_048_576
"""Characters of a rendered text."""
MAX_LOOKED_AT: Final = 2 * MAX_OUTPUT
"""Characters that all values of one text may come to, whatever of them is written: `{text!r:.1}` reads all of it."""
LEAST: Final = 16
"""What a value within a value counts for in characters, whatever it is."""
DIGIT: Final = 20
"""What a digit of precision counts for in characters."""

_BRACE = re.compile(r"\{\{|\}\}|[{}]")
_FIELD = re.compile(r"(?P<lookup>[^{}!:]*)(?:!(?P<conversion>[^{}:]*))?(?::(?P<spec>[^{}]*))?")
_NAME = re.compile(r"[^.\[\]]+")
_STEP = re.compile(r"\.(?P<name>[^.\[\]]+)|\[(?P<key>[^\[\]]+)\]")
_SPEC = re.compile(
    r"(?:.?[<>=^])?[-+ ]?z?#?0?(?P<width>[0-9]*)[,_]?(?:\.(?P<precision>[0-9]+))?[bcdeEfFgGosxX%]?", re.DOTALL
)
_INDEX = re.compile(r"[0-9]{1,9}")
_CONVERSIONS: Final[dict[str, Callable[[Any], str]]] = {"s": str, "r": repr, "a": ascii}


class Placeholder(msgspec.Struct, frozen=True):
    """One placeholder: where to look, and how to write what is there. `source` is how messages quote it."""

    source: str
    steps: tuple[str, ...]
    conversion: str | None
    spec: str
    precision: int

    def write(self, values: Mapping[str, Any], room: int) -> tuple[str, int]:
        """Its text for these values, and what is left of the room for values. Raises RuleError where there is no value,
        or none that can be written so, or no room."""
        value = self._value(values)
        size = _size(value)
        room -= size + DIGIT * self.precision
        if size > MAX_OUTPUT:
            raise RuleError(f"{self.source}: the text is longer than {MAX_OUTPUT:,} characters")
        if room < 0:
            raise RuleError(f"{self.source}: the values come to more than {MAX_LOOKED_AT:,} characters")
        try:
            if self.conversion is not None:
                value = _CONVERSIONS[self.conversion](value)
            return format(value, self.spec), room
        except (ValueError, TypeError, OverflowError, RecursionError) as problem:
            raise RuleError(f"{self.source} cannot be written for {kind_of(value)}: {problem}") from problem

    def _value(self, values: Mapping[str, Any]) -> Any:
        value: Any = values
        for depth, step in enumerate(self.steps):
            if isinstance(value, Mapping) and step in value:
                value = value[step]
            elif isinstance(value, list) and _INDEX.fullmatch(step) and int(step) < len(value):
                value = value[int(step)]
            else:
                where = ".".join(self.steps[:depth]) or "the values"
                raise RuleError(f"{self.source}: there is no {shown(step)} in {where}")
        return value


def _size(value: Any) -> int:
    """How many characters a JSON value comes to, roughly; no more than `MAX_OUTPUT` of it is looked at."""
    size = 0
    pending = [value]
    while pending and size <= MAX_OUTPUT:
        item = pending.pop()
        if isinstance(item, str):
            size += len(item)
        elif isinstance(item, (list, dict)):
            size += LEAST * (1 + len(item))
            if size <= MAX_OUTPUT:
                pending.extend(item if isinstance(item, list) else (*item, *item.values()))
        else:
            size += max(LEAST, 2 * item.bit_length() - 128) if type(item) is int else LEAST
    return size


def text_of(value: Any) -> str:
    """A JSON value as `str` writes it. Raises RuleError when that would be longer than `MAX_OUTPUT`, or cannot be."""
    if _size(value) <= MAX_OUTPUT:
        try:
            text = str(value)
        except (ValueError, RecursionError) as problem:
            raise RuleError(f"{kind_of(value)} cannot be written: {problem}") from problem
        if len(text) <= MAX_OUTPUT:
            return text
    raise RuleError(f"the text is longer than {MAX_OUTPUT:,} characters")


def joined(texts: Iterable[str], separator: str = "") -> str:
    """Texts joined to one. Raises RuleError when that is longer than `MAX_OUTPUT`."""
    written: list[str] = []
    length = 0
    for text in texts:
        length += len(text) + (len(separator) if written else 0)
        if length > MAX_OUTPUT:
            raise RuleError(f"the text is longer than {MAX_OUTPUT:,} characters")
        written.append(text)
    return separator.join(written)


class Template:
    """A compiled template. `names`: the values it needs, each once, in order."""

    __slots__ = ("_parts", "names")

    def __init__(self, parts: Sequence[str | Placeholder]) -> None:
        self._parts = parts
        self.names = tuple(dict.fromkeys(part.steps[0] for part in parts if isinstance(part, Placeholder)))

    def render(self, values: Mapping[str, Any]) -> str:
        """The text with every placeholder replaced. `values` are JSON values by name. Raises RuleError where a value
        is missing, cannot be written as wanted, or the text grows beyond `MAX_OUTPUT`."""
        texts = self._texts(values)
        return joined(texts) if len(self._parts) <= FEW else with_room(joined, texts)

    def _texts(self, values: Mapping[str, Any]) -> Iterator[str]:
        room = MAX_LOOKED_AT
        for part in self._parts:
            if isinstance(part, str):
                yield part
            else:
                text, room = part.write(values, room)
                yield text


def compile_template(text: str) -> Template:
    """Compile a template. Raises RuleError where it is malformed, and says at which character."""
    if len(text) > MAX_TEMPLATE:
        raise RuleError(f"a template may be {MAX_TEMPLATE:,} characters long at most")
    braces = text.count("{") + text.count("}")
    if braces > MAX_BRACES:
        raise RuleError(f"a template may have {MAX_BRACES:,} braces at most")
    parts = list(_parts(text)) if braces <= FEW else with_room(list, _parts(text))
    if sum(isinstance(part, Placeholder) for part in parts) > MAX_FIELDS:
        raise RuleError(f"a template may have {MAX_FIELDS:,} placeholders at most")
    return Template(parts)


def _parts(text: str) -> Iterator[str | Placeholder]:
    place = 0
    while (brace := _BRACE.search(text, place)) is not None:
        start = brace.start()
        yield text[place:start]
        match brace.group():
            case "{":
                part, place = _placeholder(text, start)
                yield part
            case "}":
                raise RuleError(f"character {start}: this `}}` closes nothing; write `}}}}` for a brace")
            case doubled:
                yield doubled[0]
                place = brace.end()
    yield text[place:]


def _placeholder(text: str, start: int) -> tuple[Placeholder, int]:
    """The placeholder that begins at `start`, and where it ends."""
    field = _FIELD.match(text, start + 1)
    assert field is not None, "every part of a field is optional"
    end = field.end() + 1
    if text[end - 1 : end] != "}":
        raise RuleError(f"character {start}: this `{{` is not closed; write `{{{{` for a brace")
    source = shown(text[start:end])
    conversion, spec = field["conversion"], field["spec"] or ""
    if conversion is not None and conversion not in _CONVERSIONS:
        raise RuleError(f"character {start}: {source} has an unknown conversion; there are !s, !r and !a")
    precision = _check_spec(spec, source, start)
    return Placeholder(source, _steps(field["lookup"], source, start), conversion, spec, precision), end


def _steps(lookup: str, source: str, start: int) -> tuple[str, ...]:
    name = _NAME.match(lookup)
    if name is None:
        raise RuleError(f"character {start}: the placeholder {source} needs a name")
    steps, place = [name.group()], name.end()
    while place < len(lookup):
        step = _STEP.match(lookup, place)
        if step is None or len(steps) == MAX_LOOKUPS:
            raise RuleError(f"character {start}: {source} is no lookup like {{name}}, {{a.b}} or {{a[0]}}")
        steps.append(step["name"] or step["key"])
        place = step.end()
    return tuple(steps)


def _check_spec(spec: str, source: str, start: int) -> int:
    """The digits of precision a format asks for. Raises RuleError where it is none, or asks for too much."""
    match = _SPEC.fullmatch(spec)
    if match is None:
        raise RuleError(f"character {start}: {source} has a format that is not supported")
    width, precision = match["width"] or "0", match["precision"] or "0"
    if len(width) > 6 or int(width) > MAX_WIDTH:
        raise RuleError(f"character {start}: {source} is wider than {MAX_WIDTH} characters")
    if len(precision) > 6 or int(precision) > MAX_PRECISION:
        raise RuleError(f"character {start}: {source} has more than {MAX_PRECISION} digits of precision")
    return int(precision)
