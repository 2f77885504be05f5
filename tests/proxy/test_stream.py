"""The stream edge over TCP and WebSocket, on loopback: flows, connections on demand, limits, and what is lost."""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import suppress

import pytest
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from proxy.config import Transport
from tests.proxy.stream_play import LOOPBACK, StreamPlay, limits, numbered, run, until

OK = b"SIP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n"


def test_answers_go_back_by_the_flow_of_the_request() -> None:
    async def script(play: StreamPlay) -> None:
        play.answer = lambda received: OK
        ends = [await play.connect() for _ in range(3)]
        for number, (_, writer) in enumerate(ends):
            for byte in numbered(number):
                writer.write(bytes((byte,)))
                await asyncio.sleep(0)
        for reader, _ in ends:
            assert await reader.readexactly(len(OK)) == OK
        assert sorted(received.data for received in play.received) == [numbered(number) for number in range(3)]
        assert len({received.flow for received in play.received}) == 3
        assert 0 not in {received.flow for received in play.received}

    run(script, StreamPlay())


def test_pings_are_answered_between_messages() -> None:
    async def script(play: StreamPlay) -> None:
        reader, writer = await play.connect()
        writer.write(b"\r\n\r\n" + numbered(1) + b"\r\n\r\n")
        assert await reader.readexactly(4) == b"\r\n\r\n"
        assert len(play.received) == 1

    run(script, StreamPlay())


def test_lost_framing_is_answered_and_then_the_connection_ends() -> None:
    async def script(play: StreamPlay) -> None:
        play.answer = lambda received: OK if received.refusal else b""
        reader, writer = await play.connect()
        bad = numbered(1).replace(b"Content-Length: 0", b"Content-Length: +0")
        writer.write(bad + numbered(2) * 1000)
        assert await reader.read() == OK
        await until(lambda: play.edge.open_connections == 0)
        assert [(received.data, received.refusal) for received in play.received] == [(bad, 400)]
        assert play.counters["framing_errors"] == 1

    run(script, StreamPlay())


def test_bytes_that_have_killed_workers_end_the_connection() -> None:
    async def script(play: StreamPlay) -> None:
        play.answer = lambda received: OK
        play.deadly = {numbered(2)}
        reader, writer = await play.connect()
        writer.write(numbered(1) + numbered(2) + numbered(3))
        with suppress(ConnectionError):  # a reset, since more was sent than was looked at
            await reader.read()
        await until(lambda: play.edge.open_connections == 0)
        assert [received.data for received in play.received] == [numbered(1)]

    run(script, StreamPlay())


@pytest.mark.parametrize("reads", [False, True])
def test_only_who_is_not_read_pauses_between_turns(monkeypatch: pytest.MonkeyPatch, reads: bool) -> None:
    monkeypatch.setattr("proxy.stream._UNREAD_PAUSE_S", 3600.0)

    async def script(play: StreamPlay) -> None:
        play.reads = reads
        (_, busy), (_, other) = [await play.connect() for _ in range(2)]
        busy.write(numbered(1) * 640)
        await until(lambda: len(play.received) == (640 if reads else 64))
        other.write(numbered(2))
        await until(lambda: play.received[-1].data == numbered(2))
        assert len(play.received) == (641 if reads else 65)

    run(script, StreamPlay())


# Connections that we open


async def peer(received: list[bytes]) -> tuple[asyncio.Server, tuple[str, int]]:
    """A server that keeps what it gets, a connection each."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        place = len(received)
        received.append(b"")
        while data := await reader.read(65536):
            received[place] += data
        writer.close()

    server = await asyncio.start_server(serve, LOOPBACK, 0)
    return server, server.sockets[0].getsockname()[:2]


def test_requests_wait_for_the_connection_and_share_it() -> None:
    async def script(play: StreamPlay) -> None:
        received: list[bytes] = []
        server, address = await peer(received)
        for number in range(5):
            play.send(address, number + 1, numbered(number))
        await until(lambda: received and received[0].count(b"INVITE sip:") == 5)
        play.send(address, 9, numbered(5))
        await until(lambda: received[0].count(b"INVITE sip:") == 6)
        assert received == [b"".join(numbered(number) for number in range(6))]
        assert (play.failed, play.counters["connections_opened"]) == ([], 1)
        server.close()

    run(script, StreamPlay())


def test_what_comes_back_by_a_connection_of_ours_is_received() -> None:
    async def script(play: StreamPlay) -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(10)
            writer.write(OK)

        server = await asyncio.start_server(serve, LOOPBACK, 0)
        address = server.sockets[0].getsockname()[:2]
        play.send(address, 1, numbered(1))
        await until(lambda: play.received)
        assert (play.received[0].data, play.received[0].source) == (OK, address)
        server.close()

    run(script, StreamPlay())


def test_a_refused_connection_fails_every_request_that_waited() -> None:
    async def script(play: StreamPlay) -> None:
        with socket.create_server((LOOPBACK, 0)) as gone:
            address = gone.getsockname()
        for token in (1, 2, 0, 3):
            play.send(address, token, numbered(token))
        await until(lambda: play.failed)
        assert (play.failed, play.edge.open_connections) == ([1, 2, 3], 0)
        play.send(address, 4, numbered(4))
        await until(lambda: play.failed == [1, 2, 3, 4])

    run(script, StreamPlay())


def test_a_silent_destination_fails_at_the_connect_timeout() -> None:
    async def script(play: StreamPlay) -> None:
        with socket.create_server((LOOPBACK, 0), backlog=0) as full:
            held = []
            for _ in range(4):  # fills the queue: further SYNs are dropped
                end = socket.socket()
                end.setblocking(False)
                end.connect_ex(full.getsockname())
                held.append(end)
            play.send(full.getsockname(), 7, numbered(1))
            await until(lambda: play.failed == [7])
            for end in held:
                end.close()

    run(script, StreamPlay())


def test_a_connection_that_ends_makes_room_for_a_new_one() -> None:
    async def script(play: StreamPlay) -> None:
        received: list[bytes] = []
        server, address = await peer(received)
        play.send(address, 1, numbered(1))
        await until(lambda: received and received[0])
        (flow,) = play.edge._flows
        play.edge._flows[flow].abort()
        await until(lambda: play.edge.open_connections == 0)
        play.send(address, 2, numbered(2))
        await until(lambda: len(received) == 2 and received[1])
        assert play.failed == []
        server.close()

    run(script, StreamPlay())


def test_an_answer_whose_connection_is_gone_goes_by_a_new_one() -> None:
    async def script(play: StreamPlay) -> None:
        received: list[bytes] = []
        server, (ip, port) = await peer(received)
        play.edge.send(play.index[Transport.TCP], ip, port, 77, 0, OK)
        await until(lambda: received == [OK])
        server.close()

    run(script, StreamPlay())


def test_plain_tcp_is_not_shared_whatever_it_says() -> None:
    """RFC 5923 section 9.2: without a certificate `alias` counts for nothing."""

    async def script(play: StreamPlay) -> None:
        _, writer = await play.connect()
        with socket.create_server((LOOPBACK, 0)) as closed:
            claimed = closed.getsockname()[1]
        via = f"Via: SIP/2.0/TCP {LOOPBACK}:{claimed};branch=z9hG4bK-1;alias"
        lines = numbered(1).replace(b"Via: SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bK-1", via.encode())
        writer.write(lines)
        await until(lambda: play.received)
        play.send((LOOPBACK, claimed), 5, numbered(2))
        await until(lambda: play.failed == [5])
        assert play.received[0].data == lines

    run(script, StreamPlay())


def test_a_phone_is_reached_where_its_connection_comes_from() -> None:
    """Its Contact is the end of its connection, and nobody listens there."""

    async def script(play: StreamPlay) -> None:
        reader, writer = await play.connect()
        writer.write(numbered(1))
        await until(lambda: play.received)
        play.send(writer.get_extra_info("sockname"), 5, numbered(2))
        assert await reader.readexactly(len(numbered(2))) == numbered(2)
        writer.close()
        await until(lambda: play.edge.open_connections == 0)
        play.send(writer.get_extra_info("sockname"), 6, numbered(3))
        await until(lambda: play.failed == [6])

    run(script, StreamPlay())


def test_a_flow_of_another_worker_is_passed_on() -> None:
    async def script(play: StreamPlay) -> None:
        play.edge.send(play.index[Transport.TCP], LOOPBACK, 5060, 1 << 24 | 9, 0, OK)
        assert play.passed_on == [(1, 1 << 24 | 9)]
        _, writer = await play.connect()
        writer.write(numbered(1))
        await until(lambda: play.received)
        assert play.received[0].flow >> 24 == 3

    run(script, StreamPlay(worker=3))


# Limits


def test_a_message_that_is_not_finished_in_time_ends_the_connection() -> None:
    async def script(play: StreamPlay) -> None:
        reader, writer = await play.connect()
        idle_reader, _ = await play.connect()
        writer.write(numbered(1) + b"INVITE")
        assert await reader.read() == b""
        assert not idle_reader.at_eof()
        assert (len(play.received), play.counters["connection_timeouts"]) == (1, 1)

    run(script, StreamPlay())


def test_a_connection_without_traffic_ends() -> None:
    async def script(play: StreamPlay) -> None:
        reader, writer = await play.connect()
        writer.write(numbered(1))
        assert await reader.read() == b""
        assert len(play.received) == 1

    run(script, StreamPlay(limits(idle_timeout_s=1.0)))


def test_t6_a_peer_that_takes_nothing_is_cut_off_and_its_requests_fail() -> None:
    async def script(play: StreamPlay) -> None:
        with socket.create_server((LOOPBACK, 0)) as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            address = deaf.getsockname()
            play.send(address, 1, numbered(1))
            await until(lambda: play.edge.open_connections and play.edge._flows[1]._transport)
            sent = 1
            while play.edge.open_connections and sent < 2000:
                sent += 1
                play.send(address, sent, numbered(sent, b"x" * 20_000))
                await asyncio.sleep(0)
            await until(lambda: play.failed)
            assert play.counters["write_queue_overflows"] == 1
            assert play.failed[0] > 1, "what had left has not failed"
            assert play.failed == sorted(play.failed)

    run(script, StreamPlay())


def test_t2_a_flood_on_one_connection_does_not_keep_others_waiting() -> None:
    async def script(play: StreamPlay) -> None:
        _, flood = await play.connect()
        other_reader, other = await play.connect()
        play.answer = lambda received: OK if b"sip:7@" in received.data else b""
        flood.write(numbered(1) * 20_000)
        other.write(numbered(7))
        assert await other_reader.readexactly(len(OK)) == OK
        before = len(play.received)
        assert before < 15_000, "the other's turn came in the middle of the flood"
        await until(lambda: len(play.received) == 20_001, 15)

    run(script, StreamPlay())


def test_t3_requests_and_then_a_reset_leave_nothing_behind() -> None:
    async def script(play: StreamPlay) -> None:
        for _ in range(50):
            end = socket.create_connection((LOOPBACK, play.port()))
            end.sendall(numbered(1) * 10)
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            end.close()
            await asyncio.sleep(0)
        await until(lambda: play.counters["connections_accepted"] == 50 and play.edge.open_connections == 0)
        assert play.edge._admission.open == 0
        assert not play.edge._tasks

    run(script, StreamPlay())


def test_t2_connections_beyond_the_cap_are_closed_at_once() -> None:
    async def script(play: StreamPlay) -> None:
        ends = [await play.connect() for _ in range(5)]
        for _ in range(3):
            with pytest.raises(ConnectionResetError):
                await (await play.connect())[0].readexactly(1)
        await until(lambda: play.counters["connections_accepted"] == 5)
        assert (play.counters["connections_refused"], play.edge.open_connections) == (3, 5)
        ends[0][1].close()
        await until(lambda: play.edge.open_connections == 4)
        await play.connect()
        await until(lambda: play.edge.open_connections == 5)

    run(script, StreamPlay(limits(max_connections_per_source=5)))


# WebSocket


def test_a_websocket_client_is_answered_by_its_flow_and_never_called() -> None:
    async def script(play: StreamPlay) -> None:
        play.answer = lambda received: OK
        uri = f"ws://{LOOPBACK}:{play.port(Transport.WS)}"
        async with connect(uri, subprotocols=[Subprotocol("sip")], proxy=None) as client:
            await client.send(numbered(1).decode())
            assert await client.recv() == OK.decode()
            (received,) = play.received
            play.edge.send(received.listener, *received.source, received.flow, 1, numbered(2))
            assert await client.recv() == numbered(2).decode()
        await until(lambda: play.edge.open_connections == 0)
        play.edge.send(received.listener, *received.source, received.flow, 2, numbered(3))
        await until(lambda: play.failed == [2])

    run(script, StreamPlay())


def test_websocket_clients_are_pinged() -> None:
    async def script(play: StreamPlay) -> None:
        uri = f"ws://{LOOPBACK}:{play.port(Transport.WS)}"
        async with connect(uri, subprotocols=[Subprotocol("sip")], proxy=None, ping_interval=None) as client:
            connection = play.edge._flows[1]
            before = connection._written
            await until(lambda: connection._written > before)
            assert client.state.name == "OPEN"

    run(script, StreamPlay(limits(websocket_ping_s=0.1)))


def test_a_handshake_that_is_not_finished_ends_the_connection() -> None:
    async def script(play: StreamPlay) -> None:
        reader, writer = await play.connect(Transport.WS)
        assert await reader.read() == b""
        reader, writer = await play.connect(Transport.WS)
        writer.write(b"GET / HTTP/1.1\r\n")
        assert await reader.read() == b""

    run(script, StreamPlay())
