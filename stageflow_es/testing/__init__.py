"""What tests of pipelines, and of this package, are written with.

pipeline_test  PipelineTestSpec, run_pipeline_test: a pipeline with inputs, and what must come out
virtual_time   in_virtual_time, run_in_virtual_time, advance: tests of months in milliseconds; `skipping_loop` is the
               event loop they run on, `outside` who may be at work outside of it, `deadlock` how it tells of those
               that wait for ever
scenario       given events, when a command, then events: the core without a clock
generate       pipelines and command sequences made at random
simulator/     whole engines in virtual time, with every kind of fault
"""

from stageflow_es.testing.deadlock import Deadlock
from stageflow_es.testing.pipeline_test import PipelineTestSpec, run_pipeline_test
from stageflow_es.testing.virtual_time import advance, in_virtual_time, run_in_virtual_time

__all__ = ["Deadlock", "PipelineTestSpec", "advance", "in_virtual_time", "run_in_virtual_time", "run_pipeline_test"]
