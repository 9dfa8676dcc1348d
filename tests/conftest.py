"""The real parts that tests may ask for by name."""

pytest_plugins = [
    "testing.command_line",
    "testing.datasets",
    "testing.chromium",
    "testing.kafka",
    "testing.images",
    "testing.postgres",
    "testing.rtsp",
    "testing.tiny_disk",
    "testing.torch_threads",
]
