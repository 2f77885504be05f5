"""Topics, and who may say what on them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from proxy.control.sync.keys import GROUPS
from proxy.control.sync.records import RecordType

MAX_TOPIC_LEVELS = 8


class Branch(StrEnum):
    UP = "up"  # a node's evidence, to the reducers of its region
    REGION = "rg"  # a region's sums, to those that judge
    DOWN = "dn"  # verdicts
    HOT = "hot"  # leases
    DECISIONS = "dec"
    SUMMARY = "sum"
    STATUS = "st"
    TRUST = "key"
    REQUEST = "rq"  # to any one reducer
    ANSWER = "rs"  # a node's own inbox


ALLOWED = {
    Branch.UP: frozenset({RecordType.EVIDENCE, RecordType.COMPLAINANTS, RecordType.CALLEES, RecordType.DEMAND}),
    Branch.REGION: frozenset({RecordType.REGION}),
    Branch.DOWN: frozenset({RecordType.VERDICT}),
    Branch.HOT: frozenset({RecordType.LEASE}),
    Branch.DECISIONS: frozenset({RecordType.DECISION, RecordType.GENERATION}),
    Branch.SUMMARY: frozenset({RecordType.SUMMARY}),
    Branch.STATUS: frozenset({RecordType.STATUS}),
    Branch.REQUEST: frozenset({RecordType.REQUEST}),
    Branch.ANSWER: frozenset({RecordType.ANSWER, RecordType.REQUEST}),
}


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to publish. expiry_s: 0 = never."""

    topic: str
    payload: bytes
    qos: int = 1
    retain: bool = False
    expiry_s: int = 0


@dataclass(frozen=True, slots=True)
class Topics:
    fleet: str

    @property
    def root(self) -> str:
        return f"callsieve/1/{self.fleet}"

    def up(self, region: str, node: str, group: int | str) -> str:
        return f"{self.root}/up/{region}/{node}/{group}"

    def demands(self, region: str, node: str) -> str:
        """Beside a node's evidence, so that whoever lends need not hear all of that."""
        return self.up(region, node, "lend")

    def region(self, region: str, group: int | str) -> str:
        return f"{self.root}/rg/{region}/{group}"

    def down(self, group: int | str) -> str:
        return f"{self.root}/dn/{group}"

    def hot(self, group: int | str) -> str:
        return f"{self.root}/hot/{group}"

    def decisions(self, namespace: str) -> str:
        return f"{self.root}/dec/{namespace}"

    def summary(self, node: str) -> str:
        return f"{self.root}/sum/{node}"

    def status(self, node: str) -> str:
        return f"{self.root}/st/{node}"

    @property
    def trust(self) -> str:
        return f"{self.root}/key"

    def request(self, group: int | str) -> str:
        return f"{self.root}/rq/{group}"

    def inbox(self, node: str) -> str:
        return f"{self.root}/rs/{node}"

    def shared(self, topic: str) -> str:
        """So that one of all that listen gets each message (MQTT 5 section 4.8.2)."""
        return f"$share/sync/{topic}"

    def parse(self, topic: str) -> tuple[Branch, list[str]] | None:
        """(branch, levels below it); None if it is none of this fleet's."""
        if not topic.startswith(self.root + "/"):
            return None
        name, *levels = topic[len(self.root) + 1 :].split("/", MAX_TOPIC_LEVELS)
        return (Branch(name), levels) if name in Branch.__members__.values() else None


def all_groups() -> range:
    return range(GROUPS)
