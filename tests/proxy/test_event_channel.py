"""The socket between workers and control: both ends over a real Unix socket."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from proxy.control.intake import EventIntake, all_targets
from proxy.event_channel import (
    EventSender,
    Frame,
    Hello,
    Note,
    Swap,
    Swapped,
    Target,
    Targets,
    decode_message,
    encode_note,
)
from proxy.events import EVENT_BYTES, EventBatch, EventRecord
from proxy.logs import open_log
from tests.proxy.eventually import eventually

LOG = open_log("test")


def event(call: int) -> bytes:
    return EventRecord(type=1, time_us=0, call=call).pack()


class Received:
    def __init__(self) -> None:
        self.calls: list[int] = []

    def __call__(self, batch: EventBatch) -> None:
        self.calls += [record.call for record in batch]


@asynccontextmanager
async def intake_at(path: Path, received: Received, current: int = 1) -> AsyncIterator[EventIntake]:
    intake = EventIntake(path, LOG, received, current)
    intake.open()
    try:
        yield intake
    finally:
        intake.close()


async def hear(end: socket.socket) -> Note:
    message = decode_message(await asyncio.get_running_loop().sock_recv(end, 65536))
    assert isinstance(message, Note)
    return message


def test_events_arrive_in_order_and_whole(tmp_path: Path) -> None:
    async def scenario() -> None:
        received = Received()
        async with intake_at(tmp_path / "events.sock", received) as intake:
            sender = EventSender(tmp_path / "events.sock", worker=3)
            end = sender.connect()
            assert end is not None
            sender.note(Hello(3, 42, 1))
            for start in range(0, 1000, 10):
                sender.add(b"".join(event(call) for call in range(start, start + 10)))
            await eventually(sender.flush)
            await eventually(lambda: len(received.calls) == 1000)
            assert received.calls == list(range(1000))
            assert [(link.worker, link.pid) for link in intake.workers] == [(3, 42)]
            assert (sender.pending, intake.dropped) == (0, {3: 0})
            end.close()

    asyncio.run(scenario())


def test_sender_without_control_keeps_what_fits_and_counts_the_rest(tmp_path: Path) -> None:
    async def scenario() -> None:
        path, received = tmp_path / "events.sock", Received()
        sender = EventSender(path, worker=0, limit=100)
        assert sender.connect() is None
        for call in range(150):
            sender.add(event(call))
        assert not sender.flush()
        assert (sender.pending, sender.dropped) == (100, 50)
        async with intake_at(path, received) as intake:
            end = sender.connect()
            assert end is not None
            sender.note(Hello(0, 1, 1))
            await eventually(sender.flush)
            await eventually(lambda: received.calls == list(range(100)))
            assert intake.dropped == {0: 50}
            end.close()
            await eventually(lambda: not intake.workers)
            assert intake.dropped == {0: 50}

    asyncio.run(scenario())


def test_sender_never_waits_for_a_control_that_does_not_read(tmp_path: Path) -> None:
    path = tmp_path / "events.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
        listening.bind(str(path))
        listening.listen()
        sender = EventSender(path, worker=0, limit=50_000)
        end = sender.connect()
        assert end is not None
        batch = event(1) * 64
        for _ in range(1000):
            sender.add(batch)
            sender.flush()
        assert 0 < sender.pending <= 50_000
        assert sender.dropped > 0
        end.close()


def test_sender_is_told_when_control_goes_away(tmp_path: Path) -> None:
    async def scenario() -> None:
        sender = EventSender(tmp_path / "events.sock", worker=0)
        async with intake_at(tmp_path / "events.sock", Received()):
            end = sender.connect()
            assert end is not None
        sender.add(event(1))
        await eventually(lambda: not sender.note(Hello(0, 1, 1)))
        assert await asyncio.get_running_loop().sock_recv(end, 10) == b""
        assert (sender.pending, sender.dropped) == (1, 0)
        end.close()

    asyncio.run(scenario())


def test_swap_is_ordered_and_answered(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with intake_at(tmp_path / "events.sock", Received()) as intake:
            senders = [EventSender(tmp_path / "events.sock", worker) for worker in range(3)]
            ends = [end for sender in senders if (end := sender.connect()) is not None]
            for worker, sender in enumerate(senders):
                sender.note(Hello(worker, 1, 1))
            await eventually(lambda: len(intake.workers) == 3)
            swap = asyncio.create_task(intake.swap(2, timeout_s=0.5))
            assert [await hear(end) for end in ends] == [Swap(2)] * 3
            senders[0].note(Swapped(2))
            senders[1].note(Swapped(2, "no memory"))
            assert await swap == {0: Swapped(2), 1: Swapped(2, "no memory"), 2: None}
            assert [link.generation for link in intake.workers] == [2, 1, 1]
            for end in ends:
                end.close()

    asyncio.run(scenario())


def test_worker_that_dies_in_a_swap_is_not_waited_for(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with intake_at(tmp_path / "events.sock", Received()) as intake:
            sender = EventSender(tmp_path / "events.sock", 0)
            end = sender.connect()
            assert end is not None
            sender.note(Hello(0, 1, 1))
            await eventually(lambda: intake.workers)
            swap = asyncio.create_task(intake.swap(2, timeout_s=3600))
            assert await hear(end) == Swap(2)
            end.close()
            assert await swap == {0: None}

    asyncio.run(scenario())


def test_worker_that_comes_with_an_old_generation_is_told(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with intake_at(tmp_path / "events.sock", Received(), current=7) as intake:
            sender = EventSender(tmp_path / "events.sock", 0)
            end = sender.connect()
            assert end is not None
            sender.note(Hello(0, 1, 6))
            assert await hear(end) == Swap(7)
            sender.note(Swapped(7))
            await eventually(lambda: [link.generation for link in intake.workers] == [7])
            end.close()

    asyncio.run(scenario())


def test_health_of_targets(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with intake_at(tmp_path / "events.sock", Received()) as intake:
            sender = EventSender(tmp_path / "events.sock", 1)
            end = sender.connect()
            assert end is not None
            sender.note(Hello(1, 1, 1))
            sender.note(Targets((Target("softswitch", "127.0.0.1:5070", up=False),)))
            await eventually(lambda: all_targets(intake.workers) == {(1, "softswitch", "127.0.0.1:5070"): False})
            end.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("message", [b"x", b"{", b'{"type":"unknown"}', b"\0" * 16, b"CEV1" + b"\0" * 400])
def test_message_not_understood_costs_the_connection_alone(tmp_path: Path, message: bytes) -> None:
    async def scenario() -> None:
        received = Received()
        async with intake_at(tmp_path / "events.sock", received):
            bad, good = (EventSender(tmp_path / "events.sock", worker) for worker in range(2))
            bad_end, good_end = bad.connect(), good.connect()
            assert bad_end is not None and good_end is not None
            bad.send(message)
            assert await asyncio.get_running_loop().sock_recv(bad_end, 10) == b""
            good.add(event(5))
            assert good.flush()
            await eventually(lambda: received.calls == [5])
            bad_end.close()
            good_end.close()

    asyncio.run(scenario())


def test_notes_survive_encoding() -> None:
    notes = [Hello(1, 2, 3), Swap(4), Swapped(5, "why"), Targets((Target("g", "t", up=True),))]
    assert [decode_message(encode_note(note)) for note in notes] == notes


def test_frame_of_another_size_is_refused() -> None:
    sender = EventSender(Path("/nowhere"), 2)
    sent: list[bytes] = []
    sender.send = lambda message: not sent.append(message)  # type: ignore[method-assign]
    sender.add(event(1))
    assert sender.flush()
    assert decode_message(sent[0]) == Frame(2, 0, event(1))
    for wrong in (sent[0][:-1], sent[0] + b"x", sent[0][: 16 + EVENT_BYTES - 8]):
        with pytest.raises(ValueError, match="not an event frame"):
            decode_message(wrong)
