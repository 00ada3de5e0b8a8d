"""Pages of metrics read by strict parsers."""

from __future__ import annotations

from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_plain

Numbers = dict[tuple[str, ...], float]


def numbers(page: bytes, *, openly: bool = True) -> Numbers:
    """Every number of a page, by its name and the values of its labels. Raises ValueError where the page is not as the
    format wants it."""
    parse = parse_openmetrics if openly else parse_plain
    found: Numbers = {}
    for family in parse(page.decode()):
        for sample in family.samples:
            key = (sample.name, *sample.labels.values())
            assert key not in found, f"{key} is there twice"
            found[key] = sample.value
    return found
