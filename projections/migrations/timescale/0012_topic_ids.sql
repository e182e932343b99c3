-- Which topic offsets are of: one that was deleted and made anew under the same name has another id.
ALTER TABLE projection_offsets ADD COLUMN topic_id text;
COMMENT ON COLUMN projection_offsets.topic_id IS 'Kafka''s id of the topic that the offset is of; null: not known yet.';
