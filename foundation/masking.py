"""Masking of secrets in texts that people read: passwords and tokens inside URLs and connection strings."""

import re
from collections.abc import Mapping

MASK = "**********"
SECRET_WORDS = "password|passwd|pwd|secret|token|key|credential|signature"  # noqa: S105 (names)
"""What the name of a setting or of a URL's parameter holds where its value is a secret, as a regular expression."""

_WHOLE_URL = re.compile(r"[A-Za-z][\w+.-]*://")
_LOGIN = re.compile(r"(://[^/@\s:]*):\S*@")
_LOGIN_OF_URL = re.compile(r"(://[^/@:]*):.*@", re.DOTALL)
_NAME = rf"[^=&?\s]*(?:{SECRET_WORDS})[^=&?\s]*|sig"
_PARAMETER = re.compile(rf"(?i)([?&](?:{_NAME})=)[^&\s]*")
_PARAMETER_OF_URL = re.compile(rf"(?i)([?&](?:{_NAME})=)[^&]*")
_CONNECTION_STRING = re.compile(r"(?i)\b((?:ssl)?password=)(?!\*)\S+")  # libpq's: host=db password=…


def mask_secrets(text: str) -> str:
    """Return the text with each password and token in it masked, as every log line, error and report is shown.

    Masked are the password before the host of a URL, the parameters of a URL whose name tells a secret, and the
    password of a PostgreSQL connection string. A text that begins as a URL is taken for one URL: spaces in its
    password are masked too.
    """
    whole = _WHOLE_URL.match(text) is not None
    text = (_LOGIN_OF_URL if whole else _LOGIN).sub(rf"\1:{MASK}@", text)
    text = (_PARAMETER_OF_URL if whole else _PARAMETER).sub(rf"\1{MASK}", text)
    return _CONNECTION_STRING.sub(rf"\1{MASK}", text)


def mask_all(value: object) -> object:
    """Return a value of JSON's types, or an exception, with `mask_secrets` applied to each text in it."""
    if isinstance(value, str):
        return mask_secrets(value)
    if isinstance(value, Mapping):
        return {key: mask_all(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [mask_all(each) for each in value]
    return mask_secrets(str(value)) if isinstance(value, BaseException) else value
