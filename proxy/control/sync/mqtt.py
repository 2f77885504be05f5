"""The connection to the broker, behind one small interface: MQTT 5 by aiomqtt.

Nothing relies on delivery. The client library acknowledges QoS 1 before we have the message, and a full queue of what
came in loses the newest; the digests find out.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

import aiomqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from proxy.control.sync.topics import Outgoing

CONTENT_TYPE = "application/vnd.callsieve.batch"
SESSION_EXPIRY_S = 300
RECEIVE_MAXIMUM = 16  # mosquitto has at most 20 in flight
MAX_PACKET_BYTES = 131_072
MAX_INCOMING = 10_000
KEEPALIVE_S = 15
TIMEOUT_S = 10.0
WILL_DELAY_S = 10

_quiet = logging.getLogger("callsieve.mqtt")
_quiet.addHandler(logging.NullHandler())
_quiet.propagate = False


class BrokerLost(Exception):
    """The broker refused, went away, or does not answer; the text says which."""


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """client_id: without `#`, `+` and `/`. tls: None = in the clear, for loopback."""

    host: str
    port: int
    client_id: str
    tls: ssl.SSLContext | None = None


class BrokerConnection(Protocol):
    """One connection, from CONNACK to the end. Each of its methods raises BrokerLost when that has come."""

    async def subscribe(self, subscriptions: Sequence[tuple[str, int, bool]]) -> None:
        """(filter, QoS, no-local) each."""

    async def publish(self, message: Outgoing) -> None:
        """Returns when the broker has acknowledged it, at once with QoS 0."""

    def messages(self) -> AsyncIterator[tuple[str, bytes]]:
        """(topic, payload) until the connection ends."""


Connect = Callable[[BrokerAddress, Outgoing], AbstractAsyncContextManager[BrokerConnection]]


class _Connection:
    """By aiomqtt."""

    def __init__(self, client: aiomqtt.Client) -> None:
        self._client = client

    async def subscribe(self, subscriptions: Sequence[tuple[str, int, bool]]) -> None:
        wanted = [(topic, SubscribeOptions(qos=qos, noLocal=no_local)) for topic, qos, no_local in subscriptions]
        try:
            await self._client.subscribe(wanted)
        except aiomqtt.MqttError as lost:
            raise BrokerLost(str(lost)) from None

    async def publish(self, message: Outgoing) -> None:
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        properties.ContentType = CONTENT_TYPE
        properties.UserProperty = ("s", "1")
        if message.expiry_s:
            properties.MessageExpiryInterval = message.expiry_s
        try:
            await self._client.publish(
                message.topic, message.payload, message.qos, message.retain, properties, timeout=TIMEOUT_S
            )
        except (aiomqtt.MqttError, ValueError) as lost:
            raise BrokerLost(str(lost)) from None

    async def messages(self) -> AsyncIterator[tuple[str, bytes]]:
        try:
            async for message in self._client.messages:
                if isinstance(message.payload, bytes):
                    yield message.topic.value, message.payload
        except aiomqtt.MqttError as lost:
            raise BrokerLost(str(lost)) from None


@asynccontextmanager
async def connect(address: BrokerAddress, will: Outgoing) -> AsyncIterator[BrokerConnection]:
    """Connects, or raises BrokerLost. will: what the broker is to say when the connection is lost."""
    client = aiomqtt.Client(
        address.host,
        address.port,
        identifier=address.client_id,
        protocol=aiomqtt.ProtocolVersion.V5,
        clean_start=False,
        properties=_connect_properties(),
        will=aiomqtt.Will(will.topic, will.payload, 1, True, _will_properties(will)),
        keepalive=KEEPALIVE_S,
        timeout=TIMEOUT_S,
        tls_context=address.tls,
        max_queued_incoming_messages=MAX_INCOMING,
        max_inflight_messages=RECEIVE_MAXIMUM,
        logger=_quiet,
    )
    try:
        await client.__aenter__()
    except (aiomqtt.MqttError, OSError) as refused:
        raise BrokerLost(str(refused)) from None
    try:
        yield _Connection(client)
    finally:
        try:
            await client.__aexit__(None, None, None)
        except aiomqtt.MqttError:
            _quiet.debug("the connection was gone before it was closed")


def _connect_properties() -> Properties:
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.SessionExpiryInterval = SESSION_EXPIRY_S
    properties.ReceiveMaximum = RECEIVE_MAXIMUM
    properties.MaximumPacketSize = MAX_PACKET_BYTES
    return properties


def _will_properties(will: Outgoing) -> Properties:
    properties = Properties(PacketTypes.WILLMESSAGE)  # type: ignore[no-untyped-call]
    properties.WillDelayInterval = WILL_DELAY_S
    properties.MessageExpiryInterval = will.expiry_s
    properties.ContentType = CONTENT_TYPE
    return properties
