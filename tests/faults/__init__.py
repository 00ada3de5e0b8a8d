"""Real faults on real processes: engines, projectors and servers that are killed, stopped, cut off and filled up.

- `proxy`      a TCP proxy between a process and the server that cuts, stalls, delays and loses answers
- `processes`  processes of our own, each ended by its pid
- `servers`    one NATS server, or a cluster of several
- `network`    what parts the servers of a cluster from each other, one way or both
- `world`      servers, engines, a projector and a query service: an installation
- `stages`     stages that leave a synced trace outside of their session; `trace` reads it
- `pipelines`  what the sessions run, and what must come out of it
- `observer`   follows the log of events beside everything, straight from the server
- `clients`    one script for each session, sent by clients that repeat themselves when nothing answers
- `chaos`      which fault comes when, from a seed
- `audit`      what must hold of the histories, the trace, the commands, the projection and the logs afterwards
- `storm`      all of it together: `python -m tests.faults`, with `SERVERS=3` on a cluster

The directed tests, one fault each, are in the `test_*` files beside them.
"""
