"""The connection to the broker for nodes by the thousand: as much of MQTT 5 as the fleet uses, in the clear.

It behaves as `proxy.control.sync.mqtt` does toward the broker (will, session, QoS 1 acknowledged both ways, properties
of each message) and costs a tenth of its time: aiomqtt makes a dictionary of all properties of MQTT for each message.
Numbers in comments are sections of the OASIS standard of MQTT 5.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from enum import IntEnum
from itertools import cycle

from proxy.control.sync.mqtt import (
    CONTENT_TYPE,
    KEEPALIVE_S,
    MAX_PACKET_BYTES,
    RECEIVE_MAXIMUM,
    SESSION_EXPIRY_S,
    TIMEOUT_S,
    WILL_DELAY_S,
    BrokerAddress,
    BrokerLost,
)
from proxy.control.sync.topics import Outgoing


class Kind(IntEnum):
    """2.1.2"""

    CONNECT = 1
    CONNACK = 2
    PUBLISH = 3
    PUBACK = 4
    SUBSCRIBE = 8
    SUBACK = 9
    PINGREQ = 12
    DISCONNECT = 14


SESSION_EXPIRY, RECEIVE_MAX, MAX_PACKET, WILL_DELAY, EXPIRY = b"\x11", b"\x21", b"\x27", b"\x18", b"\x02"  # 2.2.2.2
_CONTENT = b"\x03" + len(CONTENT_TYPE).to_bytes(2) + CONTENT_TYPE.encode()  # Content Type
_USER = b"\x26\x00\x01s\x00\x011"  # User Property s=1
QOS_1, NO_LOCAL, RETAIN = 2, 4, 1


def text(value: str) -> bytes:
    data = value.encode()
    return len(data).to_bytes(2) + data


def variable(value: int) -> bytes:
    """Variable Byte Integer (1.5.5)."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def packet(kind: int, flags: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return bytes([kind << 4 | flags]) + variable(len(body)) + body


def read_variable(data: bytes | bytearray, at: int) -> tuple[int, int]:
    """(value, where it ends); IndexError if it is not whole."""
    value = shift = 0
    while True:
        value |= (data[at] & 127) << shift
        at += 1
        if data[at - 1] < 128:
            return value, at
        shift += 7


def packets(buffer: bytearray) -> Iterator[tuple[int, bytes]]:
    """(first octet, rest) of each whole packet, taken off the buffer."""
    while len(buffer) > 1:
        try:
            length, at = read_variable(buffer, 1)
        except IndexError:
            return
        if len(buffer) < at + length:
            return
        first, body = buffer[0], bytes(buffer[at : at + length])
        del buffer[: at + length]
        yield first, body


def connect_packet(client_id: str, will: Outgoing) -> bytes:
    properties = SESSION_EXPIRY + SESSION_EXPIRY_S.to_bytes(4) + RECEIVE_MAX + RECEIVE_MAXIMUM.to_bytes(2)
    properties += MAX_PACKET + MAX_PACKET_BYTES.to_bytes(4)
    of_will = WILL_DELAY + WILL_DELAY_S.to_bytes(4) + EXPIRY + will.expiry_s.to_bytes(4) + _CONTENT
    flags = 0x04 | QOS_1 << 2 | 0x20  # a will, of QoS 1, retained; no clean start
    return packet(
        Kind.CONNECT,
        0,
        text("MQTT") + bytes([5, flags]) + KEEPALIVE_S.to_bytes(2),
        variable(len(properties)) + properties + text(client_id) + variable(len(of_will)) + of_will,
        text(will.topic) + len(will.payload).to_bytes(2) + will.payload,
    )


class PlainConnection(asyncio.Protocol):
    """What `proxy.control.sync.mqtt.BrokerConnection` names. `connected` is set by CONNACK."""

    def __init__(self) -> None:
        self.connected: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._acknowledged: dict[int, asyncio.Future[None]] = {}
        self._numbers = cycle(range(1, 65536))
        self._incoming: asyncio.Queue[tuple[str, bytes] | None] = asyncio.Queue()
        self._buffer = bytearray()
        self._lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        for waiting in (self.connected, *self._acknowledged.values()):
            if not waiting.done():
                waiting.set_exception(BrokerLost("the broker has closed the connection"))
                waiting.exception()  # whether anybody waits or not
        self._incoming.put_nowait(None)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        for first, body in packets(self._buffer):
            match first >> 4:
                case Kind.PUBLISH:
                    self._take(first, body)
                case Kind.PUBACK | Kind.SUBACK:
                    self._acknowledge(int.from_bytes(body[:2]))
                case Kind.CONNACK if body[1] == 0 and not self.connected.done():
                    self.connected.set_result(None)
                case Kind.CONNACK | Kind.DISCONNECT:
                    self.transport.close()

    async def subscribe(self, subscriptions: Sequence[tuple[str, int, bool]]) -> None:
        wanted = [text(topic) + bytes([qos | (NO_LOCAL if own else 0)]) for topic, qos, own in subscriptions]
        number = next(self._numbers)
        await self._send(number, packet(Kind.SUBSCRIBE, 2, number.to_bytes(2), b"\x00", *wanted))

    async def publish(self, message: Outgoing) -> None:
        number = next(self._numbers) if message.qos else 0
        properties = _CONTENT + _USER + (EXPIRY + message.expiry_s.to_bytes(4) if message.expiry_s else b"")
        flags = (QOS_1 if message.qos else 0) | (RETAIN if message.retain else 0)
        marked = number.to_bytes(2) if number else b""
        head = text(message.topic) + marked + variable(len(properties))
        await self._send(number, packet(Kind.PUBLISH, flags, head, properties, message.payload))

    async def messages(self) -> AsyncIterator[tuple[str, bytes]]:
        while (message := await self._incoming.get()) is not None:
            yield message
        raise BrokerLost("the broker has closed the connection")

    async def ping(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(KEEPALIVE_S)
            self.transport.write(packet(Kind.PINGREQ, 0))

    async def _send(self, number: int, data: bytes) -> None:
        """Returns when the broker has acknowledged the number, if it is one."""
        if self._lost:
            raise BrokerLost("there is no connection")
        self.transport.write(data)
        if number:
            done = self._acknowledged[number] = asyncio.get_running_loop().create_future()
            try:
                async with asyncio.timeout(TIMEOUT_S):
                    await done
            except TimeoutError:
                raise BrokerLost("the broker does not answer") from None
            finally:
                del self._acknowledged[number]

    def _acknowledge(self, number: int) -> None:
        done = self._acknowledged.get(number)
        if done is not None and not done.done():
            done.set_result(None)

    def _take(self, first: int, body: bytes) -> None:
        at = 2 + int.from_bytes(body[:2])
        topic = body[2:at].decode()
        if first & 6:  # its QoS is not 0
            self.transport.write(b"\x40\x02" + body[at : at + 2])  # PUBACK, all well (3.4.2.1)
            at += 2
        length, at = read_variable(body, at)
        self._incoming.put_nowait((topic, body[at + length :]))


@asynccontextmanager
async def connect(address: BrokerAddress, will: Outgoing) -> AsyncIterator[PlainConnection]:
    loop = asyncio.get_running_loop()
    try:
        _, connection = await loop.create_connection(PlainConnection, address.host, address.port)
    except OSError as refused:
        raise BrokerLost(str(refused)) from None
    connection.transport.write(connect_packet(address.client_id, will))
    pinging = loop.create_task(connection.ping())
    try:
        async with asyncio.timeout(TIMEOUT_S):
            await connection.connected
        yield connection
        connection.transport.write(packet(Kind.DISCONNECT, 0))
    except TimeoutError:
        raise BrokerLost("the broker does not answer") from None
    finally:
        pinging.cancel()
        connection.transport.close()
