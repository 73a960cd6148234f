//! The HTTP API on a unix socket, and on loopback TCP where asked for.
