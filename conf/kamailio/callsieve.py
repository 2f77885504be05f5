"""KEMI script of Kamailio that screens calls with callsieve (docs/kamailio.md).

What belongs to callsieve is in `Calls` and the three `ksr_` functions at the end of this file; the routing around it is
the least that a proxy needs. A Kamailio with a script of its own takes over the marked lines of `ksr_request_route`.
"""

import functools
import re
import traceback

import KSR

from engine import Action
from proxy.plugin import Plugin, record_text

REFUSED_AS_UNWANTED = re.compile(r"(?i)\s*SIP\s*;(?:[^,]*;)?\s*cause\s*=\s*607\b")  # RFC 8197 section 4
UNKNOWN, CALLER, CALLEE = 0, 1, 2
RESPONSE = 2  # of $mt
OK = 200
REQUEST_TIMEOUT = 408
REQUEST_TERMINATED = 487  # RFC 3261 section 9.1


def guarded(otherwise):
    """Whatever goes wrong with screening, the call goes on: Kamailio must not lose it by us."""

    def guard(function):
        @functools.wraps(function)
        def guarded_function(*arguments):
            try:
                return function(*arguments)
            except Exception:
                KSR.err(traceback.format_exc())
                return otherwise

        return guarded_function

    return guard


def value(name):
    """Of a pseudo-variable, None for none."""
    return KSR.pv.get(name)


def whole_message():
    """The request as it came from the wire. A body need not be text: then the error has the bytes."""
    try:
        return KSR.pv.get("$mb").encode()
    except UnicodeDecodeError as not_text:
        return not_text.object


class Calls:
    """Calls between their INVITE and their end. What is known of one stands in its dialog, for all processes."""

    def __init__(self, rank):
        self.plugin = Plugin(KSR.kx.get_def("STATE_DIR"), max(rank, 0), "kamailio", KSR.err)

    @guarded(True)
    def screen(self):
        """Screens a new INVITE. True: it goes on, tagged where the verdict says so. False: it has been answered."""
        KSR.textops.remove_hf_re("^X-Callsieve")
        judged = self.plugin.judge(whole_message(), (value("$si"), value("$sp")))
        if judged is None:
            return True
        if judged.action is Action.DROP:
            KSR.tmx.t_drop()
            return False
        if judged.action is Action.REJECT:
            self.reject(judged)
            return False
        if judged.action is Action.TAG:
            self.tag(judged)
        self.follow(judged)
        return True

    def reject(self, judged):
        if judged.reply_headers:
            KSR.hdr.append_to_reply(judged.reply_headers)
        KSR.tm.t_reply(judged.status, judged.reason)

    def tag(self, judged):
        if judged.labels:
            KSR.hdr.append(judged.labels)
        if judged.identity is not None:
            KSR.textops.remove_hf("P-Asserted-Identity")
            KSR.hdr.append(judged.identity)

    def follow(self, judged):
        if judged.record:
            KSR.dialog.dlg_manage()
            KSR.dialog.var_sets("callsieve", record_text(judged))

    # --- what the dialog shows ---------------------------------------------------------------------------------------

    @guarded(None)
    def failed(self):
        """The call did not come about: a final response to the INVITE, or none in time."""
        status = value("$rs") if value("$mt") == RESPONSE else REQUEST_TIMEOUT
        self.over(status, CALLER if status == REQUEST_TERMINATED else CALLEE)

    @guarded(None)
    def answered(self):
        record = value("$dlg_var(callsieve)")
        if record:
            KSR.dialog.var_sets("answered", str(self.plugin.now_us()))
            self.plugin.answered(record)

    @guarded(None)
    def ended(self):
        """A BYE of either side; without one the dialog has outlived its time."""
        if not KSR.is_BYE():
            self.over(OK, UNKNOWN)
            return
        by_caller = value("$ft") == value("$dlg(from_tag)")
        if not by_caller and REFUSED_AS_UNWANTED.match(KSR.hdr.gete("Reason")):
            self.plugin.unwanted(value("$dlg_var(callsieve)") or "")
        self.over(OK, CALLER if by_caller else CALLEE)

    def over(self, status, released):
        """The call has ended, or did not come about."""
        record = value("$dlg_var(callsieve)")
        if not record:
            return
        KSR.dialog.var_rm("callsieve")  # told once
        self.plugin.ended(record, status, released, int(value("$dlg_var(answered)") or 0))


class Script:
    def child_init(self, rank):
        self.calls = Calls(rank)
        self.next_hop = KSR.kx.get_def("NEXT_HOP")
        return 0

    def ksr_request_route(self, _):
        if KSR.maxfwd.process_maxfwd(10) < 0:
            KSR.sl.sl_send_reply(483, "Too Many Hops")
            return 1
        if KSR.is_CANCEL():
            if KSR.tm.t_check_trans() > 0:
                KSR.tm.t_relay()
            return 1
        if KSR.siputils.has_totag() > 0:
            self.within_dialog()
            return 1
        if KSR.tm.t_check_trans() == 0:  # a repeat, and answered as one
            return 1
        if KSR.is_INVITE():
            if KSR.tm.t_newtran() < 0:  # callsieve: a repeat is not screened again
                KSR.sl.sl_reply_error()
                return 1
            if not self.calls.screen():  # callsieve
                return 1
            KSR.rr.record_route()
        KSR.setdsturi(self.next_hop)
        self.relay()
        return 1

    def within_dialog(self):
        if KSR.rr.loose_route() > 0 or (KSR.is_ACK() and KSR.tm.t_check_trans() > 0):
            self.relay()
        elif not KSR.is_ACK():
            KSR.sl.sl_send_reply(481, "Call/Transaction Does Not Exist")

    def relay(self):
        if KSR.tm.t_relay() < 0:
            KSR.sl.sl_reply_error()

    # Kamailio asks for these two whether it needs them or not; one that is missing leaves an error behind.

    def ksr_reply_route(self, _):
        return 1

    def ksr_onsend_route(self, _):
        return 1

    def ksr_dialog_event(self, _, event):
        if event == "dialog:start":
            self.calls.answered()
        elif event == "dialog:end":
            self.calls.ended()
        elif event == "dialog:failed":
            self.calls.failed()
        return 1


def mod_init():
    return Script()
