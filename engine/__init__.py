"""Call screening, embeddable by itself: no SIP, no I/O, no clock inside."""
