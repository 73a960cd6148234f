//! The agent: every part wired together.
