"""The spool keeps its frames, in order, through kills, torn writes and full disks."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.bus.header_codec import pack_headers, unpack_headers
from ingest.bus.protocol import Message
from ingest.errors import BusMisconfigured, SpoolFull
from ingest.producer.spool import Spool

MEGABYTE = 1_000_000


def numbered_messages(*numbers: int, size_bytes: int = 10) -> list[Message]:
    return [Message("s1", b"%*d" % (size_bytes, number), (("n", b"%d" % number),)) for number in numbers]


def read_numbers(spool: Spool) -> list[int]:
    """Return all frames that were not read yet."""
    return [int(spooled.message.value) for spooled in spool.read(1 << 40) if spooled.message is not None]


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    with closing(Spool(tmp_path, 100 * MEGABYTE)) as spool:
        yield spool


def reopen(spool: Spool, path: Path, max_bytes: int = 100 * MEGABYTE) -> Spool:
    spool.close()
    return Spool(path, max_bytes)


def test_messages_are_read_whole_and_in_order(spool: Spool) -> None:
    messages = [Message("säge", b"\x00\xff", (("a", b""), ("a", b"2"))), Message("", b"", ())]
    assert spool.append(messages) == 2
    assert [spooled.message for spooled in spool.read(MEGABYTE)] == messages
    assert not spool.has_unread


def test_unreleased_messages_survive_a_restart(spool: Spool, tmp_path: Path) -> None:
    spool.append(numbered_messages(0, 1, 2, 3))
    assert [spooled.number for spooled in spool.read(MEGABYTE)] == [0, 1, 2, 3]
    spool.release(2)
    with closing(reopen(spool, tmp_path)) as reopened:
        assert reopened.frames == 2
        assert read_numbers(reopened) == [2, 3]


def test_numbering_continues_after_everything_was_released(spool: Spool, tmp_path: Path) -> None:
    spool.append(numbered_messages(0, 1))
    spool.release(2)
    with closing(reopen(spool, tmp_path)) as reopened:
        reopened.append(numbered_messages(2))
        assert [spooled.number for spooled in reopened.read(MEGABYTE)] == [2]


def test_released_space_is_freed(spool: Spool, tmp_path: Path) -> None:
    spool.append(numbered_messages(*range(40), size_bytes=MEGABYTE))
    assert spool.size_bytes > 40 * MEGABYTE
    spool.release(40)
    assert spool.size_bytes == 0
    assert list(tmp_path.glob("*.segment")) == []


def test_rewinding_reads_unreleased_messages_again(spool: Spool) -> None:
    spool.append(numbered_messages(0, 1, 2))
    assert read_numbers(spool) == [0, 1, 2]
    spool.release(1)
    spool.rewind()
    assert read_numbers(spool) == [1, 2]


def test_reading_and_appending_can_alternate(spool: Spool) -> None:
    spool.append(numbered_messages(0))
    assert read_numbers(spool) == [0]
    spool.append(numbered_messages(1))
    assert read_numbers(spool) == [1]
    spool.release(2)
    spool.append(numbered_messages(2))
    assert read_numbers(spool) == [2]


def test_a_full_spool_refuses_further_messages(tmp_path: Path) -> None:
    with closing(Spool(tmp_path, 3500)) as spool:
        assert spool.append(numbered_messages(0, 1, 2, 3, size_bytes=1000)) == 3
        with pytest.raises(SpoolFull, match=r"3500.*max_spool_bytes"):
            spool.append(numbered_messages(3, size_bytes=1000))
        assert read_numbers(spool) == [0, 1, 2]


def test_a_spool_of_zero_bytes_accepts_nothing(tmp_path: Path) -> None:
    with closing(Spool(tmp_path, 0)) as spool, pytest.raises(SpoolFull):
        spool.append(numbered_messages(0))


def test_dropping_the_oldest_frees_space_and_names_the_stations(tmp_path: Path) -> None:
    with closing(Spool(tmp_path, 8200)) as spool:
        spool.append(numbered_messages(*range(7), size_bytes=1000))
        before = spool.size_bytes
        assert spool.drop_oldest() == {0: "s1"}
        assert spool.size_bytes < before
        assert read_numbers(spool) == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("torn_bytes", [1, 7, 8, 30])
def test_a_torn_last_write_loses_only_that_message(spool: Spool, tmp_path: Path, torn_bytes: int) -> None:
    spool.append(numbered_messages(0, 1))
    (segment,) = tmp_path.glob("*.segment")
    before = segment.read_bytes()
    spool.append(numbered_messages(2))
    segment.write_bytes(segment.read_bytes()[: len(before) + torn_bytes])
    with closing(reopen(spool, tmp_path)) as reopened:
        assert read_numbers(reopened) == [0, 1]
        reopened.append(numbered_messages(3))
        assert read_numbers(reopened) == [3]


def test_a_corrupt_message_is_reported_as_lost_and_the_others_are_read(spool: Spool, tmp_path: Path) -> None:
    spool.append(numbered_messages(0, 1, 2))
    (segment,) = tmp_path.glob("*.segment")
    data = bytearray(segment.read_bytes())
    data[len(data) // 2] ^= 0xFF
    segment.write_bytes(data)
    with closing(reopen(spool, tmp_path)) as reopened:
        found = reopened.read(MEGABYTE)
        assert [spooled.message is None for spooled in found] == [False, True, False]


def test_a_corrupt_head_rereads_released_messages(spool: Spool, tmp_path: Path) -> None:
    spool.append(numbered_messages(0, 1))
    spool.release(1)
    (tmp_path / "head").write_bytes(b"nonsense")
    with closing(reopen(spool, tmp_path)) as reopened:
        assert read_numbers(reopened) == [0, 1]


def test_a_full_disk_is_an_error_and_damages_nothing() -> None:
    """A real refusal: a file size limit makes the kernel refuse the write half-way."""
    program = """
import resource, signal, sys, tempfile
from pathlib import Path
from ingest.bus.protocol import Message
from ingest.errors import SpoolFull
from ingest.producer.spool import Spool
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
path = Path(tempfile.mkdtemp())
spool = Spool(path, 10_000_000)
spool.append([Message("s1", b"a" * 30_000, ())])
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
try:
    spool.append([Message("s1", b"b" * 30_000, ())])
except SpoolFull as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
spool.append([Message("s1", b"c" * 10_000, ())])
spool.close()
print([spooled.message.value[:1] for spooled in Spool(path, 10_000_000).read(1 << 30)])
"""
    stdout = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    sentence, read_back = stdout.splitlines()[-2:]
    assert "File too large" in sentence
    assert read_back == "[b'a', b'c']"


def test_two_processes_cannot_use_one_spool(spool: Spool, tmp_path: Path) -> None:
    with pytest.raises(BusMisconfigured, match=str(tmp_path)):
        Spool(tmp_path, MEGABYTE)


def test_a_path_that_cannot_be_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BusMisconfigured, match="file"):
        Spool(tmp_path / "file", MEGABYTE)


def test_no_appended_message_is_lost_when_the_process_is_killed(tmp_path: Path) -> None:
    """The child prints each number after `append` returned for it, until it is killed."""
    program = f"""
import itertools
from pathlib import Path
from ingest.bus.protocol import Message
from ingest.producer.spool import Spool
spool = Spool(Path({str(tmp_path)!r}), 1_000_000_000)
for number in itertools.count():
    spool.append([Message("s1", b"%100000d" % number, ())])
    print(number, flush=True)
"""
    appended = []
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for line in child.stdout:
            appended.append(int(line))
            if len(appended) == 60:
                os.kill(child.pid, signal.SIGKILL)
    with closing(Spool(tmp_path, 1_000_000_000)) as spool:
        stored = read_numbers(spool)
    assert stored[: len(appended)] == appended
    assert len(stored) - len(appended) <= 1


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


@given(st.lists(st.tuples(texts, st.binary(max_size=20)), max_size=6).map(tuple))
def test_packed_headers_are_unpacked_unchanged(headers: tuple[tuple[str, bytes], ...]) -> None:
    assert unpack_headers(pack_headers(headers)) == headers


@given(st.binary(max_size=60))
def test_arbitrary_bytes_are_refused_or_round_trip(packed: bytes) -> None:
    try:
        headers = unpack_headers(packed)
    except ValueError:
        return
    assert pack_headers(headers) == packed


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["append", "read", "release", "reopen", "rewind"]), st.floats(0, 1))))
def test_unreleased_messages_stay_in_order_whatever_happens(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, float]]
) -> None:
    path = tmp_path_factory.mktemp("spool")
    spool = Spool(path, 20_000)
    appended = read_to = released = 0
    for step, fraction in steps:
        if step == "append":
            try:
                appended += spool.append(numbered_messages(*range(appended, appended + 3), size_bytes=900))
            except SpoolFull:
                assert spool.size_bytes > 18_000
        elif step == "read":
            found = spool.read(1800)
            assert [spooled.number for spooled in found] == list(range(read_to, read_to + len(found)))
            read_to += len(found)
        elif step == "release":
            released += int(fraction * (read_to - released))
            spool.release(released)
        else:
            if step == "reopen":
                spool = reopen(spool, path, 20_000)
            spool.rewind()
            read_to = released
        assert spool.frames == appended - released
    spool.rewind()
    assert read_numbers(spool) == list(range(released, appended))
    spool.close()
