"""The `callsieve` command: its arguments, and what an operator's mistake looks like."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

from engine.config_errors import ConfigError
from proxy import (
    cli_complaints,
    cli_explain,
    cli_fleet,
    cli_lists,
    cli_lookup,
    cli_node,
    cli_orders,
    cli_policy,
    cli_store,
    cli_subscribers,
)
from proxy.cli_output import ExitCode, Failure, Output, findings_document
from proxy.version import own_version

_DEFAULT_PLACES = ("callsieve.toml", "/etc/callsieve/callsieve.toml")

_EXIT_CODES = """\
exit codes:
  0  done; the answer is yes
  1  the answer is no: the call would be rejected, nothing is known of the number, the file has errors
  2  wrong usage, or a configuration that cannot be used
  3  callsieve is not running, or does not answer
  4  the system refused: no permission, no space, address in use
"""

_LOAD_HELP = "place calls: the load harness"


def main(argv: Sequence[str] | None = None) -> int:
    parser = _parser()
    options, rest = parser.parse_known_args(argv)
    if rest and options.command != "load":
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    options.arguments = rest
    output = Output(options.json)
    try:
        return _run(options, output)
    except BrokenPipeError:
        # Whoever read our output has seen enough; nothing may be written at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.OK
    except KeyboardInterrupt:
        return 128 + 2


def _run(options: argparse.Namespace, output: Output) -> int:
    try:
        if options.config is None:
            options.config = default_configuration()
        run: Callable[[argparse.Namespace, Output], int] = options.run
        return run(options, output)
    except ConfigError as refused:
        output.document(findings_document(refused.findings))
        output.findings(refused.findings)
        return ExitCode.USAGE
    except Failure as failure:
        output.failure(str(failure), failure.exit_code)
        return failure.exit_code
    except BrokenPipeError:
        raise
    except OSError as refused_by_system:
        what = f"{refused_by_system.filename}: " if refused_by_system.filename else ""
        output.failure(f"{what}{refused_by_system.strerror or refused_by_system}", ExitCode.SYSTEM)
        return ExitCode.SYSTEM


def default_configuration() -> Path:
    """$CALLSIEVE_CONFIG, else the first of the usual places that is there."""
    named = os.environ.get("CALLSIEVE_CONFIG")
    if named:
        return Path(named)
    return next((Path(place) for place in _DEFAULT_PLACES if Path(place).exists()), Path(_DEFAULT_PLACES[-1]))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="callsieve",
        description="A SIP proxy that screens every call.",
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"callsieve {own_version()}")
    _common(parser, config=None, as_json=False)
    commands = parser.add_subparsers(dest="command", title="commands", metavar="command", required=True)
    _run_command(commands)
    _check_command(commands)
    _reload_command(commands)
    _status_command(commands)
    _explain_command(commands)
    _lookup_command(commands)
    _list_command(commands)
    _order_commands(commands)
    _complaint_commands(commands)
    _store_command(commands)
    _fleet_command(commands)
    _subscriber_command(commands)
    _policy_command(commands)
    _load_command(commands)
    return parser


_Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def _run_command(commands: _Commands) -> None:
    parser = _command(commands, "run", "start the proxy and keep it running", cli_node.run)
    parser.add_argument(
        "--demo",
        action="store_true",
        help="also start an answering endpoint, place demonstration calls, print verdicts",
    )
    _examples(
        parser,
        "callsieve run",
        "callsieve run --config /etc/callsieve/callsieve.toml",
        "callsieve run --config conf/quickstart.toml --demo",
    )


def _check_command(commands: _Commands) -> None:
    parser = _command(commands, "check", "read a configuration and tell everything that is wrong", cli_node.check)
    parser.add_argument("file", nargs="?", type=Path, help="default: the file --config names")
    parser.add_argument("--strict", action="store_true", help="exit code 1 for warnings too")
    _examples(parser, "callsieve check", "callsieve check --strict callsieve.toml", "callsieve check --json new.toml")


def _reload_command(commands: _Commands) -> None:
    parser = _command(commands, "reload", "bring the changed configuration into force", cli_node.reload)
    _examples(parser, "callsieve reload", "callsieve reload --json", note="A file with an error keeps the old one.")


def _status_command(commands: _Commands) -> None:
    parser = _command(commands, "status", "how the running proxy is", cli_node.status)
    _examples(parser, "callsieve status", "callsieve status --json | jq .generation")


def _explain_command(commands: _Commands) -> None:
    parser = _command(commands, "explain", "what would become of a call, and why", cli_explain.explain)
    parser.add_argument("--from", dest="caller", required=True, metavar="NUMBER", help="caller, as the trunk shows it")
    parser.add_argument("--to", dest="callee", required=True, metavar="NUMBER", help="called number")
    parser.add_argument("--trunk", help="trunk the call comes from; may be left out where there is only one")
    parser.add_argument("--source", metavar="ADDRESS", help="address the call comes from: for limits by source")
    parser.add_argument(
        "--fingerprint", type=Path, metavar="FILE", help="an INVITE of the dialler's as captured: for limits by it"
    )
    parser.add_argument("--privacy", action="store_true", help="the caller asked for privacy")
    parser.add_argument(
        "--files", action="store_true", help="by the files as they are now, not by the generation in force"
    )
    _examples(
        parser,
        "callsieve explain --from +862066660000 --to +862088886666 --trunk carrier",
        "callsieve explain --from anonymous --to 02088886666 --trunk carrier --json",
        note="Reads the live tables, counts nothing, and works while the proxy is down.",
    )


def _lookup_command(commands: _Commands) -> None:
    parser = _command(commands, "lookup", "what is known of a number", cli_lookup.lookup)
    parser.add_argument("number")
    parser.add_argument("--trunk", help="read the number by this trunk's dial plan (default: the first trunk's)")
    _examples(
        parser,
        "callsieve lookup +862066660000",
        "callsieve lookup 95588 --trunk carrier",
        note="Shows the number's class, where it may call from, lists and live tables. Works while the proxy is down.",
    )


def _list_command(commands: _Commands) -> None:
    parser = commands.add_parser("list", help="show or change a list of numbers", allow_abbrev=False)
    actions = parser.add_subparsers(dest="action", title="actions", metavar="action", required=True)
    show = _command(actions, "show", "the entries of a list", cli_lists.show)
    add = _command(actions, "add", "add numbers to a list's file and reload", cli_lists.add)
    remove = _command(actions, "remove", "remove numbers from a list's file and reload", cli_lists.remove)
    for action, count in ((show, "*"), (add, "+"), (remove, "+")):
        action.add_argument("list", metavar="LIST", help="name of a [[list]]")
        action.add_argument("numbers", metavar="NUMBER", nargs=count, help="+8613800138000, +86170* or CN:95588")
    add.add_argument("--reason", default="", help="written beside the numbers, with the date")
    _examples(show, "callsieve list show deny", "callsieve list show deny +862066660000")
    _examples(add, 'callsieve list add deny +862066660000 --reason "robot calls, three complaints"')
    _examples(remove, "callsieve list remove deny +862066660000")
    _examples(
        parser,
        "callsieve list show deny",
        "callsieve list add deny +862066660000",
        "callsieve list remove deny CN:95588",
    )


def _order_commands(commands: _Commands) -> None:
    block = _command(commands, "block", "reject the calls of numbers from now on", cli_orders.block)
    allow = _command(commands, "allow", "let the calls of numbers through for a while", cli_orders.allow)
    never = _command(commands, "never-block", "let every call to called numbers through", cli_orders.never_block)
    unblock = _command(commands, "unblock", "withdraw what was ordered of numbers", cli_orders.unblock)
    show = _command(commands, "decisions", "what was ordered, by whom and until when", cli_orders.decisions)
    for command, count in ((block, "+"), (allow, "+"), (never, "+"), (unblock, "+"), (show, "*")):
        what = "+8613800138000, +86170*, CN:95588 or trunk:NAME"
        command.add_argument("numbers", metavar="NUMBER", nargs=count, help=what)
    for command in (block, allow, never, unblock):
        namespaces = ("tenant", "operator", "regulator")
        command.add_argument("--namespace", choices=namespaces, default="operator", help="whose order it is")
    for command in (block, allow, never):
        command.add_argument("--reason", default="", help="kept with the order")
        command.add_argument("--owner", default="", help="who answers for it; an allowance needs one")
        command.add_argument("--from", dest="begin", metavar="TIME", help="2027-06-30 or 2027-06-30T18:00, in UTC")
        command.add_argument("--until", metavar="TIME", help="likewise; a day counts to its end")
    _examples(
        block,
        'callsieve block +862066660000 --reason "robot calls" --owner li --until 2027-06-30',
        "callsieve block '+86170*' --until 2026-12-01T18:00",
        note="Every worker heeds it with the next call; it outlives restarts and reloads.",
    )
    _examples(allow, "callsieve allow +862066660000 --owner li --until 2027-06-30")
    _examples(never, "callsieve never-block +862088880110 --reason hospital")
    _examples(unblock, "callsieve unblock +862066660000", "callsieve unblock '+86170*' --namespace regulator")
    _examples(show, "callsieve decisions", "callsieve decisions +862066660000 --json")


def _complaint_commands(commands: _Commands) -> None:
    complain = _command(commands, "complain", "report an unwanted call", cli_complaints.complain)
    complain.add_argument("number", metavar="NUMBER", help="who called: +8613800138000 or CN:95588")
    complain.add_argument("--category", default="other", metavar="WORD", help="fraud, sales, loan, debt, estate ...")
    complain.add_argument("--call-id", default="", metavar="ID", help="Call-ID; a call that is known counts fully")
    complain.add_argument("--reporter", default="", metavar="TEXT", help="who reports; kept as a keyed hash")
    complain.add_argument("--time", type=float, metavar="SECONDS", help="of the call, Unix time; default: now")
    _examples(complain, "callsieve complain +862066660000 --category loan --reporter desk-4711")
    parser = commands.add_parser("case", help="cases of numbers that are complained of", allow_abbrev=False)
    actions = parser.add_subparsers(dest="action", title="actions", metavar="action", required=True)
    listed = _command(actions, "list", "cases that are open, and when they are due", cli_complaints.list_)
    listed.add_argument("--all", action="store_true", help="closed ones too")
    show = _command(actions, "show", "a case and its complaints", cli_complaints.show)
    forward = _command(actions, "forward", "note that a case was forwarded: its answer is due", cli_complaints.forward)
    close = _command(actions, "close", "close a case", cli_complaints.close)
    for action in (show, forward, close):
        action.add_argument("id", type=int, metavar="CASE")
    export = _command(actions, "export", "evidence: one row a complaint, with its case", cli_complaints.export)
    export.add_argument("id", type=int, nargs="?", metavar="CASE", help="default: all")
    export.add_argument("--format", choices=("jsonl", "csv"), default="jsonl")
    export.add_argument("--output", type=Path, metavar="FILE", help="default: standard output")
    _examples(export, "callsieve case export --format csv --output evidence.csv", "callsieve case export 17")
    _examples(parser, "callsieve case list", "callsieve case show 17", "callsieve case forward 17")


def _store_command(commands: _Commands) -> None:
    parser = commands.add_parser("store", help="check, copy or restore what must not be lost", allow_abbrev=False)
    actions = parser.add_subparsers(dest="action", title="actions", metavar="action", required=True)
    check = _command(actions, "check", "read all of the store and tell what is wrong", cli_store.check)
    check.add_argument("file", nargs="?", type=Path, help="default: that of the node")
    backup = _command(actions, "backup", "copy the store while the proxy runs", cli_store.backup)
    restore = _command(actions, "restore", "put a copy in the store's place; the proxy must be down", cli_store.restore)
    for action in (backup, restore):
        action.add_argument("file", type=Path, metavar="FILE")
    _examples(parser, "callsieve store check", "callsieve store backup /backup/callsieve.db")


def _subscriber_command(commands: _Commands) -> None:
    parser = commands.add_parser("subscriber", help="show or set what called subscribers want", allow_abbrev=False)
    actions = parser.add_subparsers(dest="action", title="actions", metavar="action", required=True)
    show = _command(actions, "show", "what a subscriber wants", cli_subscribers.show)
    set_ = _command(actions, "set", "change what a subscriber wants", cli_subscribers.set_)
    for action in (show, set_):
        action.add_argument("number", metavar="NUMBER", help="the subscriber: +8613800138000")
    show.add_argument("callers", metavar="CALLER", nargs="*", help="also its own entries for these callers")
    set_.add_argument("--refuse", metavar="WORDS", help="'call-centre resale fraud do-not-call'; '' = nothing")
    set_.add_argument("--quiet", metavar="HH:MM-HH:MM", help="local time in half hours; '' = none")
    set_.add_argument("--bursts", metavar="LEVEL", help="protection against bursts, 0 (soonest) to 3; '' = none")
    for name in ("allow", "deny", "consent", "forget"):
        set_.add_argument(f"--{name}", metavar="CALLER", action="append", default=[], help="+86138... or +86170*")
    set_.add_argument("--until", metavar="DATE", help="last day of these entries, in UTC")
    _examples(show, "callsieve subscriber show +8613800138000 +862066660000")
    _examples(
        set_,
        "callsieve subscriber set +8613800138000 --refuse 'call-centre resale' --quiet 22:00-07:00",
        "callsieve subscriber set +8613800138000 --deny '+86170*' --consent CN:95071666 --until 2027-06-30",
    )
    import_ = _command(actions, "import", "read the wishes of many subscribers from a file", cli_subscribers.import_)
    import_.add_argument("file", type=Path, metavar="FILE", help="lines of number,refuse,quiet,bursts")
    import_.add_argument("--replace", action="store_true", help="a new table of these alone, for the next start")
    _examples(import_, "callsieve subscriber import wishes.csv", "callsieve subscriber import --replace country.csv")
    _examples(parser, "callsieve subscriber show +8613800138000", "callsieve subscriber import wishes.csv")


def _fleet_command(commands: _Commands) -> None:
    parser = commands.add_parser("fleet", help="who belongs to the fleet, and how it is", allow_abbrev=False)
    actions = parser.add_subparsers(dest="action", title="actions", metavar="action", required=True)
    init = _command(actions, "init", "begin a fleet, with this node as its first member", cli_fleet.init)
    join = _command(actions, "join", "ask to be let in, or take up an invitation", cli_fleet.join)
    invite = _command(actions, "invite", "let a node in", cli_fleet.invite)
    revoke = _command(actions, "revoke", "put a node out, and void what it has said", cli_fleet.revoke)
    _command(actions, "status", "how the fleet is, as this node sees it", cli_fleet.status)
    _command(actions, "digest", "the digests of what this node knows, to be compared", cli_fleet.digest)
    _command(actions, "waiting", "orders that need a second authority's signature", cli_fleet.waiting)
    second = _command(actions, "second", "sign what another authority has ordered", cli_fleet.second)
    second.add_argument("number", metavar="NUMBER", help="+8613800138000, +86170*, CN:95588 or trunk:NAME")
    namespaces = ("tenant", "operator", "regulator")
    second.add_argument("--namespace", choices=namespaces, default="operator", help="whose order it is")
    _examples(second, "callsieve fleet second CN:95588 --namespace regulator")
    _command(actions, "hold", "take over no more blocks from the fleet", cli_fleet.hold)
    _command(actions, "release", "take over what was held", cli_fleet.release)
    for action in (init, join, revoke):
        action.add_argument("name", metavar="NODE", help="1 to 32 of a-z, 0-9 and -")
    for action in (init, join, invite, revoke):
        place = "where the keys and the trust bundle lie (default: fleet)"
        action.add_argument("--directory", type=Path, default=Path("fleet"), metavar="DIR", help=place)
    init.add_argument("--liars", type=int, default=3, choices=range(9), help="members that may lie in vain (3)")
    init.add_argument("--origins", type=int, default=0, help="members that must have seen a caller (liars + 3)")
    init.add_argument("--block", type=int, default=600, help="score from which the fleet blocks, 1 to 1000 (600)")
    join.add_argument("--invitation", type=Path, metavar="FILE", help="the trust bundle that `invite` wrote")
    join.add_argument("--root", metavar="KEY", help="the fleet's public root key, told by another way than the bundle")
    invite.add_argument("request", metavar="NODE:KEY", help="what `join` printed on that node")
    invite.add_argument("--region", default="one", help="of up to 32 nodes (default: one)")
    invite.add_argument("--role", action="append", choices=("proxy", "reducer", "top", "authority"), help="may repeat")
    _examples(init, "callsieve fleet init head-office --directory /etc/callsieve/fleet")
    invited = "callsieve fleet join branch-1 --invitation new.bundle --root 5f3c…"
    _examples(join, "callsieve fleet join branch-1", invited)
    _examples(invite, "callsieve fleet invite branch-1:91ab… --role proxy --role authority")
    _examples(revoke, "callsieve fleet revoke branch-1")
    _examples(parser, "callsieve fleet status", "callsieve fleet release")


def _policy_command(commands: _Commands) -> None:
    parser = commands.add_parser("policy", help="what rules have done, or would have done", allow_abbrev=False)
    actions = parser.add_subparsers(dest="action", title="actions", metavar="action", required=True)
    report = _command(actions, "report", "what rules in observe mode would have done, by rule", cli_policy.report)
    report.add_argument("file", nargs="*", type=Path, metavar="FILE", help="decision logs (default: the node's own)")
    report.add_argument("--since", metavar="TIME", help="leave out what is older: 2026-11-22 or 2026-11-22T09:30+08:00")
    report.add_argument("--enforced", action="store_true", help="what rules in force have done instead")
    _examples(
        report,
        "callsieve policy report",
        "callsieve policy report --since 2026-11-22 --json",
        "callsieve policy report --enforced decisions.jsonl.1 decisions.jsonl",
        note="Reads the decision log and what was rotated out of it, and works while the proxy is down.",
    )
    _examples(parser, "callsieve policy report")


def _load_command(commands: _Commands) -> None:
    parser = commands.add_parser("load", help=_LOAD_HELP, add_help=False, allow_abbrev=False)
    parser.set_defaults(run=cli_node.load)


def _command(
    commands: _Commands, name: str, summary: str, run: Callable[[argparse.Namespace, Output], int]
) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"callsieve {own_version()}")
    # Written before or after the command; here it must not undo what stands before.
    _common(parser, config=argparse.SUPPRESS, as_json=argparse.SUPPRESS)
    parser.set_defaults(run=run)
    return parser


def _common(parser: argparse.ArgumentParser, config: object, as_json: object) -> None:
    parser.add_argument(
        "--config",
        type=Path,
        default=config,
        metavar="FILE",
        help="default: $CALLSIEVE_CONFIG, ./callsieve.toml or /etc/callsieve/callsieve.toml",
    )
    parser.add_argument("--json", action="store_true", default=as_json, help="print one JSON document")


def _examples(parser: argparse.ArgumentParser, *examples: str, note: str = "") -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    lines = "\n".join(f"  {example}" for example in examples)
    parser.epilog = f"{note}\n\nexamples:\n{lines}".lstrip()


if __name__ == "__main__":
    sys.exit(main())
