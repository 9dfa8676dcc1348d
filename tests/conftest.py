"""The real parts that tests may ask for by name."""

pytest_plugins = [
    "tests.parts.datasets",
]
