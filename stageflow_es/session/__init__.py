"""What happens to a session, as two pure functions: `decide(state, command)` and `evolve(state, event)`.

    commands     what may be asked: from the bus, from a timer, from a stage run
    ids          what a session's id may be
    wire         the same as JSON bodies anyone may send, and the rejection that answers a bad one
    questions    what anyone may ask, as JSON bodies
    decide       which event follows; `control`, `inputs` and `runs` hold the parts for those commands
    transitions  what is due with no command at all: conditions, joins, failures carried upward
    events       what happened: the stored types and their bytes
    evolve       what each event changes: a table over `evolve_session`, `_stages`, `_inputs` and `_nodes`
    fork         what may be forked, and where a fork begins
    room         how far scopes may spread
    cursor       moves through the scope tree, for the fold
    state        what the events add up to, with what is outstanding
    paths        dotted context paths and the frames they read and write
    fold         stored bytes -> state, with the hash chain; sealing new events
    snapshot     a state as bytes and back
    verify       a history against its definition; `retrace` derives each event again, `spelling` is about its bytes
    export       a history as a file that proves itself
    explain      why a session stands where it stands: an `explanation`; `telling` says it in words

No clock, no randomness, no I/O: time and ids come in on commands.
"""

from stageflow_es.session.decide import Refused, decide
from stageflow_es.session.evolve import evolve
from stageflow_es.session.fold import ChainBroken, apply, fold, seal
from stageflow_es.session.state import HISTORY_VERSION, State

__all__ = ["HISTORY_VERSION", "ChainBroken", "Refused", "State", "apply", "decide", "evolve", "fold", "seal"]
