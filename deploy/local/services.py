"""The services of the embedded stack, in the order in which they are shown; they stop in the reverse order.

The last three are extras: `hcp up --only NAME` makes them a part of the home.
"""

from deploy.local.kafka import KAFKA
from deploy.local.mongo import MONGO
from deploy.local.neo4j import NEO4J
from deploy.local.postgres import POSTGRES
from deploy.local.prometheus import PROMETHEUS
from deploy.local.redis import REDIS
from deploy.local.registry import REGISTRY
from deploy.local.timescaledb import TIMESCALE

SERVICES = (KAFKA, REGISTRY, POSTGRES, TIMESCALE, PROMETHEUS, REDIS, MONGO, NEO4J)
