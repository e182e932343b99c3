"""The archive that the settings name."""

from importlib.util import find_spec
from typing import TYPE_CHECKING

from hcp.settings import Settings, SettingsError
from schemas.catalog import TOPICS, Topic, topic

if TYPE_CHECKING:
    from projections.archive import Archive


def url(config: Settings) -> str:
    """Returns where the archive is. Raises SettingsError where none is set, or can be opened by no package."""
    if config.archive_url is None:
        raise SettingsError("HCP_ARCHIVE_URL is not set: name a folder or an object store, such as s3://bucket/prefix")
    if find_spec("fsspec") is None:
        raise SettingsError("the archive needs the package fsspec: pip install 'mara-hcp[archive]'")
    return config.archive_url


def archive(config: Settings) -> "Archive":
    """Returns the archive, opened. Raises SettingsError and ArchiveError."""
    found = url(config)
    # Can be imported only where the extra `archive` is installed.
    from projections.archive import Archive  # noqa: PLC0415
    from projections.archive_store import ArchiveStore  # noqa: PLC0415

    return Archive(ArchiveStore(found))


def chosen(names: str | None) -> tuple[Topic, ...]:
    """Returns the topics of a comma-separated list, all where there is none. Raises UnknownTopicError."""
    return TOPICS if names is None else tuple(topic(name.strip()) for name in names.split(","))
