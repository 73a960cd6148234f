//! Programs, maps, devices and namespaces of the kernel; the only module that knows aya.
