"""Where the README's figures come from. `make bench` runs them all; each is a program of its own too:
`python -m benchmarks.w1`.

w1            1,000 sessions of 10 sequential stages
w2            a session waits for one input, then completes
up            the same two on what `stageflow up` runs
client        and as a Python program sees them
starts        many sessions started by one client
parked        sessions that wait: their memory, and how soon they wake
recovery      an engine killed among 200 sessions, and started again
long_session  100,000 transitions of one session, and waking it
wide_map      a map of 10,000 items
in_process    sessions without a server, validation, imports
projection    the projector, rebuilds, `queries` over 100,000 sessions, on a `stream` of `histories`
growth        how cost grows: sessions at once, parked sessions, stages, contexts
peers/        the same work on other engines
references    the disk and JetStream with no engine around them

rig           a real server, engine and projector as processes, and what they took of the machine
load          the client's side: starts, inputs, and the ends of sessions
lag           how far the projection is behind
disk          syncs a second; `processor`: turns a second
stages        the stages that are run
scale         in full, or QUICK=1
program       a benchmark as a program; `__main__` runs all of them
figures       a measured value and its goal; `records` keeps them as JSON, in results/
readme        the README's figures, made of those; `plot` draws them
"""
