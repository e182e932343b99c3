"""The event contract: Avro schemas, the catalog of topics, codecs, rules and dead letters. Knows no other package."""
