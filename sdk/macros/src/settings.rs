//! `#[settings]` on a type.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Error, Item, Result};

pub fn expand(arguments: TokenStream, item: TokenStream) -> Result<TokenStream> {
    if !arguments.is_empty() {
        return Err(Error::new_spanned(arguments, "`#[settings]` takes no arguments"));
    }
    let item: Item = syn::parse2(item)?;
    let unknown = match item {
        Item::Struct(_) => quote!(deny_unknown_fields, rename_all = "camelCase"),
        Item::Enum(_) => quote!(rename_all = "camelCase"),
        other => return Err(Error::new_spanned(other, "settings are a struct or an enum")),
    };
    Ok(quote! {
        #[derive(Clone, Debug, ::egret_sdk::serde::Deserialize, ::egret_sdk::schemars::JsonSchema)]
        #[serde(crate = "::egret_sdk::serde", #unknown)]
        #[schemars(crate = "::egret_sdk::schemars")]
        #item
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_types_are_settings() {
        let parse = |text: &str| text.parse().expect("tokens");
        assert!(expand(parse(""), parse("struct Settings { days: Vec<String> }")).is_ok());
        assert!(expand(parse("x"), parse("struct Settings;")).is_err());
        assert!(expand(parse(""), parse("fn settings() {}")).is_err());
    }
}
