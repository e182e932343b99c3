-- Dead letters that were replayed into this database, written in the transaction that writes their rows: a replay that is
-- repeated finds its letter here and writes nothing.
CREATE TABLE replayed_dead_letters (
    worker        text        NOT NULL,
    topic         text        NOT NULL,
    partition     integer     NOT NULL CHECK (partition >= 0),
    source_offset bigint      NOT NULL CHECK (source_offset >= 0),
    replayed_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (worker, topic, partition, source_offset)
);
COMMENT ON COLUMN replayed_dead_letters.source_offset IS 'Offset of the refused message in its own topic.';
