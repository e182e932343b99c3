"""`hcp schemas register|check`: the gate between a changed `.avsc` file and the registry."""

import typer

from hcp import console, settings
from schemas import provision
from schemas.registry import Registry

app = typer.Typer(help="Register the Avro schemas, or check that they may replace the registered ones.")


@app.command()
def register() -> None:
    """Create missing topics and register every schema; repeating changes nothing."""
    config = settings.load()
    created = provision.create_topics(config.kafka_client_config(), config.kafka_replication_factor)
    ids = provision.register_schemas(Registry(config.schema_registry_url))
    console.say(f"{len(ids)} schemas registered, {len(created)} topics created")


@app.command()
def check() -> None:
    """Ask the registry whether each schema may replace the registered versions; exit code 1 where one may not."""
    refused = provision.check_schemas(Registry(settings.load().schema_registry_url))
    for incompatibility in refused:
        console.fail(str(incompatibility))
    if refused:
        raise typer.Exit(1)
    console.say("all schemas are compatible with the registered versions")
