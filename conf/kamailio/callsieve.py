"""KEMI script of Kamailio that screens calls with callsieve (docs/kamailio.md).

What belongs to callsieve is in `Calls` and the last three `ksr_` functions; the routing around it is the least
that a proxy needs. A Kamailio with a script of its own takes over the marked lines of `ksr_request_route`.
"""

import functools
import re
import traceback

import KSR

from engine import Action
from proxy.plugin import Plugin, record_text

REFUSED_AS_UNWANTED = re.compile(r"(?i)\s*SIP\s*;(?:[^,]*;)?\s*cause\s*=\s*607\b")  # RFC 8197 section 4
UNKNOWN, CALLER, CALLEE = 0, 1, 2
URI = re.compile(r"(?i)(sips?:(?:[^@]*@)?)([^;?]*)(.*)")  # as far as the host, the host and port, the rest
WAYS = "$avp(callsieve_ways)"  # of a diverted call: Request-URI and next hop in turn, those not tried yet
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


def at_host_of(uri, next_hop):
    """The URI with host and port of the next hop, a SIP URI."""
    before, _, rest = URI.fullmatch(uri).groups()
    return before + URI.fullmatch(next_hop)[2] + rest


class Calls:
    """Calls between their INVITE and their end. What is known of one stands in its dialog, for all processes."""

    def __init__(self, rank):
        self.plugin = Plugin(KSR.kx.get_def("STATE_DIR"), max(rank, 0), "kamailio", KSR.err)

    @guarded(True)
    def screen(self):
        """Screens a new INVITE. False: nothing is left to do. True: it goes on, labelled where the verdict says so.

        A diverted one has its next hop already (`KSR.isdsturiset`).
        """
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
        self.label(judged)
        self.follow(judged)
        if judged.action is Action.DIVERT:
            self.divert(judged.divert)
        return True

    def reject(self, judged):
        if judged.reply_headers:
            KSR.hdr.append_to_reply(judged.reply_headers)
        KSR.tm.t_reply(judged.status, judged.reason)

    def label(self, judged):
        if judged.labels:
            KSR.hdr.append(judged.labels)
        if judged.identity is not None:
            KSR.textops.remove_hf("P-Asserted-Identity")
            KSR.hdr.append(judged.identity)

    def follow(self, judged):
        if judged.record:
            KSR.dialog.dlg_manage()
            KSR.dialog.var_sets("callsieve", record_text(judged))
            KSR.tm.t_on_reply("ksr_onreply_callsieve")

    # --- what is diverted --------------------------------------------------------------------------------------------

    def divert(self, target):
        """To an announcement or the like: with the URI of that place, or the number that was called as one there."""
        KSR.textops.remove_hf("Route")  # the caller does not choose another way
        called = value("$ru")
        here = KSR.is_myself_ruri()
        ways = []
        for hop in target.next_hops:
            ways += [target.uri or (at_host_of(called, hop) if here else called), hop]
        self.go(ways)

    def go(self, ways):
        """To the first of these, and to the next should that one fail."""
        uri, next_hop, *others = ways
        KSR.seturi(uri)
        KSR.setdsturi(next_hop)
        KSR.pv.sets(WAYS, " ".join(others))
        if others:
            KSR.tm.t_on_failure("ksr_failure_divert")

    @guarded(False)
    def has_other_way(self):
        """A next hop of a diverted call has failed. True: another one is set."""
        silent = KSR.tm.t_branch_timeout() > 0 and KSR.tm.t_branch_replied() < 0
        if KSR.tm.t_is_canceled() > 0 or not (silent or KSR.tm.t_check_status("503") > 0):
            return False
        self.go(value(WAYS).split())
        return True

    # --- what the dialog shows ---------------------------------------------------------------------------------------

    @guarded(None)
    def failed(self):
        """The call did not come about: a final response to the INVITE, or none in time."""
        status = value("$rs") if value("$mt") == RESPONSE else REQUEST_TIMEOUT
        self.over(status, CALLER if status == REQUEST_TERMINATED else CALLEE)

    @guarded(None)
    def ringing(self):
        """A provisional response: the first 18x counts."""
        record = value("$dlg_var(callsieve)")
        if record and 180 <= value("$rs") <= 189 and not value("$dlg_var(ringing)"):
            KSR.dialog.var_sets("ringing", str(self.plugin.now_us()))
            self.plugin.ringing(record)

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
        rang, answered = (int(value(f"$dlg_var({name})") or 0) for name in ("ringing", "answered"))
        self.plugin.ended(record, status, released, rang_us=rang, answered_us=answered)


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
        if not KSR.isdsturiset():  # callsieve: a diverted call goes its own way
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

    def ksr_failure_divert(self, _):
        if self.calls.has_other_way():
            self.relay()
        return 1

    def ksr_onreply_callsieve(self, _):
        self.calls.ringing()
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
