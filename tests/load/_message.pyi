"""Native only: see _message.pxd."""
