"""A Kamailio that screens with callsieve as a plug-in (conf/kamailio), and the node beside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests import policies
from tests.live.kamailio import KamailioFactory, PluggedKamailio
from tests.live.node import Node
from tests.live.programs import Ports

CALLS_A_MINUTE = 15
BESIDE = """\
[node]
name = "beside"
state_dir = "{state}"

[admin]
address = "{host}:{admin}"

[capacity]
reputation = 10000
rate_limiter = 10000

[redress]
url = "https://redress.example.net/r"

[plugin.tags]
display_name = "[SPAM?]"
call_info = true

[[trunk]]
name = "carrier"
sources = ["{host}"]
trusted = true
dial_plan = "cn"
policy = "default"

[[trunk]]
name = "transit"
sources = ["{transit}"]
dial_plan = "cn"
policy = "default"
""" + "".join(
    (
        policies.policy(anonymous="reject"),
        policies.label(),
        policies.deny_file(),
        policies.number_list("inbound-only", "dno", "+862095588000"),
        policies.suspected(),
        policies.resale(900),
        policies.burst("burst-caller", policies.Placeholder("{calls_a_minute}"), 60),
    )
)


@dataclass(frozen=True, slots=True)
class Beside:
    """callee_port: where Kamailio sends what goes on."""

    node: Node
    server: PluggedKamailio
    callee_port: int


def start_beside(
    start_node: Callable[..., Node], kamailio: KamailioFactory, ports: Ports, base: str = BESIDE, more: str = ""
) -> Beside:
    """base, more: TOML, as in `node.Setup`."""
    callee_port = ports.udp()
    node = start_node(callee_port, base=base, more=more, calls_a_minute=CALLS_A_MINUTE)
    return Beside(node, kamailio.plugged(callee_port, node.state), callee_port)
