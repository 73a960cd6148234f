//! From kernel events to flow records.
