"""Deployable processes: each reads its settings, wires the rooms of `stageflow_es` together, runs, and shuts down.

- `engine/`      runs sessions
- `projector/`   keeps the projection; `query/` answers questions about it; `projection/` is both in one process
- `metrics/`     serves what a Prometheus collects
- `projecting`   the wiring of those three, with `settings` from the environment
- `arguments`    what a process takes on its command line
- `logs`         how they log
- `memory`       how a process treats its memory
- `nats/`        configurations of NATS servers that keep what they acknowledge
"""
