//! From DNS answers to bindings; parsing and memory of names, without I/O.
