//! Values of `egret_abi` as aya wants them.
#![allow(unsafe_code, reason = "aya's Pod is an unsafe trait; zerocopy proves what it asks")]

use zerocopy::{FromBytes, Immutable, IntoBytes};

/// A value that is nothing but its bytes.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub struct Plain<T>(pub T);

// SAFETY: `T` has no padding (IntoBytes), any bytes are one (FromBytes), and the wrapper is transparent.
unsafe impl<T: Copy + FromBytes + IntoBytes + Immutable + 'static> aya::Pod for Plain<T> {}
