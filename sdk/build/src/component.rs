//! From a core module that says its world to a component.

use wit_component::ComponentEncoder;

/// Why a core module becomes no component.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "what was compiled is no policy module: {0}. Does the crate have a function with #[egret_sdk::policy]?"
)]
pub struct NotAModule(pub String);

/// The component of a core module that carries the description of its world, as bindings leave it.
///
/// # Errors
/// [`NotAModule`] where the description is missing, or the module's exports do not fit it.
pub fn component(module: &[u8]) -> Result<Vec<u8>, NotAModule> {
    let mut encoder = ComponentEncoder::default().validate(true);
    encoder = encoder.module(module).map_err(|error| NotAModule(format!("{error:#}")))?;
    encoder.encode().map_err(|error| NotAModule(format!("{error:#}")))
}
