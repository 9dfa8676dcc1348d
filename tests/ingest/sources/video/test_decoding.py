"""The logs and error messages of a stream."""

import av.error
import pytest

from ingest.sources.video.decoding import describe_error, without_credentials


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("rtsp://user:p%40ss@camera:554/stream?x=1", "rtsp://camera:554/stream?x=1"),
        ("rtsp://camera/stream", "rtsp://camera/stream"),
    ],
)
def test_credentials_stay_out_of_logs(address: str, shown: str) -> None:
    assert without_credentials(address) == shown


def test_ffmpeg_errors_are_described() -> None:
    assert describe_error(av.error.EOFError(-541478725, "End of file")) == "the stream ended"
    assert describe_error(av.error.ExitError(-1414092869, "Immediate exit requested")) == "no data arrived in time"
    assert describe_error(av.error.DecoderNotFoundError(-1128613112, "x")) == "there is no decoder for its codec"
