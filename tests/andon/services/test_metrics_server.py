"""/metrics and /healthz over real HTTP."""

import socket

import pytest
from prometheus_client import CollectorRegistry, Counter

from andon.errors import PortInUse
from andon.services.metrics_server import serve_metrics
from testing.command_line import get
from testing.ports import free_port


def test_a_healthy_process_answers_ok_and_serves_its_counters() -> None:
    registry = CollectorRegistry()
    Counter("andon_parts", "Parts.", registry=registry).inc(3)
    with serve_metrics("127.0.0.1", free_port(), list, registry) as port:
        assert get(port, "/healthz") == (200, "ok\n")
        status, text = get(port, "/metrics")
    assert status == 200
    assert "andon_parts_total 3.0" in text


def test_an_unhealthy_process_answers_503_with_one_reason_per_line() -> None:
    with serve_metrics("127.0.0.1", free_port(), lambda: ["The bus is away.", "The disk is full."]) as port:
        assert get(port, "/healthz") == (503, "The bus is away.\nThe disk is full.\n")


def test_another_path_is_not_found() -> None:
    with serve_metrics("127.0.0.1", free_port(), list) as port:
        assert get(port, "/")[0] == 404


def test_port_0_disables_the_server() -> None:
    with serve_metrics("127.0.0.1", 0, list) as port:
        assert port == 0


def test_a_port_in_use_is_an_error_that_names_it() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(PortInUse, match=f"127.0.0.1:{port}"), serve_metrics("127.0.0.1", port, list):
            pass


def test_the_port_is_released_afterwards() -> None:
    port = free_port()
    for _ in range(2):
        with serve_metrics("127.0.0.1", port, list):
            assert get(port, "/healthz")[0] == 200


def test_no_reason_shows_a_password() -> None:
    reason = "The image store s3://AKIA123:hunter2@bucket can't be used."
    with serve_metrics("127.0.0.1", free_port(), lambda: [reason]) as port:
        status, text = get(port, "/healthz")
    assert status == 503
    assert "hunter2" not in text


def test_a_process_that_waits_is_not_ready_and_lives() -> None:
    with serve_metrics("127.0.0.1", free_port(), lambda: ["The database is away."]) as port:
        assert get(port, "/readyz") == (503, "The database is away.\n")
        assert get(port, "/livez") == (200, "ok\n")


def test_a_process_that_only_a_restart_helps_says_so() -> None:
    with serve_metrics("127.0.0.1", free_port(), list, liveness=lambda: ["It is stuck."]) as port:
        assert get(port, "/livez") == (503, "It is stuck.\n")
        assert get(port, "/readyz") == (200, "ok\n")
