"""Passwords that are tried first, wherever somebody guesses."""

_ROWS = (
    "0123456789",
    "1234567890",
    "abcdefghijklmnopqrstuvwxyz",
    "qwertyuiop",
    "qwertzuiop",
    "asdfghjkl",
    "1q2w3e4r5t",
)
"""Rows of keys and of the alphabet."""

_COMMON = frozenset(
    (
        *("password", "passwort", "password1", "passw0rd", "motdepasse", "contraseña", "admin", "administrator"),
        *("root", "user", "guest", "test", "letmein", "welcome", "willkommen", "changeme", "default", "iloveyou"),
        *("sunshine", "princess", "football", "baseball", "superman", "dragon", "monkey", "master", "secret"),
        *("geheim", "hallo", "hello", "qwerty", "qwertz", "qwertyuiop", "asdfgh", "asdfghjkl", "zxcvbnm", "1q2w3e"),
        *("1q2w3e4r", "1qaz2wsx", "1qaz2wsx3edc", "trustno1", "andon", "andonadmin", "andon-inspection"),
        *("inspection", "operator", "factory", "postgres", "kafka", "grafana", "streamlit", "passwordpassword"),
        *("adminadmin", "testtest", "correcthorsebatterystaple"),
    )
)


def is_common(password: str) -> bool:
    """Return whether a password is tried first: a common word with digits, a row of keys, or hardly any character."""
    plain = password.casefold()
    letters = plain.strip("0123456789!?.,-_#*$@ ")
    runs = any(plain in (row * 4) or plain in (row[::-1] * 4) for row in _ROWS)
    return letters in _COMMON or plain in _COMMON or runs or len(set(plain)) <= 3
