"""The Grafana dashboards as code: panels are declared, the JSON that Grafana provisions is generated and checked."""
