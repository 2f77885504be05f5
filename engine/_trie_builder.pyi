"""Builds the packed sets of prefixes that `PrefixTrie` matches."""

from typing_extensions import Buffer

def build_image(keys: Buffer, values: Buffer) -> bytes:
    """`PrefixTrie.build_keys`, without its checks of the entries; ValueError for 2^31 entries and more."""
