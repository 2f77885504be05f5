"""The load harness: compiled SIP endpoints that place and answer calls from a labelled mix, and its command."""
