"""The same work on other engines, each with its own durable defaults. `make bench-peers` runs them all, ours among
them, in one run.

work         what every engine does: W1, one alone, W2, parked sessions, recovery. Standard library only: it runs in
             the other engines' environments
environment  where they are installed: from PyPI, and from npm what only is there
postgres     a PostgreSQL of our own, if its programs are installed

burr, dbos, langgraph, restate, stageflow, temporal   one engine each: how it does the work
"""
