-- A fencing token for each partition: every worker that takes one over gets the next epoch, and who holds an older one
-- can't write. The owner's session is known, so that one which sleeps in a transaction can be ended.
ALTER TABLE projection_offsets
    ADD COLUMN epoch            bigint NOT NULL DEFAULT 0,
    ADD COLUMN owner_pid        integer,
    ADD COLUMN owner_started_at timestamptz;
COMMENT ON COLUMN projection_offsets.epoch IS 'Fencing token: grows with every claim.';
