"""Where a setting comes from, and what is said of a bad one."""

from pathlib import Path

import pytest

from hcp import environment_example, settings


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, and none of the variables."""
    monkeypatch.chdir(tmp_path)
    for name in settings.Settings.model_fields:
        monkeypatch.delenv(f"HCP_{name.upper()}", raising=False)
    return tmp_path


def test_the_defaults_are_those_of_compose() -> None:
    found = settings.load()
    assert found.kafka_bootstrap_servers == "127.0.0.1:9092"
    assert found.parts == Path(".hcp/parts")


def test_the_environment_outranks_the_users_file_which_outranks_the_stacks(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (elsewhere / ".hcp").mkdir()
    (elsewhere / ".hcp" / "stack.env").write_text("HCP_SEED=1\nHCP_GRACE_S=1\nHCP_WINDOW_S=1\n")
    (elsewhere / ".env").write_text("HCP_GRACE_S=2\nHCP_WINDOW_S=2\n")
    monkeypatch.setenv("HCP_WINDOW_S", "3")
    found = settings.load()
    assert (found.seed, found.grace_s, found.window_s) == (1, 2, 3)


def test_a_bad_value_names_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HCP_WINDOW_S", "soon")
    with pytest.raises(settings.SettingsError, match=r"HCP_WINDOW_S: .*valid integer.*'soon'"):
        settings.load()


def test_secrets_are_masked_when_printed() -> None:
    assert "mara:mara" not in repr(settings.load())


def test_security_settings_reach_the_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HCP_KAFKA_SECURITY_PROTOCOL", "SASL_SSL")
    monkeypatch.setenv("HCP_KAFKA_SASL_PASSWORD", "secret")
    found = settings.load().kafka_client_config()
    assert found["security.protocol"] == "SASL_SSL"
    assert found["sasl.password"] == "secret"


def test_a_copied_example_changes_nothing(elsewhere: Path) -> None:
    before = settings.load()
    (elsewhere / ".env").write_text(environment_example.render())
    assert settings.load() == before
