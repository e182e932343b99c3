"""The agents on the low-rate streams: take an event, ask the domain, append what follows to the log.

Where state lives: nowhere but in Kafka. What the world is like is read again from the oldest event still in use
(`held_offset`); what was decided is read from the worker's own decisions and transitions (`recovery`). Everything that
one input causes is appended in one transaction (`event_log`), so it is there wholly or not at all, and a predecessor
that still lives somewhere is fenced off.
"""
