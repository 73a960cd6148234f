//! What the allocator keeps: an agent runs for months, and loads a program for each workload only once.
#![allow(unsafe_code, reason = "the settings of glibc's allocator have no safe wrapper")]

/// Heaps that threads share. glibc would make eight for each processor, and short threads leave each of them in pieces.
#[cfg(target_env = "gnu")]
const ARENAS: libc::c_int = 2;

/// Bounds how many heaps there are; to be called before there are threads.
pub fn share_arenas() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it sets a number, before any other thread could allocate.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, ARENAS);
    }
}

/// Gives back what is free.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it may be called by any thread at any time.
    unsafe {
        libc::malloc_trim(0);
    }
}
