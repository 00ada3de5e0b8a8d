"""Metrics as a page of text, in either of the two formats that scrapers read. Pure.

Names are given without the unit and without `_total`: both follow from the family, so that no name can be without.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec

Kind = Literal["gauge", "counter", "histogram", "info"]
PREFIX = "stageflow"
PLAIN = "text/plain; version=0.0.4; charset=utf-8"
OPEN = "application/openmetrics-text; version=1.0.0; charset=utf-8"
"""The types of a page in Prometheus' own format and in that of OpenMetrics."""


class Sample(msgspec.Struct, frozen=True):
    """One number; `suffix`: which part of a histogram it is."""

    labels: Mapping[str, str]
    value: float
    suffix: str = ""


class Family(msgspec.Struct, frozen=True, kw_only=True):
    """All numbers of one name. `help` says what they are in one line; `unit`: `seconds`, `bytes`, or none."""

    name: str
    help: str
    samples: list[Sample]
    kind: Kind = "gauge"
    unit: str = ""

    @property
    def full_name(self) -> str:
        return "_".join(part for part in (PREFIX, self.name, self.unit) if part)


def gauge(name: str, help: str, value: float, *, unit: str = "") -> Family:
    """A family of one number without labels."""
    return Family(name=name, help=help, unit=unit, samples=[Sample({}, value)])


def counter(name: str, help: str, value: float, *, unit: str = "") -> Family:
    """A counter without labels."""
    return Family(name=name, help=help, unit=unit, samples=[Sample({}, value)], kind="counter")


def exposition(families: Iterable[Family], *, openly: bool) -> bytes:
    """The page, in OpenMetrics' format or in Prometheus' own. Families without numbers are left out."""
    lines: list[str] = []
    for family in families:
        if family.samples:
            lines += _family(family, openly)
    if openly:
        lines.append("# EOF")
    return ("\n".join(lines) + "\n").encode("utf-8", "replace")


def _family(family: Family, openly: bool) -> Iterable[str]:
    name, suffix, kind = family.full_name, "", str(family.kind)
    match family.kind:
        case "counter":
            suffix = "_total"
        case "info":
            suffix = "_info"
            kind = kind if openly else "gauge"
        case "gauge" | "histogram":
            pass
    head = name if openly else name + suffix
    yield f"# TYPE {head} {kind}"
    if openly and family.unit:
        yield f"# UNIT {head} {family.unit}"
    yield f"# HELP {head} {_escaped(family.help)}"
    for sample in family.samples:
        yield f"{name}{suffix or sample.suffix}{_labels(sample.labels)} {_number(sample.value)}"


def _labels(labels: Mapping[str, str]) -> str:
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}" if labels else ""


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _number(value: float) -> str:
    return repr(value)
