"""Native only: see _timer_wheel.pxd."""
