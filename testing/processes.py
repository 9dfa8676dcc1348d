"""Processes of tests, forked from a server that imported once what they need: a spawned one imports for seconds."""

import multiprocessing

forkserver = multiprocessing.get_context("forkserver")
forkserver.set_forkserver_preload(
    ["hypothesis", "pytest", "sqlalchemy", "storage.database.engine", "testing.line", "tests.storage.examples", "torch"]
)
