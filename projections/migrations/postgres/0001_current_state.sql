-- What is true now. Every row comes from a topic; dropping a table and projecting again gives the same rows.
-- No foreign keys between tables: topics are read side by side, so a workload may arrive before its customer.

CREATE TABLE projection_offsets (
    worker       text        NOT NULL,
    topic        text        NOT NULL,
    partition    integer     NOT NULL CHECK (partition >= 0),
    next_offset  bigint      NOT NULL CHECK (next_offset >= 0),
    updated_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (worker, topic, partition)
);
COMMENT ON TABLE projection_offsets IS
    'Next offset to apply of each partition, written in the transaction that writes the rows before it.';

CREATE FUNCTION touch_updated_at() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at := now();
    RETURN NEW;
END
$$;

CREATE TABLE facilities (
    facility_id          text PRIMARY KEY,
    name                 text             NOT NULL,
    country              text             NOT NULL,
    timezone             text             NOT NULL,
    grid_operator        text             NOT NULL,
    settlement_point     text             NOT NULL,
    cap_mw               double precision NOT NULL CHECK (cap_mw > 0),
    pue_ratio            double precision NOT NULL CHECK (pue_ratio >= 1),
    energy_adder_usd_mwh double precision NOT NULL,
    sell_back_limit_mw   double precision NOT NULL,
    recorded_at          timestamptz      NOT NULL,
    event_id             text             NOT NULL,
    created_at           timestamptz      NOT NULL DEFAULT now(),
    updated_at           timestamptz      NOT NULL DEFAULT now()
);
COMMENT ON TABLE facilities IS 'Facilities, the newest record of registry.facilities.';
COMMENT ON COLUMN facilities.cap_mw IS 'Greatest load of IT and cooling together, MW.';

CREATE TABLE resources (
    resource_group_id text PRIMARY KEY,
    facility_id       text             NOT NULL,
    kind              text             NOT NULL CHECK (kind IN ('ASIC', 'GPU')),
    model             text             NOT NULL,
    units             integer          NOT NULL CHECK (units > 0),
    idle_power_w      double precision NOT NULL CHECK (idle_power_w >= 0),
    max_power_w       double precision NOT NULL CHECK (max_power_w > 0),
    modes             jsonb            NOT NULL,
    recorded_at       timestamptz      NOT NULL,
    event_id          text             NOT NULL,
    created_at        timestamptz      NOT NULL DEFAULT now(),
    updated_at        timestamptz      NOT NULL DEFAULT now()
);
COMMENT ON TABLE resources IS 'Resource groups: like devices of a facility that are switched together.';
COMMENT ON COLUMN resources.modes IS 'Power modes of one device: mode, power_w, hashrate_ths.';
CREATE INDEX resources_facility ON resources (facility_id);

CREATE TABLE customers (
    customer_id        text PRIMARY KEY,
    name               text           NOT NULL,
    tier               text           NOT NULL,
    gpu_hour_price_usd numeric(18, 6) NOT NULL,
    recorded_at        timestamptz    NOT NULL,
    event_id           text           NOT NULL,
    created_at         timestamptz    NOT NULL DEFAULT now(),
    updated_at         timestamptz    NOT NULL DEFAULT now()
);
COMMENT ON TABLE customers IS 'Customers of GPU capacity.';

CREATE TABLE workloads (
    workload_id        text PRIMARY KEY,
    state              text             NOT NULL,
    previous_state     text,
    version            integer          NOT NULL CHECK (version > 0),
    customer_id        text             NOT NULL,
    facility_id        text,
    resource_group_id  text,
    gpus               integer          NOT NULL,
    duration_s         integer          NOT NULL,
    progress_s         integer          NOT NULL,
    priority           integer          NOT NULL,
    price_usd_gpu_hour double precision NOT NULL,
    requested_at       timestamptz      NOT NULL,
    deadline           timestamptz,
    occurred_at        timestamptz      NOT NULL,
    decision_id        text,
    reason             text             NOT NULL,
    event_id           text             NOT NULL,
    created_at         timestamptz      NOT NULL DEFAULT now(),
    updated_at         timestamptz      NOT NULL DEFAULT now()
);
COMMENT ON TABLE workloads IS 'Workloads in the state that their newest transition left them in.';
CREATE INDEX workloads_state ON workloads (state);

CREATE TABLE allocations (
    facility_id       text             NOT NULL,
    resource_group_id text             NOT NULL,
    kind              text             NOT NULL,
    power_mode        text,
    power_mw          double precision NOT NULL,
    gpus_busy         integer          NOT NULL,
    workload_ids      jsonb            NOT NULL,
    margin_usd_h      double precision NOT NULL,
    reason            text             NOT NULL,
    cause             text             NOT NULL,
    decision_id       text             NOT NULL,
    interval_start    timestamptz      NOT NULL,
    interval_s        integer          NOT NULL,
    decided_at        timestamptz      NOT NULL,
    created_at        timestamptz      NOT NULL DEFAULT now(),
    updated_at        timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (facility_id, resource_group_id)
);
COMMENT ON TABLE allocations IS 'What each resource group was told to do last, and why.';
COMMENT ON COLUMN allocations.power_mw IS 'Power at the meter, with cooling, MW.';

CREATE TABLE audit_logs (
    event_id    text PRIMARY KEY,
    actor       text        NOT NULL,
    action      text        NOT NULL,
    subject     text        NOT NULL,
    outcome     text        NOT NULL CHECK (outcome IN ('ACCEPTED', 'REFUSED')),
    reason      text        NOT NULL,
    details     jsonb       NOT NULL,
    occurred_at timestamptz NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE audit_logs IS 'Who did what, and whether it was allowed.';
CREATE INDEX audit_logs_occurred_at ON audit_logs (occurred_at);

CREATE TRIGGER touch BEFORE UPDATE ON facilities FOR EACH ROW EXECUTE FUNCTION touch_updated_at();
CREATE TRIGGER touch BEFORE UPDATE ON resources FOR EACH ROW EXECUTE FUNCTION touch_updated_at();
CREATE TRIGGER touch BEFORE UPDATE ON customers FOR EACH ROW EXECUTE FUNCTION touch_updated_at();
CREATE TRIGGER touch BEFORE UPDATE ON workloads FOR EACH ROW EXECUTE FUNCTION touch_updated_at();
CREATE TRIGGER touch BEFORE UPDATE ON allocations FOR EACH ROW EXECUTE FUNCTION touch_updated_at();
