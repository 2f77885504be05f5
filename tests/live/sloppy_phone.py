"""pyVoIP as a phone: one call, every status it receives printed on a line of its own. Runs until it is stopped.

    python -m tests.live.sloppy_phone PROXY_PORT OWN_PORT NUMBER CALLEE     calls
    python -m tests.live.sloppy_phone PROXY_PORT OWN_PORT NUMBER            answers who calls, and hangs up

pyVoIP never acknowledges a 603 and waits for ever after one, which is why it has a process of its own.
"""

from __future__ import annotations

import sys
import threading
import time

import pyVoIP.VoIP  # before pyVoIP.SIP, which imports it in a circle
from pyVoIP.SIP import SIPMessage

LOOPBACK = "127.0.0.1"
TALK_S = 0.5


def report(message: SIPMessage) -> None:
    if message.heading.startswith(b"SIP/2.0"):
        print(message.headers["CSeq"]["method"], int(message.status), flush=True)


def answer(call: pyVoIP.VoIP.VoIPCall) -> None:
    call.answer()
    print("answered", flush=True)
    time.sleep(TALK_S)
    call.hangup()


def main(proxy_port: int, own_port: int, number: str, callee: str | None = None) -> None:
    phone = pyVoIP.VoIP.VoIPPhone(
        LOOPBACK, proxy_port, number, "", callCallback=answer, myIP=LOOPBACK, sipPort=own_port
    )
    handle = phone.sip.parse_message

    def parse_message(message: SIPMessage) -> None:
        report(message)
        handle(message)

    phone.sip.parse_message = parse_message  # type: ignore[method-assign]
    phone.sip.register = lambda: True  # type: ignore[method-assign]  # a trunk has no registrar
    phone.start()
    if callee is None:
        print("waiting", flush=True)
    else:
        print("calling", flush=True)
        threading.Thread(target=phone.call, args=(callee,), daemon=True).start()
    while True:
        time.sleep(0.1)
        for call in list(phone.calls.values()):
            print(call.state.value, flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
