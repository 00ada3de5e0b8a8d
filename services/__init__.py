"""Deployable processes: each reads its settings, wires the rooms of `stageflow_es` together, runs, and shuts down."""
