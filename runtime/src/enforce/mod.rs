//! From desired state to kernel maps; the only writer of maps in user space.
