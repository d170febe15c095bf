"""An explicit-state model checker of the send protocol (PROTOCOL 13): every interleaving and every fault."""
