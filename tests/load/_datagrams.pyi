"""Native only: see _datagrams.pxd."""
