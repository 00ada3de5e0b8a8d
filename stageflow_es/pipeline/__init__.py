"""What may run: pipeline definitions, checked whole and compiled. Pure: no clock, no I/O, nothing global.

definition   Pipeline: a definition ready to run, pinned by the digest of its canonical bytes
nodes        the six node types as typed structs
spec         what is known of a stage class, as plain data
layout       where things stand in a definition's text

validation   all problems of a definition at once; it asks, in this order:
  plain        is it JSON, and not too much of it
  document     its shape, by the tables in `fields`; nested documents
  graph        references between nodes, reachability, joins
  calls        subpipelines, and which runs which
  stage_use    the stages it names, against a catalog
report       where problems are collected; `names` finds near names, `pointers` writes JSON pointers
schema       the tables in `fields` as a JSON Schema

rules        JSON Logic: compiling and evaluating a rule, the operators on values
  rule_compiler  from a rule to a function, with all that is wrong with it
  rule_forms     operators that decide what is evaluated: control flow, data access, loops
  rule_comparison, rule_numbers, rule_values   what values mean to an operator
  rule_limits    what a rule may cost
templates    text with placeholders, without `str.format`
room         why what has many calls to make is called `with_room`

values       what of Python JSON has a word for; `json_schema`: values checked against a schema
"""

from stageflow_es.pipeline.definition import Pipeline, canonical, digest_of
from stageflow_es.pipeline.layout import Layout
from stageflow_es.pipeline.nodes import (
    Condition,
    ConditionNode,
    Definition,
    MapNode,
    Node,
    ParallelNode,
    StageNode,
    SubpipelineNode,
    TerminalNode,
)
from stageflow_es.pipeline.rules import (
    OPERATORS,
    InvalidRule,
    Operators,
    Rule,
    check_rule,
    compile_rule,
    condition_data,
)
from stageflow_es.pipeline.schema import pipeline_schema
from stageflow_es.pipeline.spec import Catalog, FieldSpec, MessageSpec, StageSpec
from stageflow_es.pipeline.templates import Template, compile_template
from stageflow_es.pipeline.validation import validate

__all__ = [
    "OPERATORS",
    "Catalog",
    "Condition",
    "ConditionNode",
    "Definition",
    "FieldSpec",
    "InvalidRule",
    "Layout",
    "MapNode",
    "MessageSpec",
    "Node",
    "Operators",
    "ParallelNode",
    "Pipeline",
    "Rule",
    "StageNode",
    "StageSpec",
    "SubpipelineNode",
    "Template",
    "TerminalNode",
    "canonical",
    "check_rule",
    "compile_rule",
    "compile_template",
    "condition_data",
    "digest_of",
    "pipeline_schema",
    "validate",
]
