"""The services of the embedded stack, in the order in which they are shown; they stop in the reverse order."""

from deploy.local.kafka import KAFKA
from deploy.local.postgres import POSTGRES
from deploy.local.prometheus import PROMETHEUS
from deploy.local.registry import REGISTRY
from deploy.local.timescaledb import TIMESCALE

SERVICES = (KAFKA, REGISTRY, POSTGRES, TIMESCALE, PROMETHEUS)
