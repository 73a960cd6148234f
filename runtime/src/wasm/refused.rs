//! Why a module was not loaded.

use super::fault::Fault;
use super::manifest::LimitError;

/// The largest module that is loaded, in bytes.
pub(super) const MAX_BYTES: usize = 64 << 20;

/// Why a module was not loaded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is not the file that the manifest means.
    #[error("the digest is sha256:{found}, the manifest says {expected}")]
    Digest {
        /// What the manifest says.
        expected: String,
        /// What the file has.
        found: String,
    },
    /// More bytes than a module may have.
    #[error("the module has {0} bytes; the most that is loaded is {MAX_BYTES}")]
    TooLarge(usize),
    /// No Wasm at all.
    #[error("this is not Wasm")]
    NotWasm,
    /// Wasm, but no component.
    #[error("this is a core module, not a component; `egret module build` makes a component")]
    NotAComponent,
    /// Its limits are outside of what an agent gives.
    #[error(transparent)]
    Limits(#[from] LimitError),
    /// It imports what no module gets.
    #[error("the module imports {0}, which no module gets")]
    Import(String),
    /// It imports an interface of a version that this agent does not know.
    #[error("the module imports {0}; this agent has version 0.1 of the contract")]
    Version(String),
    /// It imports what it was not granted.
    #[error(
        "the module imports {interface}, which it was not granted; write `grants: {{{grant}: true}}` in its manifest"
    )]
    NotGranted {
        /// The interface.
        interface: String,
        /// The grant.
        grant: &'static str,
    },
    /// It imports what it does not declare.
    #[error("the module imports {interface} and does not declare the input `{input}`")]
    NotDeclared {
        /// The interface.
        interface: &'static str,
        /// The input.
        input: &'static str,
    },
    /// A function of the contract is missing.
    #[error(
        "the module does not export {0}; it must export describe, configure and decide of egret:policy@0.1"
    )]
    Missing(&'static str),
    /// A function has another type than the contract's.
    #[error("the module does not fit egret:policy@0.1: {0}")]
    World(String),
    /// It does not compile.
    #[error("the module does not compile: {0}")]
    Invalid(String),
    /// Compiling it takes more than it may.
    #[error("compiling the module takes more than {0}")]
    CompileLimit(String),
    /// The compiler's process failed otherwise.
    #[error("the compiler failed: {0}")]
    Compiler(String),
    /// It could not say what it is.
    #[error("the module cannot describe itself: {0}")]
    Describe(Fault),
    /// What it says of itself breaks the contract.
    #[error("the module's description is wrong: {0}")]
    Description(String),
}
