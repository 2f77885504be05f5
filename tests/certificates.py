"""Certificates for tests, made by the openssl program: an authority of the test's own, and what it issues."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate and its key, both in PEM files."""

    certificate: Path
    key: Path


class Authority:
    """Signs certificates; its own is `certificate`."""

    def __init__(self, directory: Path, name: str = "authority") -> None:
        self._directory = directory
        self._name = name
        self.certificate = directory / f"{name}.pem"
        self._key = directory / f"{name}.key"
        _openssl("req", "-x509", *_KEY, "-keyout", self._key, "-out", self.certificate, "-subj", f"/CN={name}")

    def issue(self, name: str, san: str = "", days: int = 30, common_name: str = "x") -> Issued:
        """san: as openssl has it, default the name as DNS:. days: below 0 it has expired."""
        issued = Issued(self._directory / f"{name}.pem", self._directory / f"{name}.key")
        request, extensions = self._directory / f"{name}.csr", self._directory / f"{name}.ext"
        extensions.write_text(f"subjectAltName={san or 'DNS:' + name}\n")
        _openssl("req", "-new", *_KEY, "-keyout", issued.key, "-out", request, "-subj", f"/CN={common_name}")
        signer = ("-CA", self.certificate, "-CAkey", self._key, "-extfile", extensions)
        _openssl("x509", "-req", "-in", request, *signer, "-days", str(days), "-out", issued.certificate)
        return issued


def _openssl(*arguments: str | Path) -> None:
    program = shutil.which("openssl")
    assert program, "openssl is not installed: `make deps` installs it"
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
