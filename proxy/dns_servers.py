"""Questions to DNS servers: by aiodns, off the call path, and records as plain values."""

from __future__ import annotations

from collections.abc import Sequence

import aiodns
from pycares import AAAARecordData, ARecordData, DNSRecord, NAPTRRecordData, SRVRecordData

from proxy.record_cache import NEGATIVE_S, QueryError, RecordSet
from proxy.server_location import Naptr, Srv

MAX_RECORDS = 1024  # of one answer; the rest is not looked at
# Tries at 0, 0.7 and 2.1 s: one lost datagram does not cost the resolver's deadline, and a late answer fills its cache.
_TRY_S = 0.7
_TRIES = 3
_NO_SUCH_NAME = {aiodns.error.ARES_ENODATA, aiodns.error.ARES_ENOTFOUND, aiodns.error.ARES_EBADNAME}
_TYPES = {"A": 1, "AAAA": 28, "SRV": 33, "NAPTR": 35}


class DnsServers:
    """c-ares, which goes on to TCP where an answer is too long for a datagram.

    servers: address[:port], IPv6 in brackets; none = those of /etc/resolv.conf. Made within the running loop.
    """

    def __init__(self, servers: Sequence[str] = ()) -> None:
        self._resolver = aiodns.DNSResolver(nameservers=list(servers) or None, timeout=_TRY_S, tries=_TRIES)

    async def query(self, name: str, kind: str) -> RecordSet:
        """The records of a name, kind "A", "AAAA", "SRV" or "NAPTR"; QueryError if no server answers."""
        try:
            result = await self._resolver.query_dns(name, kind)
        except aiodns.error.DNSError as why:
            if why.args[0] in _NO_SUCH_NAME:
                return RecordSet((), NEGATIVE_S)
            raise QueryError(f"{kind} of {name}: {why.args[1]}") from why
        found = [record for record in result.answer if record.type == _TYPES[kind]][:MAX_RECORDS]
        return RecordSet(tuple(map(_value, found)), min((record.ttl for record in found), default=NEGATIVE_S))

    async def close(self) -> None:
        await self._resolver.close()


def _value(record: DNSRecord) -> object:
    match record.data:
        case ARecordData(addr) | AAAARecordData(addr):
            return addr
        case SRVRecordData(priority, weight, port, target):
            return Srv(priority, weight, port, target)
        case NAPTRRecordData(order, preference, flags, service, _, replacement):
            return Naptr(order, preference, flags, service, replacement)
    raise AssertionError("only records of the four types are read")
