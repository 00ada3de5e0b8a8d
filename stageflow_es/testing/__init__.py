"""What tests of pipelines, and of this package, are written with.

pipeline_test  PipelineTestSpec, run_pipeline_test: a pipeline with inputs, and what must come out
scenario       given events, when a command, then events: the core without a clock
generate       pipelines and command sequences made at random
"""

from stageflow_es.testing.pipeline_test import PipelineTestSpec, run_pipeline_test

__all__ = ["PipelineTestSpec", "run_pipeline_test"]
