"""The secret that the admin address asks for, read from a file of its own so that it stands in no configuration."""

from __future__ import annotations

from pathlib import Path

SHORTEST = 16  # characters; a token of 128 random bits has 22 in base64


def read_token(path: Path | str) -> str:
    """The token in `path`, without the space around it; ValueError says why it cannot be used."""
    try:
        token = Path(path).read_text("ascii").strip()
    except OSError as why:
        raise ValueError(f"{path} cannot be read: {why.strerror}") from None
    except UnicodeDecodeError:
        token = ""
    if len(token) < SHORTEST or not token.isprintable() or " " in token:
        raise ValueError(f"{path} does not hold a token: one line of at least {SHORTEST} printable ASCII characters")
    return token
