"""What regions say of keys: one record for each metric, of the highest trust that a region has told it under.

A revocation makes a new bundle of a higher version. What a region said under the old one may hold evidence of the
revoked, so the first record under the new one replaces it.
"""

from __future__ import annotations

from proxy.control.sync.records import Region
from proxy.control.sync.trust import Trust


class RegionTable:
    def __init__(self) -> None:
        self._keys: dict[int, dict[str, tuple[int, dict[int, Region]]]] = {}

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def is_used(self) -> bool:
        return bool(self._keys)

    def merge(self, region: str, trust: int, record: Region, f: int) -> bool:
        """Whether it brought something new."""
        regions = self._keys.setdefault(record.key, {})
        version, records = regions.get(region, (0, {}))
        if trust < version:
            return False
        if trust > version:
            regions[region] = trust, {record.metric: record}
            return True
        before = records.get(record.metric)
        after = record if before is None else join_regions(before, record, f)
        records[record.metric] = after
        return before is None or (after.q, after.origins, after.largest) != (before.q, before.origins, before.largest)

    def read(self, key: int, trust: Trust) -> dict[str, list[Region]]:
        """By region, those that still have members."""
        standing = {member.region for member in trust.members}
        return {
            region: list(records.values())
            for region, (_, records) in self._keys.get(key, {}).items()
            if region in standing
        }

    def outdated(self, key: int, trust: int) -> dict[str, list[int]]:
        """The metrics of a key that a region has told only under an earlier trust."""
        return {
            region: list(records)
            for region, (version, records) in self._keys.get(key, {}).items()
            if version < trust
        }

    def forget(self, key: int) -> None:
        self._keys.pop(key, None)


def join_regions(ours: Region, theirs: Region, f: int) -> Region:
    """Of two records of the same region, key, generation and metric: larger sum, all origins, the F largest."""
    largest = dict(ours.largest)
    for index, q in theirs.largest:
        largest[index] = max(largest.get(index, 0), q)
    ordered = sorted(largest.items(), key=lambda item: (-item[1], -item[0]))
    return Region(
        ours.key,
        ours.gen,
        ours.metric,
        max(ours.q, theirs.q),
        max(ours.day, theirs.day),
        ours.origins | theirs.origins,
        ordered[:f],
    )
