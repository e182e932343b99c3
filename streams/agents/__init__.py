"""The agents on the low-rate streams: take an event, ask the domain, append what follows to the log.

Where state lives: nowhere but in Kafka. What the world is like is read again from the oldest event still in use
(`held_offset`); what was decided is read from the owner's decisions and transitions (`recovery`). Everything that one
input causes is appended in one transaction (`event_log`), so it is there wholly or not at all.

Who does what: each partition of the facilities has one owner among the workers (`assignment`, `owner`, `shard`), and so
has the routing of workloads to facilities (`router`). An owner has a transactional id, whichever worker it runs in, so
that a predecessor that still lives somewhere is fenced off.
"""
