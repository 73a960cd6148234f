//! Who is on this node: the workloads file, resolvers, namespaces.
