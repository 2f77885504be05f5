"""The stream edge over TLS, on loopback: who a certificate says a peer is, shared connections, renewal, handshakes."""

from __future__ import annotations

import asyncio
import gc
import shutil
import ssl
import weakref
from pathlib import Path

import msgspec
import pytest

from proxy.config import Configuration, Tls, Transport
from proxy.tls import TlsMaterial
from proxy.trunks import Routing, build_routing
from tests.certificates import Authority, Issued
from tests.proxy.playbook import CONFIGURATION
from tests.proxy.stream_play import LOOPBACK, StreamPlay, limits, numbered, run, until

TLS = Transport.TLS
TRUNKS = CONFIGURATION.replace('dial_plan = "cn"', 'tls_names = ["carrier.example.net"]\ndial_plan = "cn"')
LISTENER = '\n[[listener]]\nname = "secure"\naddress = "203.0.113.5:5061"\ntransport = "tls"\ntls = "public"\n'


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def carrier(authority: Authority) -> Issued:
    return authority.issue("carrier.example.net")


@pytest.fixture
def material(authority: Authority, tmp_path: Path) -> TlsMaterial:
    own = authority.issue("proxy.example.net", "DNS:proxy.example.net,IP:127.0.0.1")
    shutil.copy(own.certificate, tmp_path / "certificate.pem")
    shutil.copy(own.key, tmp_path / "key.pem")
    return TlsMaterial(
        Tls(
            name="public",
            certificate=str(tmp_path / "certificate.pem"),
            key=str(tmp_path / "key.pem"),
            client_ca=str(authority.certificate),
            server_ca=str(authority.certificate),
        )
    )


def client_context(authority: Authority, own: Issued | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(authority.certificate))
    if own is not None:
        context.load_cert_chain(own.certificate, own.key)
    return context


def server_context(own: Issued) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(own.certificate, own.key)
    return context


def routing(target: tuple[str, int] | None = None, name: str = "") -> Routing:
    """A trunk known by its certificate, and the gateway's first target with its name."""
    text = TRUNKS
    if target is not None:
        address = f'address = "{name}:{target[1]}", ips = ["{target[0]}"], transport = "tls"'
        text = text.replace('address = "198.51.100.20", priority = 1', address) + LISTENER
    return build_routing(msgspec.toml.decode(text, type=Configuration), 1)


# Who connects


def test_a_certificate_tells_the_trunk(authority: Authority, carrier: Issued, material: TlsMaterial) -> None:
    async def script(play: StreamPlay) -> None:
        play.edge.configure(routing())
        for own in (carrier, None, authority.issue("somebody.example.net")):
            _, writer = await play.connect(TLS, client_context(authority, own))
            writer.write(numbered(1))
            await writer.drain()
        await until(lambda: len(play.received) == 3)
        assert sorted(received.tls_trunk for received in play.received) == [-1, -1, 0]

    run(script, StreamPlay(tls=material))


def test_a_reload_tells_open_connections_anew(authority: Authority, carrier: Issued, material: TlsMaterial) -> None:
    async def script(play: StreamPlay) -> None:
        _, writer = await play.connect(TLS, client_context(authority, carrier))
        writer.write(numbered(1))
        await until(lambda: play.received)
        play.edge.configure(routing())
        writer.write(numbered(2))
        await until(lambda: len(play.received) == 2)
        assert [received.tls_trunk for received in play.received] == [-1, 0]

    run(script, StreamPlay(tls=material))


def test_a_certificate_of_another_authority_is_refused(
    tmp_path: Path, authority: Authority, material: TlsMaterial
) -> None:
    stranger = Authority(tmp_path, "stranger").issue("carrier.example.net")

    async def script(play: StreamPlay) -> None:
        with pytest.raises((ssl.SSLError, ConnectionError, EOFError)):
            reader, writer = await play.connect(TLS, client_context(authority, stranger))
            writer.write(numbered(1))
            await reader.readexactly(1)
        await until(lambda: play.counters["tls_failures"] == 1 and play.edge.open_connections == 0)
        assert play.received == []

    run(script, StreamPlay(tls=material))


# RFC 5923


def aliased(port: int) -> bytes:
    via = f"Via: SIP/2.0/TLS {LOOPBACK}:{port};branch=z9hG4bK-1;alias"
    return numbered(1).replace(b"Via: SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bK-1", via.encode())


@pytest.mark.parametrize(("name", "is_shared"), [("carrier.example.net", True), ("other.example.net", False)])
def test_an_alias_is_believed_of_who_has_the_certificate(
    authority: Authority, carrier: Issued, material: TlsMaterial, name: str, is_shared: bool
) -> None:
    async def script(play: StreamPlay) -> None:
        play.edge.configure(routing((LOOPBACK, 5999), name))
        reader, writer = await play.connect(TLS, client_context(authority, carrier))
        writer.write(aliased(5999))
        await until(lambda: play.received)
        play.send((LOOPBACK, 5999), 3, numbered(2), TLS)
        if is_shared:
            assert await reader.readexactly(len(numbered(2))) == numbered(2)
        else:
            await until(lambda: play.failed == [3])

    run(script, StreamPlay(tls=material))


def test_an_alias_without_a_certificate_counts_for_nothing(authority: Authority, material: TlsMaterial) -> None:
    async def script(play: StreamPlay) -> None:
        _, writer = await play.connect(TLS, client_context(authority))
        writer.write(aliased(5999))
        await until(lambda: play.received)
        play.send((LOOPBACK, 5999), 3, numbered(2), TLS)
        await until(lambda: play.failed == [3])

    run(script, StreamPlay(tls=material))


# Whom we connect to (RFC 5922 section 7.3)


@pytest.mark.parametrize(
    ("name", "san", "is_reached"),
    [
        ("gateway.example.net", "DNS:gateway.example.net", True),
        ("gateway.example.net", "URI:sip:gateway.example.net", True),
        ("gateway.example.net", "DNS:gateway.example.net,URI:sip:other.example.net", False),
        ("gateway.example.net", "DNS:*.example.net", False),
        ("gateway.example.net", "DNS:other.example.net", False),
        ("127.0.0.1", "IP:127.0.0.1", True),
        ("127.0.0.1", "DNS:gateway.example.net", False),
    ],
)
def test_a_target_must_be_who_it_is_called(
    authority: Authority, material: TlsMaterial, name: str, san: str, is_reached: bool
) -> None:
    issued = authority.issue("target", san)

    async def script(play: StreamPlay) -> None:
        got: list[bytes] = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            got.append(await reader.read(65536))

        server = await asyncio.start_server(serve, LOOPBACK, 0, ssl=server_context(issued))
        address = server.sockets[0].getsockname()[:2]
        play.edge.configure(routing(address, name) if name != LOOPBACK else routing())
        play.send(address, 8, numbered(1), TLS)
        if is_reached:
            await until(lambda: got)
            assert (got, play.failed) == ([numbered(1)], [])
        else:
            await until(lambda: play.failed == [8])
            assert b"".join(got) == b""
        server.close()

    run(script, StreamPlay(tls=material))


def test_a_target_that_speaks_no_tls_fails(material: TlsMaterial) -> None:
    async def script(play: StreamPlay) -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(10)
            writer.write(b"SIP/2.0 400 Bad Request\r\n\r\n")

        server = await asyncio.start_server(serve, LOOPBACK, 0)
        play.send(server.sockets[0].getsockname()[:2], 8, numbered(1), TLS)
        await until(lambda: play.failed == [8])
        server.close()

    run(script, StreamPlay(tls=material))


# Handshakes and renewal


def test_t5_a_handshake_that_is_not_finished_ends_the_connection(authority: Authority, material: TlsMaterial) -> None:
    async def script(play: StreamPlay) -> None:
        silent = [await asyncio.open_connection(LOOPBACK, play.port(TLS)) for _ in range(20)]
        _, writer = await play.connect(TLS, client_context(authority))
        writer.write(numbered(1))
        await until(lambda: play.received)
        for reader, _ in silent:
            assert await reader.read() == b""
        await until(lambda: play.edge.open_connections == 1)
        assert play.counters["tls_failures"] == 20

    run(script, StreamPlay(limits(handshake_timeout_s=0.5), material))


def test_t4_renewal_drops_no_connection(authority: Authority, material: TlsMaterial) -> None:
    async def script(play: StreamPlay) -> None:
        reader, writer = await play.connect(TLS, client_context(authority))
        for number in range(3):
            new = authority.issue(f"proxy-{number}", "DNS:proxy.example.net,IP:127.0.0.1")
            shutil.copy(new.key, material.settings.key)
            shutil.copy(new.certificate, material.settings.certificate)
            assert material.renew()
            _, fresh = await play.connect(TLS, client_context(authority))
            served = fresh.get_extra_info("ssl_object").getpeercert(binary_form=True)
            assert served == ssl.PEM_cert_to_DER_cert(new.certificate.read_text())
            for each in (writer, fresh):
                each.write(numbered(number))
            await until(lambda number=number: len(play.received) == 2 * (number + 1))
        assert not reader.at_eof()

    run(script, StreamPlay(tls=material))


def test_t4_a_connection_that_has_ended_takes_its_context_with_it(material: TlsMaterial, authority: Authority) -> None:
    """At once, and not whenever the collector of cycles comes: each would hold a context that is no longer in use."""

    async def script(play: StreamPlay) -> None:
        _, writer = await play.connect(TLS, client_context(authority))
        await until(lambda: play.edge.open_connections == 1)
        (connection,) = [weakref.ref(each) for each in play.edge._flows.values()]
        gc.disable()
        try:
            writer.close()
            await until(lambda: connection() is None)
        finally:
            gc.enable()

    run(script, StreamPlay(tls=material))
