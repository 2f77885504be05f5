"""Carries out the Dockerfile without a container engine and shows that what comes out of it works.

Reads the Dockerfile itself: each stage is a copy of a bare Debian tree (debootstrap) in which its COPY and RUN steps
are carried out in a chroot. The last stage's command is then started as its USER, in network, process and mount
namespaces of its own (nothing but a loopback device), its HEALTHCHECK is asked, and its STOPSIGNAL sent. Needs root.

    python3 scripts/docker_prove.py [Dockerfile]
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]
WORK = ROOT / ".cache/docker-prove"
SUITE = "bookworm"
IMAGES = {"debian:bookworm-slim": SUITE}
BUILD_TOOLS = ("gcc", "g++", "cc", "c++", "ld", "as", "make", "cython", "pip", "pip3")
HOST_FILES = ("/etc/resolv.conf", "/etc/hosts")
HEALTHY_WITHIN_S = 30.0
STOPPED_WITHIN_S = 45.0


@dataclass(slots=True)
class Stage:
    """What the instructions read so far have made of a stage."""

    name: str
    tree: str
    env: dict[str, str] = field(
        default_factory=lambda: {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
    )
    workdir: str = "/"
    user: str = "root"
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    healthcheck: list[str] = field(default_factory=list)
    stop_signal: str = "SIGTERM"

    def inside(self, argv: list[str], user: str | None = None) -> list[str]:
        """The command that runs `argv` in the tree, with the stage's user, environment and directory."""
        env = [f"{name}={value}" for name, value in self.env.items()]
        script = f"cd {shlex.quote(self.workdir)} && exec {shlex.join(argv)}"
        return [
            "chroot",
            f"--userspec={user or self.user}",
            self.tree,
            "/usr/bin/env",
            "-i",
            *env,
            "/bin/sh",
            "-c",
            script,
        ]


def instructions(text: str) -> Iterator[tuple[str, str]]:
    """(INSTRUCTION, rest) for each instruction, continued lines joined."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    for line in re.sub(r"\\\n\s*", " ", "\n".join(lines)).splitlines():
        if line.strip():
            name, _, rest = line.strip().partition(" ")
            yield name.upper(), rest.strip()


def words(text: str) -> list[str]:
    """An exec-form (JSON) or shell-form command as a list."""
    return list(json.loads(text)) if text.startswith("[") else ["/bin/sh", "-c", text]


def carry_out(dockerfile: Path) -> Stage:
    """Every stage in turn; the last one."""
    stages: dict[str, Stage] = {}
    stage: Stage | None = None
    for name, rest in instructions(dockerfile.read_text()):
        print(f"  {name} {rest[:100]}{'…' if len(rest) > 100 else ''}", flush=True)
        if name == "FROM":
            stage = begin_stage(rest, len(stages))
            stages[stage.name] = stage
        elif stage is None:
            raise SystemExit(f"{dockerfile}: {name} before FROM")
        else:
            step(stage, name, rest, stages)
    if stage is None:
        raise SystemExit(f"{dockerfile}: no FROM")
    return stage


def begin_stage(rest: str, index: int) -> Stage:
    image, *alias = re.split(r"\s+AS\s+", rest, flags=re.IGNORECASE)
    if image not in IMAGES:
        raise SystemExit(f"FROM {image}: only {', '.join(IMAGES)} can be stood in for")
    name = alias[0] if alias else str(index)
    tree = WORK / f"stage-{name}"
    shutil.rmtree(tree, ignore_errors=True)
    subprocess.run(["cp", "-a", str(bare_debian(IMAGES[image])), str(tree)], check=True)
    return Stage(name, str(tree))


def step(stage: Stage, name: str, rest: str, stages: dict[str, Stage]) -> None:
    match name:
        case "RUN":
            run(stage, rest)
        case "COPY":
            copy(stage, rest, stages)
        case "ENV":
            stage.env |= dict(pair.split("=", 1) for pair in shlex.split(rest))
        case "WORKDIR":
            stage.workdir = rest
            (Path(stage.tree) / rest.lstrip("/")).mkdir(parents=True, exist_ok=True)
        case "USER":
            stage.user = rest
        case "ENTRYPOINT":
            stage.entrypoint = words(rest)
        case "CMD":
            stage.command = words(rest)
        case "HEALTHCHECK":
            stage.healthcheck = words(rest.partition("CMD ")[2])
        case "STOPSIGNAL":
            stage.stop_signal = rest
        case "EXPOSE" | "VOLUME":
            pass  # told to the engine, no step
        case _:
            raise SystemExit(f"{name}: not known to this script")


def run(stage: Stage, command: str) -> None:
    # The build's way to the package registries is the host's own, as with a container engine.
    settings = {name: value for name, value in os.environ.items() if name == "PIP_INDEX_URL"}
    authorities = Path(os.environ.get("PIP_CERT", ""))
    if authorities.is_file():
        settings["PIP_CERT"] = "/run/host-authorities.pem"
        shutil.copy2(authorities, Path(stage.tree) / "run/host-authorities.pem")
    with_settings = Stage(stage.name, stage.tree, stage.env | settings, stage.workdir, stage.user)
    mounts = f'mount -t proc proc "{stage.tree}/proc" && mount --rbind /dev "{stage.tree}/dev" && exec "$@"'
    argv = ["unshare", "--mount", "/bin/sh", "-c", mounts, "sh", *with_settings.inside(["/bin/sh", "-c", command])]
    done = subprocess.run(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    (Path(stage.tree) / "run/host-authorities.pem").unlink(missing_ok=True)
    if done.returncode:
        raise SystemExit(f"{done.stdout[-4000:]}\nRUN failed with {done.returncode}: {command}")


def copy(stage: Stage, rest: str, stages: dict[str, Stage]) -> None:
    parts = rest.split()
    source_stage = parts.pop(0).removeprefix("--from=") if parts[0].startswith("--from=") else None
    *sources, target = parts
    origin = Path(stages[source_stage].tree) if source_stage else context()
    base = Path(stage.tree)
    destination = base / (target if target.startswith("/") else f"{stage.workdir}/{target}").lstrip("/")
    for source in sources:
        path = origin / source.lstrip("/")
        if path.is_dir():
            shutil.copytree(path, destination, symlinks=True, dirs_exist_ok=True)
        else:
            to_directory = target.endswith(("/", ".")) or len(sources) > 1
            destination.mkdir(parents=True, exist_ok=True) if to_directory else None
            shutil.copy2(path, destination)


def context() -> Path:
    """The build context: the checkout without what .dockerignore names."""
    directory = WORK / "context"
    if not directory.exists():
        rules = (ROOT / ".dockerignore").read_text().split()
        listing = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        files = subprocess.run(listing, check=True, capture_output=True, text=True).stdout.rstrip("\0").split("\0")
        for relative in map(Path, files):
            path = ROOT / relative
            if path.is_file() and not ignored(relative, rules):
                (directory / relative).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(path, directory / relative)
    return directory


def ignored(path: Path, rules: list[str]) -> bool:
    """The last rule that matches the path or a directory above it decides; `!` takes it back."""
    verdict = False
    for rule in rules:
        pattern = rule.removeprefix("!").removeprefix("**/")
        anywhere = "**/" in rule
        for candidate in (path, *path.parents):
            if candidate != Path() and (anywhere or len(candidate.parts) == 1) and candidate.match(pattern):
                verdict = not rule.startswith("!")
    return verdict


def bare_debian(suite: str) -> Path:
    """A pristine tree, made once and kept."""
    tree = WORK / f"debian-{suite}"
    if not (WORK / f"{suite}.done").exists():
        print(f"  (making a bare Debian {suite} tree with debootstrap, once)", flush=True)
        shutil.rmtree(tree, ignore_errors=True)
        subprocess.run(
            ["debootstrap", "--variant=minbase", suite, str(tree), debian_mirror()],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        (WORK / f"{suite}.done").touch()
    for file in HOST_FILES:
        if Path(file).exists():
            (tree / file[1:]).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(file, tree / file[1:])
    return tree


def debian_mirror() -> str:
    """Where the host's own apt gets Debian from."""
    for file in (Path("/etc/apt/sources.list"), *Path("/etc/apt/sources.list.d").glob("debian*")):
        if file.exists() and (
            found := re.search(r"^(?:URIs:|deb )[^#\n]*?(https?://\S+)", file.read_text(), re.MULTILINE)
        ):
            return found[1]
    raise SystemExit("no Debian mirror in the host's apt sources")


def prove(stage: Stage) -> None:
    """Called inside fresh namespaces: starts the image's command and looks at it."""
    raise_loopback()
    for kind, place in (("proc", "proc"), ("tmpfs", "tmp")):
        subprocess.run(["mount", "-t", kind, kind, f"{stage.tree}/{place}"], check=True)
    subprocess.run(["mount", "--rbind", "/dev", f"{stage.tree}/dev"], check=True)
    tools = [
        t
        for t in BUILD_TOOLS
        if subprocess.run(stage.inside(["sh", "-c", f"command -v {t}"]), stdout=subprocess.DEVNULL).returncode == 0
    ]
    report("build tools in the final stage", ", ".join(tools) or "none", not tools)

    process = subprocess.Popen(stage.inside([*stage.entrypoint, *stage.command]), stdin=subprocess.DEVNULL)
    begun = time.monotonic()
    while subprocess.run(stage.inside(stage.healthcheck), capture_output=True).returncode != 0:
        if process.poll() is not None:
            raise SystemExit(f"the command ended with {process.returncode}")
        if time.monotonic() - begun > HEALTHY_WITHIN_S:
            report("health check", f"unhealthy for {HEALTHY_WITHIN_S:g} s", False)
        time.sleep(0.2)
    report("health check", f"healthy after {time.monotonic() - begun:.1f} s", True)
    caller = "not-a-number"
    answer = call(caller)
    report(f"an INVITE from {caller!r} is answered", answer, answer.startswith("SIP/2.0 403 "))
    users = sorted(set(user_ids(process.pid)))
    report("user ids of its processes", ", ".join(map(str, users)), 0 not in users)
    process.send_signal(signal.Signals[stage.stop_signal])
    code = process.wait(STOPPED_WITHIN_S)
    report(f"exit code after {stage.stop_signal}", str(code), code == 0)


def call(caller: str) -> str:
    """The first line of the final answer to an INVITE at port 5060."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind(("127.0.0.1", 0))
        peer.settimeout(3.0)
        invite = (
            "INVITE sip:+862088886666@127.0.0.1 SIP/2.0",
            f"Via: SIP/2.0/UDP 127.0.0.1:{peer.getsockname()[1]};branch=z9hG4bKprove",
            "Max-Forwards: 70",
            f"From: <sip:{caller}@127.0.0.1>;tag=1",
            "To: <sip:+862088886666@127.0.0.1>",
            "Call-ID: docker-prove",
            "CSeq: 1 INVITE",
            "Content-Length: 0",
        )
        peer.sendto("\r\n".join((*invite, "", "")).encode(), ("127.0.0.1", 5060))
        try:
            return peer.recv(65536).decode(errors="replace").splitlines()[0]
        except TimeoutError:
            return "no answer"


def user_ids(pid: int) -> Iterator[int]:
    """Of a process and everything below it."""
    status = Path(f"/proc/{pid}/status").read_text()
    yield int(re.search(r"^Uid:\t(\d+)", status, re.MULTILINE)[1])  # type: ignore[index]
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        yield from user_ids(int(child))


def raise_loopback() -> None:
    """Sets the flag IFF_UP of `lo` (netdevice(7))."""
    get_flags, set_flags, up = 0x8913, 0x8914, 0x1
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        request = struct.pack("16sh22x", b"lo", 0)
        (flags,) = struct.unpack_from("h", fcntl.ioctl(handle, get_flags, request), 16)
        fcntl.ioctl(handle, set_flags, struct.pack("16sh22x", b"lo", flags | up))


def megabytes(tree: Path) -> int:
    done = subprocess.run(["du", "-sm", str(tree)], check=True, capture_output=True, text=True)
    return int(done.stdout.split()[0])


def report(what: str, result: str, good: bool) -> None:
    print(f"  {'ok  ' if good else 'FAIL'} {what}: {result}", flush=True)
    if not good:
        raise SystemExit(1)


def main(arguments: list[str]) -> None:
    if arguments[:1] == ["--prove"]:
        prove(Stage(**json.loads(arguments[1])))
        return
    if os.geteuid() != 0:
        raise SystemExit("docker_prove.py: chroot and debootstrap need root")
    WORK.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(WORK / "context", ignore_errors=True)
    dockerfile = Path(arguments[0]) if arguments else ROOT / "Dockerfile"
    print(f"carrying out {dockerfile.name}", flush=True)
    stage = carry_out(dockerfile)
    size, bare = (megabytes(tree) for tree in (Path(stage.tree), bare_debian(SUITE)))
    print(f"  the final stage is {size} MB, {size - bare} MB above the bare tree")
    print("starting the final stage", flush=True)
    namespaces = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
    done = subprocess.run([*namespaces, sys.executable, __file__, "--prove", json.dumps(asdict(stage))], check=False)
    if done.returncode:
        raise SystemExit(done.returncode)


if __name__ == "__main__":
    main(sys.argv[1:])
