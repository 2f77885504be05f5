"""A Kamailio that screens with callsieve as a plug-in (conf/kamailio), and the node beside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

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

[[policy]]
name = "default"
anonymous = "reject"

[[label]]
name = "loans"
text = "Suspected spam: loans"

[[list]]
name = "deny"
action = "deny"
file = "deny.txt"

[[list]]
name = "inbound-only"
action = "dno"
numbers = ["+862095588000"]

[[list]]
name = "suspected"
action = "tag"
label = "loans"
numbers = ["{suspected}"]

[[prefix_rule]]
name = "resale"
prefixes = ["+86170"]
points = 900

[[limit]]
name = "burst-caller"
key = "caller"
calls = {calls_a_minute}
period_s = 60
"""


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
