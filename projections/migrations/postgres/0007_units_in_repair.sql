-- What a group has besides its units while devices of it are broken.
ALTER TABLE resources
    ADD COLUMN IF NOT EXISTS units_in_repair integer NOT NULL DEFAULT 0;
COMMENT ON COLUMN resources.units IS 'Devices that are in service.';
COMMENT ON COLUMN resources.units_in_repair IS 'Devices besides those, out of service until they are repaired.';
