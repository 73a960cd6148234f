//! The attributes of `egret-sdk`, which documents them: `#[policy]` makes a module of a function, `#[settings]` settings
//! of a type. Used through `egret-sdk` alone.

mod policy;
mod settings;

use proc_macro::TokenStream;

/// Makes a policy module of a function. See `egret_sdk`.
#[proc_macro_attribute]
pub fn policy(arguments: TokenStream, item: TokenStream) -> TokenStream {
    policy::expand(arguments.into(), item.into()).unwrap_or_else(|error| error.into_compile_error()).into()
}

/// Makes settings of a type. See `egret_sdk`.
#[proc_macro_attribute]
pub fn settings(arguments: TokenStream, item: TokenStream) -> TokenStream {
    settings::expand(arguments.into(), item.into()).unwrap_or_else(|error| error.into_compile_error()).into()
}
