"""pyVoIP as a phone: one call, every status it receives printed on a line of its own. Runs until it is stopped.

    python -m tests.live.sloppy_phone PROXY_PORT OWN_PORT CALLER CALLEE

pyVoIP never acknowledges a 603 and waits for ever after one, which is why it has a process of its own.
"""

from __future__ import annotations

import sys
import threading
import time

import pyVoIP.VoIP  # before pyVoIP.SIP, which imports it in a circle
from pyVoIP.SIP import SIPMessage

LOOPBACK = "127.0.0.1"


def report(message: SIPMessage) -> None:
    if message.heading.startswith(b"SIP/2.0"):
        print(message.headers["CSeq"]["method"], int(message.status), flush=True)


def main(proxy_port: int, own_port: int, caller: str, callee: str) -> None:
    phone = pyVoIP.VoIP.VoIPPhone(LOOPBACK, proxy_port, caller, "", myIP=LOOPBACK, sipPort=own_port)
    handle = phone.sip.parse_message

    def parse_message(message: SIPMessage) -> None:
        report(message)
        handle(message)

    phone.sip.parse_message = parse_message  # type: ignore[method-assign]
    phone.sip.register = lambda: True  # type: ignore[method-assign]  # a trunk has no registrar
    phone.start()
    print("calling", flush=True)
    threading.Thread(target=phone.call, args=(callee,), daemon=True).start()
    while True:
        time.sleep(0.1)
        for call in list(phone.calls.values()):
            print(call.state.value, flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4])
