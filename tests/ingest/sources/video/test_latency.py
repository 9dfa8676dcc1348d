"""Late frames of a live stream."""

from ingest.sources.video.latency import LateFrameFilter


def test_buffered_frames_are_late_and_live_frames_are_not() -> None:
    late_frames = LateFrameFilter()
    buffered = [late_frames.is_late(100 + 0.002 * number, 0.04 * number) for number in range(10)]
    live = [late_frames.is_late(100.4 + 0.04 * number, 0.4 + 0.04 * number) for number in range(10)]

    assert buffered == [True] * 10
    assert live[1:] == [False] * 9


def test_a_stream_is_late_until_it_catches_up() -> None:
    late_frames = LateFrameFilter()
    for number in range(10):
        late_frames.is_late(100 + 0.04 * number, 0.04 * number)

    assert late_frames.is_late(103.4, 0.4)
    assert not late_frames.is_late(103.5, 3.0)


def test_a_small_clock_drift_makes_no_frame_late() -> None:
    late_frames = LateFrameFilter()
    drift = 1.0002  # 17 seconds in a day

    late = [late_frames.is_late(second * drift, float(second)) for second in range(100_000)]

    assert late[0]
    assert not any(late[1:])
