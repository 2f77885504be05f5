"""oc, oc-algo, oc-validity and oc-seq of a Via (RFC 7339 sections 4 and 9)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.overload_parameters import read_via_overload, without_overload

VIA = b"SIP/2.0/UDP p1.example.net:5060;branch=z9hG4bK2d4790.1"


@pytest.mark.parametrize(
    ("parameters", "read"),
    [
        (b"", (False, -1, -1, 0, set())),
        (b';oc;oc-algo="loss,A"', (True, -1, -1, 0, {"loss"})),
        (b';oc;oc-algo="loss, rate"', (True, -1, -1, 0, {"loss", "rate"})),
        (
            b';received=192.0.2.111;oc=20;oc-algo="loss";oc-validity=500;oc-seq=1282321615.782',
            (True, 20, 500, 128232161578200, {"loss"}),
        ),
        (b';oc=150;oc-algo="rate";oc-validity=1000;oc-seq=7', (True, 150, 1000, 700000, {"rate"})),
        (b" ; OC = 0 ;oc-ALGO=loss;oc-validity=0", (True, 0, 0, 0, {"loss"})),
        (b";ocean=5;xoc=1;rport", (False, -1, -1, 0, set())),
        (b";oc=-1", None),
        (b";oc=9999999999999", None),
        (b";oc=20;oc-seq=1.123456", None),
        (b";oc=20;oc-seq=.5", None),
        (b";oc=20;oc-validity", None),
    ],
)
def test_read(parameters: bytes, read: tuple[bool, int, int, int, set[str]] | None) -> None:
    assert read_via_overload(VIA + parameters) == read


@pytest.mark.parametrize(
    ("values", "left"),
    [
        (VIA, VIA),
        (VIA + b';oc;oc-algo="loss,rate";rport', VIA + b";rport"),
        (VIA + b";oc=20;x=1;oc-seq=1.2, SIP/2.0/UDP b;oc=3;branch=z", VIA + b";x=1, SIP/2.0/UDP b;branch=z"),
        (b'a;x=";oc=5";oc=5;ocx', b'a;x=";oc=5";ocx'),
        (b"a;oc", b"a"),
        (b'a;x="never closed;oc=1', b'a;x="never closed'),
    ],
)
def test_cut_out(values: bytes, left: bytes) -> None:
    assert without_overload(values) == left


@given(st.text(alphabet='oc-alg;="\\, x1seqvidty.', max_size=60))
def test_nothing_is_left_to_cut(text: str) -> None:
    once = without_overload(text.encode())
    assert without_overload(once) == once
    read = read_via_overload(once)
    assert read is None or not read[0]
