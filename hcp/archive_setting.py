"""The archive that the settings name."""

from hcp.settings import Settings, SettingsError
from projections.archive import Archive
from projections.archive_store import ArchiveStore
from schemas.catalog import TOPICS, Topic, topic


def url(config: Settings) -> str:
    """Returns where the archive is. Raises SettingsError where none is set."""
    if config.archive_url is None:
        raise SettingsError("HCP_ARCHIVE_URL is not set: name a folder or an object store, such as s3://bucket/prefix")
    return config.archive_url


def archive(config: Settings) -> Archive:
    """Returns the archive. Raises SettingsError, and ArchiveError where no installed package knows its URL."""
    return Archive(ArchiveStore(url(config)))


def chosen(names: str | None) -> tuple[Topic, ...]:
    """Returns the topics of a comma-separated list, all where there is none. Raises UnknownTopicError."""
    return TOPICS if names is None else tuple(topic(name.strip()) for name in names.split(","))
