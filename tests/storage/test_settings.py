import pytest
from pydantic import ValidationError

from storage.settings import StorageSettings


def test_everything_is_stored_in_one_folder_by_default() -> None:
    settings = StorageSettings()
    assert (settings.database_url, settings.images_url) == ("sqlite:///.andon/andon.db", ".andon/images")


@pytest.mark.parametrize(
    "invalid",
    [
        {"database_url": "mysql://u:p@host/x"},
        {"database_url": "sqlite://"},
        {"images_url": " "},
        {"image_url": "x"},
    ],
)
def test_invalid_settings_are_refused(invalid: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        StorageSettings(**invalid)


def test_each_setting_has_a_description() -> None:
    assert all(field.description for field in StorageSettings.model_fields.values())
