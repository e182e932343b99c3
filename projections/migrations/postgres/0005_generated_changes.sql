-- What `hcp projections apply` has done to this database beyond the numbered files. The same statements can come again
-- after someone has undone them, so the name is no key.
CREATE TABLE generated_changes (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       text        NOT NULL,
    checksum   text        NOT NULL,
    statements text        NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE generated_changes IS 'Changes generated from the declarations of tables, and the SQL that was run.';
