"""`callsieve fleet`: who belongs to it, and how it is.

The root key stays where `init` made it. `join` makes a node's own key and asks to be let in, `invite` lets it in,
`revoke` puts it out; each writes a new trust bundle and hands it to the node that runs here, which tells the others.
"""

from __future__ import annotations

import os
import time
from argparse import Namespace
from pathlib import Path
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from proxy.cli_client import ControlClient, NotRunning
from proxy.cli_output import ExitCode, Failure, Output
from proxy.config_fleet import NAME
from proxy.config_load import read_configuration
from proxy.control.sync.records import Refused
from proxy.control.sync.trust import FORMAT, REGION_SIZE, Bundle, Member, Parameters, Role, check_bundle, sign_bundle
from proxy.fleet_files import FleetFileError, public_key, read_bundle, read_private_key, write_private_key, write_whole
from proxy.state_directory import StateDirectory

_ROOT, _NODE, _BUNDLE = "root.key", "node.key", "trust.bundle"
_ROLES = {"proxy": Role.PROXY, "reducer": Role.REDUCER, "top": Role.TOP, "authority": Role.AUTHORITY}
_VALID_S = 10 * 366 * 86_400
_CLOCK_SLACK_S = 86_400


def init(options: Namespace, output: Output) -> int:
    """A fleet of one: this node, which is an authority."""
    directory: Path = options.directory
    _check_name(options.name)
    directory.mkdir(parents=True, exist_ok=True)
    root, key = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    parameters = Parameters(options.liars, origins=options.origins, block=options.block)
    member = _member(1, options.name, "one", 0, key.public_key().public_bytes_raw(), Role(15))
    bundle = Bundle(FORMAT, 1, os.urandom(16), (member,), (), parameters)
    try:
        write_private_key(directory / _ROOT, root)
        write_private_key(directory / _NODE, key)
    except FleetFileError as why:
        raise Failure(str(why)) from None
    write_whole(directory / _BUNDLE, sign_bundle(bundle, root))
    _tell_settings(options.name, directory, root.public_key().public_bytes_raw().hex(), output)
    return ExitCode.OK


def join(options: Namespace, output: Output) -> int:
    """Without an invitation makes the key and prints the request; with one puts it in its place."""
    directory: Path = options.directory
    directory.mkdir(parents=True, exist_ok=True)
    if options.invitation is None:
        _check_name(options.name)
        key = Ed25519PrivateKey.generate()
        try:
            write_private_key(directory / _NODE, key)
        except FleetFileError as why:
            raise Failure(str(why)) from None
        request = f"{options.name}:{key.public_key().public_bytes_raw().hex()}"
        output.document({"request": request})
        output.line(request)
        return ExitCode.OK
    try:
        bundle, raw = read_bundle(options.invitation, public_key(options.root or ""))
        own = read_private_key(directory / _NODE).public_key().public_bytes_raw()
    except FleetFileError as why:
        raise Failure(str(why)) from None
    member = next((one for one in bundle.members if one.public == own), None)
    if member is None:
        raise Failure(f"{options.invitation} does not invite the key in {directory / _NODE}")
    write_whole(directory / _BUNDLE, raw)
    _tell_settings(member.name, directory, options.root, output)
    return ExitCode.OK


def invite(options: Namespace, output: Output) -> int:
    name, _, shown = options.request.partition(":")
    _check_name(name)
    roles = Role(0)
    for role in options.role or ["proxy", "reducer", "top"]:
        roles |= _ROLES[role]
    root, bundle = _own_fleet(options)
    taken = {member.index for member in bundle.members if member.region == options.region}
    index = next((free for free in range(REGION_SIZE) if free not in taken), None)
    if index is None:
        raise Failure(f"region {options.region} is full: {REGION_SIZE} nodes at most; name another with --region")
    origin = max((member.origin for member in bundle.members), default=0) + 1
    try:
        public = public_key(shown).public_bytes_raw()
    except FleetFileError as why:
        raise Failure(f"the request is NAME:KEY as `callsieve fleet join` printed it; {why}") from None
    member = _member(origin, name, options.region, index, public, roles)
    members = (*bundle.members, member)
    _publish(options, root, msgspec.structs.replace(bundle, version=bundle.version + 1, members=members), output)
    return ExitCode.OK


def revoke(options: Namespace, output: Output) -> int:
    root, bundle = _own_fleet(options)
    member = next((one for one in bundle.members if one.name == options.name), None)
    if member is None or member.origin in bundle.revoked:
        raise Failure(f"{options.name} is no member of the fleet", ExitCode.NO)
    revoked = (*bundle.revoked, member.origin)
    _publish(options, root, msgspec.structs.replace(bundle, version=bundle.version + 1, revoked=revoked), output)
    output.line("withdraw its certificate at the broker too: crlfile in conf/mosquitto/fleet.conf")
    return ExitCode.OK


def status(options: Namespace, output: Output) -> int:
    answer = _ask(options, "GET", "/v1/fleet")
    output.document(answer)
    members, holds = answer.pop("members"), answer.pop("holds")
    output.facts({name.replace("_", " "): value for name, value in answer.items() if not isinstance(value, dict)})
    output.table(
        ("node", "region", "roles", "up", "epoch", "backlog"),
        [[one[name] for name in ("name", "region", "roles", "up", "epoch", "backlog")] for one in members],
    )
    if holds:
        columns = ("source", "since", "held", "callers", "why")
        output.table(columns, [[hold[name] for name in columns] for hold in holds])
        output.line("nothing of these sources blocks anew; once they are seen to be right: callsieve fleet release")
    return ExitCode.OK if answer["connected"] and not answer["stale"] and not answer["holding"] else ExitCode.NO


def digest(options: Namespace, output: Output) -> int:
    answer = _ask(options, "GET", "/v1/fleet/digest")
    output.document(answer)
    output.facts(answer)
    return ExitCode.OK if answer["peers_that_differ"] == 0 else ExitCode.NO


def hold(options: Namespace, output: Output) -> int:
    """Nothing that blocks is taken over from the fleet until `release`."""
    return _command(options, output, "hold")


def release(options: Namespace, output: Output) -> int:
    return _command(options, output, "release")


def waiting(options: Namespace, output: Output) -> int:
    """Orders about protected numbers and trunks that one authority has signed."""
    return _ordered(_ask(options, "GET", "/v1/fleet/waiting"), output)


def second(options: Namespace, output: Output) -> int:
    body = {"number": options.number, "namespace": options.namespace}
    return _ordered(_ask(options, "POST", "/v1/fleet/second", body), output)


def _ordered(answer: dict[str, Any], output: Output) -> int:
    output.document(answer)
    columns = ("number", "act", "namespace", "reason", "from", "until", "given", "signed_by")
    if answer["decisions"]:
        output.table(columns, [[one.get(name) or None for name in columns] for one in answer["decisions"]])
    else:
        output.line("no order waits for a second signature")
    return ExitCode.OK


def _command(options: Namespace, output: Output, what: str) -> int:
    answer = _ask(options, "POST", f"/v1/fleet/{what}")
    output.document(answer)
    output.line(", ".join(f"{name.replace('_', ' ')}: {value}" for name, value in answer.items()))
    return ExitCode.OK


def _member(origin: int, name: str, region: str, index: int, public: bytes, roles: Role) -> Member:
    now_s = int(time.time())
    kid = origin
    return Member(origin, name, region, index, kid, public, roles, now_s - _CLOCK_SLACK_S, now_s + _VALID_S)


def _check_name(name: str) -> None:
    if not NAME.fullmatch(name):
        raise Failure(f"{name!r} is no name in a fleet: 1 to 32 of a-z, 0-9 and -")


def _own_fleet(options: Namespace) -> tuple[Ed25519PrivateKey, Bundle]:
    try:
        root = read_private_key(options.directory / _ROOT)
        bundle, _ = read_bundle(options.directory / _BUNDLE, root.public_key())
    except FleetFileError as why:
        raise Failure(f"{why}; this command runs where `callsieve fleet init` was run") from None
    return root, bundle


def _publish(options: Namespace, root: Ed25519PrivateKey, bundle: Bundle, output: Output) -> None:
    """Writes it, and hands it to the node that runs here; the others learn it from that."""
    try:
        check_bundle(bundle)
    except Refused:
        raise Failure("a member of that name or key is there already") from None
    path = options.directory / _BUNDLE
    raw = sign_bundle(bundle, root)
    write_whole(path, raw)
    try:
        _ask(options, "POST", "/v1/fleet/trust", {"bundle": raw.hex()})
        told = True
    except (NotRunning, Failure):
        told = False
    output.document({"version": bundle.version, "bundle": str(path), "told": told})
    output.line(f"trust bundle {bundle.version} is in {path}" + ("" if told else "; no running node was told"))


def _tell_settings(name: str, directory: Path, root: str, output: Output) -> None:
    settings: dict[str, Any] = {
        "enabled": True,
        "node": name,
        "root": root,
        "key": str(directory / _NODE),
        "trust": str(directory / _BUNDLE),
    }
    output.document({"fleet": settings})
    output.line("[fleet]")
    for key, value in settings.items():
        output.line(f"{key} = {'true' if value is True else msgspec.json.encode(value).decode()}")


def _ask(options: Namespace, method: str, path: str, body: object = None) -> dict[str, Any]:
    state = StateDirectory(Path(read_configuration(options.config).node.state_dir))
    http_status, answer = ControlClient(state.control_socket).ask(method, path, body)
    if http_status != 200:
        raise Failure(answer.get("error", f"callsieve answered {http_status}"), ExitCode.NO)
    return answer
