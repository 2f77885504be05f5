"""Kamailio as a neighbour of the proxy: it relays every new call to one place, and stays in the path (Record-Route)."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.certificates import Authority
from tests.live.programs import LOOPBACK, Ports, Program, is_bound, require, wait_until

ROOT = Path(__file__).parents[2]
MODULES = Path("/usr/lib/x86_64-linux-gnu/kamailio/modules")
CONFIG = """\
#!KAMAILIO
debug=2
log_stderror=yes
fork=yes
children=1
tcp_children=1
auto_aliases=no
dns_try_ipv6=off
enable_tls=yes
tcp_source_ipv4={host}
listen=udp:{host}:{port}
listen=tcp:{host}:{port}
listen=tls:{host}:{tls_port}
mpath="{modules}/"
loadmodule "tls.so"
loadmodule "sl.so"
loadmodule "tm.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "xlog.so"
modparam("tls", "config", "{directory}/tls.cfg")
modparam("tm", "fr_timer", 5000)
request_route {{
    xlog("L_NOTICE", "got $rm over $proto\\n");
    if (!mf_process_maxfwd_header("10")) {{ sl_send_reply("483", "Too Many Hops"); exit; }}
    if (is_method("CANCEL")) {{ if (t_check_trans()) t_relay(); exit; }}
    if (has_totag()) {{
        if (loose_route() || (is_method("ACK") && t_check_trans())) t_relay();
        exit;
    }}
    t_check_trans();
    if (is_method("INVITE")) record_route();
    $du = "{next_hop}";
    if (!t_relay()) sl_reply_error();
}}
"""
TLS = """\
[server:default]
method = TLSv1.2+
verify_certificate = no
require_certificate = no
private_key = {key}
certificate = {certificate}
[client:default]
method = TLSv1.2+
verify_certificate = yes
require_certificate = yes
ca_list = {authority}
"""


class Kamailio(Program):
    """Listens on `host`: UDP and TCP on `port`, TLS on `tls_port`. next_hop: a SIP URI."""

    def __init__(
        self, directory: Path, ports: Ports, name: str, host: str, next_hop: str, authority: Authority
    ) -> None:
        binary = require("kamailio", "kamailio")
        self.host, self.port, self.tls_port = host, ports.tcp(), ports.tcp()
        home = directory / name
        home.mkdir()
        issued = authority.issue(name, f"IP:{host}")
        (home / "tls.cfg").write_text(
            TLS.format(key=issued.key, certificate=issued.certificate, authority=authority.certificate)
        )
        (home / "kamailio.cfg").write_text(
            CONFIG.format(
                host=host, port=self.port, tls_port=self.tls_port, modules=MODULES, directory=home, next_hop=next_hop
            )
        )
        memory = ("-m", "64", "-M", "8")
        super().__init__(
            [binary, "-DD", "-E", "-f", str(home / "kamailio.cfg"), "-w", str(home), "-Y", str(home), *memory],
            directory,
            name,
        )
        wait_until(self._listens, f"{name} to listen; it said:\n{self.tail()}", 15)

    def port_of(self, transport: str) -> int:
        return self.tls_port if transport == "tls" else self.port

    def heard(self, method: str) -> list[str]:
        """Over which transports it got requests of this method, lower case."""
        lines = (line.partition(f"got {method} over ") for line in self.output().splitlines())
        return [rest.strip().lower() for _, found, rest in lines if found]

    def _listens(self) -> bool:
        if self.exit_code is not None:
            pytest.fail(f"{self.name} ended with {self.exit_code}:\n{self.tail()}")
        return is_bound(self.port, "udp") and all(is_bound(port, "tcp") for port in (self.port, self.tls_port))


class PluggedKamailio(Program):
    """conf/kamailio as it stands, on UDP, with callsieve's node in state_dir. children: processes that take calls."""

    def __init__(self, directory: Path, ports: Ports, next_hop: str, state_dir: Path, children: int) -> None:
        binary = require("kamailio", "kamailio")
        self.port = ports.udp()
        script = ROOT / "conf/kamailio/callsieve.py"
        defined = {
            "LISTEN": f"udp:{LOOPBACK}:{self.port}",
            "NEXT_HOP": next_hop,
            "STATE_DIR": str(state_dir),
            "SCRIPT": f'"{script}"',
            "CHILDREN": str(children),
        }
        arguments = [word for name, text in defined.items() for word in ("-A", f"{name}={text}")]
        home = directory / "kamailio-plugged"
        home.mkdir()
        packages = [path for path in sys.path if path.endswith("-packages")]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *packages])}
        file = str(ROOT / "conf/kamailio/kamailio.cfg")
        places = ("-f", file, "-w", str(home), "-Y", str(home), "-m", "64", "-M", "8")
        super().__init__([binary, "-DD", "-E", *places, *arguments], directory, "kamailio-plugged", environment)
        wait_until(self._listens, f"Kamailio to listen; it said:\n{self.tail()}", 15)

    def _listens(self) -> bool:
        if self.exit_code is not None:
            pytest.fail(f"{self.name} ended with {self.exit_code}:\n{self.tail()}")
        return is_bound(self.port, "udp")


class KamailioFactory:
    """Starts servers in one test's directory, with certificates of one authority."""

    def __init__(self, directory: Path, ports: Ports) -> None:
        if not (MODULES / "tls.so").exists():
            pytest.fail(f"{MODULES}/tls.so is missing: `make deps` installs it (kamailio-tls-modules)", pytrace=False)
        self.authority = Authority(directory)
        self._directory = directory
        self._ports = ports
        self._started: list[Program] = []

    def server(self, host: str, next_hop: str) -> Kamailio:
        name = f"kamailio-{len(self._started)}"
        server = Kamailio(self._directory, self._ports, name, host, next_hop, self.authority)
        self._started.append(server)
        return server

    def plugged(self, next_hop_port: int, state_dir: Path, children: int = 4) -> PluggedKamailio:
        if not (MODULES / "app_python3.so").exists():
            missing = "app_python3.so is missing: `make deps` installs it (kamailio-python3-modules)"
            pytest.fail(f"{MODULES}/{missing}", pytrace=False)
        next_hop = f"sip:{LOOPBACK}:{next_hop_port}"
        server = PluggedKamailio(self._directory, self._ports, next_hop, state_dir, children)
        self._started.append(server)
        return server

    def stop(self) -> None:
        for server in self._started:
            server.stop()
