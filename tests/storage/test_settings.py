import pytest
from pydantic import ValidationError

from storage.settings import StorageSettings


def test_everything_lies_in_one_folder_by_default() -> None:
    settings = StorageSettings()
    assert (settings.database_url, settings.images_url) == ("sqlite:///.andon/andon.db", ".andon/images")


@pytest.mark.parametrize(
    "wrong",
    [
        {"database_url": "mysql://u:p@host/x"},
        {"database_url": "sqlite://"},
        {"images_url": " "},
        {"image_url": "x"},
    ],
)
def test_what_can_not_be_used_is_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        StorageSettings(**wrong)


def test_each_setting_says_what_it_is() -> None:
    assert all(field.description for field in StorageSettings.model_fields.values())
