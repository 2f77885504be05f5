"""Writes the torture messages of RFC 4475 or RFC 5118 as files, bit for bit, from the archive in the RFC's appendix A.

python tests/data/extract_torture.py rfc4475.txt tests/data/rfc4475
python tests/data/extract_torture.py rfc5118.txt tests/data/rfc5118
"""

from __future__ import annotations

import base64
import io
import re
import sys
import tarfile
from pathlib import Path

BEGIN, END = "-- BEGIN MESSAGE ARCHIVE --", "-- END MESSAGE ARCHIVE --"
BASE64_LINE = re.compile(r"[ ]+([A-Za-z0-9+/=]+)")


def messages(rfc: str) -> dict[str, bytes]:
    """The archive's files by name. The lines between the page breaks are base64 of a compressed tar."""
    archive = rfc[rfc.rindex(BEGIN) : rfc.rindex(END)]
    lines = (BASE64_LINE.fullmatch(line) for line in archive.splitlines())
    data = base64.b64decode("".join(line.group(1) for line in lines if line))
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {Path(member.name).name: _content(tar, member) for member in tar if member.isfile()}


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member)
    assert file is not None
    return file.read()


def main() -> None:
    rfc, directory = Path(sys.argv[1]), Path(sys.argv[2])
    directory.mkdir(parents=True, exist_ok=True)
    for name, data in messages(rfc.read_text(encoding="utf-8")).items():
        (directory / name).write_bytes(data)


if __name__ == "__main__":
    main()
