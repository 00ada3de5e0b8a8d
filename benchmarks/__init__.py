"""Where the README's figures come from. `make bench` runs them all; each is a program of its own too:
`python -m benchmarks.w1`.

rig       a real server, engine and projector as processes, and what they took of the machine
load      the client's side: starts, inputs, and the ends of sessions
stages    the stages that are run
w1        1,000 sessions of 10 sequential stages
long_session   100,000 transitions of one session, and waking it
wide_map       a map of 10,000 items
in_process     sessions without a server, validation, imports
projection     the projector, rebuilds, lag; `queries` over 100,000 sessions, on a `stream` of `histories`
"""
