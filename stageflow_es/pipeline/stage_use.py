"""How stage nodes use their stages, held against what the stages document: names, and what a config gives."""

from __future__ import annotations

from typing import Final

from stageflow_es.errors import RuleError
from stageflow_es.pipeline.document import Document, Found
from stageflow_es.pipeline.names import Names
from stageflow_es.pipeline.pointers import below, kind_of, shown
from stageflow_es.pipeline.report import Report
from stageflow_es.pipeline.rules import check_condition
from stageflow_es.pipeline.spec import Catalog, FieldSpec, StageSpec
from stageflow_es.pipeline.templates import compile_template

_SECTIONS = {"arguments": "argument", "config": "config entry", "outputs": "output"}

_KINDS: Final[dict[str, tuple[type, ...]]] = {
    **dict.fromkeys(("string", "str", "text"), (str,)),
    **dict.fromkeys(("number", "float"), (int, float)),
    **dict.fromkeys(("integer", "int"), (int,)),
    **dict.fromkeys(("boolean", "bool"), (bool,)),
    **dict.fromkeys(("object", "dict"), (dict,)),
    **dict.fromkeys(("list", "array"), (list,)),
}
"""What the words that docstrings use for types mean; others say nothing here."""


class StageUse:
    """Checks stage nodes against a catalog."""

    def __init__(self, stages: Catalog, report: Report) -> None:
        self._stages = stages
        self._names = Names(stages)
        self._report = report
        self._known: dict[tuple[str, str], Names | None] = {}

    def check(self, document: Document) -> None:
        """Report what is wrong with how the stage nodes of a document use their stages."""
        for node in document.nodes:
            name = node.text("stage") if node.type == "stage" else None
            if name is None:
                continue
            spec = self._stages.get(name)
            if spec is None:
                near = self._report.near(name, self._names)
                self._report.error(below(node.pointer, "stage"), f"there is no stage {shown(name)}{near}")
            else:
                self._check_sections(node, spec)

    def _check_sections(self, node: Found, spec: StageSpec) -> None:
        for section in _SECTIONS:
            used = node.mapping(section)
            if used:
                self._check_section(node, spec, section, used)
        config = node.mapping("config")
        for field in spec.config or () if config else ():
            value = config.get(field.name)
            if value is not None:
                self._check_value(value, field, spec, node)

    def _check_section(self, node: Found, spec: StageSpec, section: str, used: dict[str, object]) -> None:
        known = self._documented(spec, section)
        where = below(node.pointer, section)
        if known is None:
            message = f"stage {shown(spec.stage_name)} does not document its {section}, so these cannot be checked"
            self._report.warning(where, message)
            return
        renamed = node.mapping("config").get("output_key") if section == "outputs" else None
        for name in used:
            if name not in known.known and name != renamed:
                near = self._report.near(name, known)
                has = "" if near else f" (it documents {', '.join(known.known) or 'none'})"
                what = _SECTIONS[section]
                message = f"stage {shown(spec.stage_name)} has no {what} {shown(name)}{near}{has}"
                self._report.error(below(where, name), message)

    def _check_value(self, value: object, field: FieldSpec, spec: StageSpec, node: Found) -> None:
        """Report a rule or a template that cannot be compiled, and a value of another type than is documented."""
        if field.format == "json-logic":
            pointer = below(node.pointer, "config", field.name)
            self._report.extend(check_condition(value, pointer, self._report.effort))
            return
        kinds = _KINDS.get(field.type)
        if kinds is not None and (not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds)):
            message = f"stage {shown(spec.stage_name)} documents this as {field.type}, it is {kind_of(value)}"
            self._report.warning(below(node.pointer, "config", field.name), message)
        elif field.format == "template" and isinstance(value, str):
            try:
                compile_template(value)
            except RuleError as problem:
                self._report.error(below(node.pointer, "config", field.name), str(problem))

    def _documented(self, spec: StageSpec, section: str) -> Names | None:
        key = (spec.stage_name, section)
        if key not in self._known:
            fields = {"arguments": spec.arguments, "config": spec.config, "outputs": spec.outputs}[section]
            self._known[key] = None if fields is None else Names(field.name for field in fields)
        return self._known[key]
