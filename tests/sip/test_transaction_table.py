"""The state machines laid beside the figures of RFC 3261 section 17 and RFC 6026.

Every arrow of a figure is a row here; what is not here must do nothing. Transport errors are no input: over UDP nobody
reports them in time.
"""

from __future__ import annotations

import pytest

from proxy.sip.transaction import INPUT_NAMES, MACHINE_NAMES, STATE_NAMES, transition

Rows = dict[tuple[str, str], tuple[str, set[str]]]  # (state, input) -> (next state, actions)

# RFC 6026 figure 7. G and H start with the final response, I with the ACK, L with the 2xx.
INVITE_SERVER: Rows = {
    ("proceeding", "request"): ("proceeding", {"resend"}),
    ("proceeding", "1xx"): ("proceeding", {"pass"}),
    ("proceeding", "2xx"): ("accepted", {"pass", "stop retransmit", "arm linger"}),
    ("proceeding", "300-699"): ("completed", {"pass", "arm retransmit", "arm timeout"}),
    ("completed", "request"): ("completed", {"resend"}),
    ("completed", "retransmit"): ("completed", {"resend", "next retransmit"}),
    ("completed", "ack"): ("confirmed", {"stop retransmit", "arm linger T4"}),
    ("completed", "timeout"): ("free", {"timed out", "end"}),
    ("confirmed", "linger"): ("free", {"end"}),
    ("accepted", "2xx"): ("accepted", {"pass"}),
    ("accepted", "linger"): ("free", {"end"}),
}

# RFC 3261 figure 8. J starts with the final response.
NON_INVITE_SERVER: Rows = {
    ("trying", "1xx"): ("proceeding", {"pass"}),
    ("trying", "2xx"): ("completed", {"pass", "stop retransmit", "arm linger"}),
    ("trying", "300-699"): ("completed", {"pass", "stop retransmit", "arm linger"}),
    ("proceeding", "request"): ("proceeding", {"resend"}),
    ("proceeding", "1xx"): ("proceeding", {"pass"}),
    ("proceeding", "2xx"): ("completed", {"pass", "stop retransmit", "arm linger"}),
    ("proceeding", "300-699"): ("completed", {"pass", "stop retransmit", "arm linger"}),
    ("completed", "request"): ("completed", {"resend"}),
    ("completed", "linger"): ("free", {"end"}),
}

# RFC 6026 figure 5; Calling is called Trying. The time-out in Proceeding is timer C (RFC 3261 section 16.8), the
# proxy core's own.
INVITE_CLIENT: Rows = {
    ("trying", "retransmit"): ("trying", {"resend", "next retransmit"}),
    ("trying", "timeout"): ("free", {"timed out", "end"}),
    ("trying", "1xx"): ("proceeding", {"pass", "stop retransmit"}),
    ("trying", "2xx"): ("accepted", {"pass", "stop retransmit", "arm linger"}),
    ("trying", "300-699"): ("completed", {"pass", "ack", "stop retransmit", "arm linger"}),
    ("proceeding", "1xx"): ("proceeding", {"pass"}),
    ("proceeding", "timeout"): ("proceeding", {"timed out"}),
    ("proceeding", "2xx"): ("accepted", {"pass", "arm linger"}),
    ("proceeding", "300-699"): ("completed", {"pass", "ack", "arm linger"}),
    ("completed", "300-699"): ("completed", {"ack"}),
    ("completed", "linger"): ("free", {"end"}),
    ("accepted", "2xx"): ("accepted", {"pass"}),
    ("accepted", "linger"): ("free", {"end"}),
}

# RFC 3261 figure 6.
NON_INVITE_CLIENT: Rows = {
    ("trying", "retransmit"): ("trying", {"resend", "next retransmit"}),
    ("trying", "timeout"): ("free", {"timed out", "end"}),
    ("trying", "1xx"): ("proceeding", {"pass"}),
    ("trying", "2xx"): ("completed", {"pass", "stop retransmit", "arm linger T4"}),
    ("trying", "300-699"): ("completed", {"pass", "stop retransmit", "arm linger T4"}),
    ("proceeding", "retransmit"): ("proceeding", {"resend", "next retransmit"}),
    ("proceeding", "timeout"): ("free", {"timed out", "end"}),
    ("proceeding", "1xx"): ("proceeding", {"pass"}),
    ("proceeding", "2xx"): ("completed", {"pass", "stop retransmit", "arm linger T4"}),
    ("proceeding", "300-699"): ("completed", {"pass", "stop retransmit", "arm linger T4"}),
    ("completed", "linger"): ("free", {"end"}),
}

FIGURES = dict(zip(MACHINE_NAMES, (INVITE_SERVER, NON_INVITE_SERVER, INVITE_CLIENT, NON_INVITE_CLIENT), strict=True))


@pytest.mark.parametrize("machine", MACHINE_NAMES)
def test_machine_is_the_figure(machine: str) -> None:
    figure = FIGURES[machine]
    for state in STATE_NAMES:
        for event in INPUT_NAMES:
            expected = figure.get((state, event), (state, set()))
            assert transition(machine, state, event) == expected, (state, event)
