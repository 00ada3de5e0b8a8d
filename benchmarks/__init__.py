"""Where the README's figures come from. `make bench` runs them all; each is a program of its own too:
`python -m benchmarks.w1`.

rig       a real server, engine and projector as processes, and what they took of the machine
machine   what this machine can do at most: its disk, and JetStream without an engine
load      the client's side: starts, inputs, and the ends of sessions
stages    the stages that are run
w1        1,000 sessions of 10 sequential stages
w2        a session waits for one input, then completes
"""
