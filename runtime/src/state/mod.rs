//! What a restart needs, on disk.
