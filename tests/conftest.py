"""The real parts that tests may ask for by name."""

pytest_plugins = [
    "tests.parts.command_line",
    "tests.parts.datasets",
    "tests.parts.chromium",
    "tests.parts.kafka",
    "tests.parts.pictures",
    "tests.parts.postgres",
    "tests.parts.rtsp",
    "tests.parts.tiny_disk",
    "tests.parts.torch_threads",
]
