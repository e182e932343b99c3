SELECT facility_id AS facility, merit, use, resource_group_id AS "group", mode, value_usd_mwh AS "worth USD/MWh",
       margin_usd_mwh AS "over its cost USD/MWh", available_mw AS "takes MW"
FROM power_uses
WHERE event_id IN (
    SELECT DISTINCT ON (facility_id) event_id
    FROM power_uses
    WHERE $__timeFilter(evaluated_at)
    ORDER BY facility_id, evaluated_at DESC, event_id
) AND $__timeFilter(evaluated_at)
ORDER BY facility_id, merit
