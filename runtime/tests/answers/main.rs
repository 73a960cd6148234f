//! The API over real sockets and the `egret` program over the API, with an agent that holds everything in memory.

mod api;
mod cli;
mod memory;
mod metrics;
