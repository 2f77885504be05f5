"""The exchange between the nodes of a fleet: state-based, signed, repaired by digests; MQTT only makes it fast."""
