//! `#[policy(inputs(...), summary = "...", on_answer = ...)]` on a function.

use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote};
use syn::parse::{Parse, ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::{Error, FnArg, ItemFn, LitStr, Path, Result, Token, Type, parenthesized};

/// The inputs of the contract, as they are written, and the variants of `Input`.
const INPUTS: [(&str, &str); 6] = [
    ("workload", "Workload"),
    ("address", "Address"),
    ("names", "Names"),
    ("port", "Port"),
    ("time", "Time"),
    ("counters", "Counters"),
];

#[derive(Default)]
struct Arguments {
    inputs: Option<Vec<Ident>>,
    summary: Option<LitStr>,
    on_answer: Option<Path>,
}

enum Argument {
    Inputs(Vec<Ident>),
    Summary(LitStr),
    OnAnswer(Path),
}

impl Parse for Argument {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let name: Ident = input.parse()?;
        if name == "inputs" {
            let content;
            parenthesized!(content in input);
            let words = Punctuated::<Ident, Token![,]>::parse_terminated(&content)?;
            return Ok(Self::Inputs(words.iter().map(variant).collect::<Result<_>>()?));
        }
        if name == "summary" {
            input.parse::<Token![=]>()?;
            return Ok(Self::Summary(input.parse()?));
        }
        if name == "on_answer" {
            input.parse::<Token![=]>()?;
            return Ok(Self::OnAnswer(input.parse()?));
        }
        Err(Error::new(name.span(), "write `inputs(...)`, `summary = \"...\"` or `on_answer = FUNCTION`"))
    }
}

fn variant(word: &Ident) -> Result<Ident> {
    let known = INPUTS.iter().find(|(written, _)| word == written);
    known.map(|(_, variant)| Ident::new(variant, word.span())).ok_or_else(|| {
        let all: Vec<_> = INPUTS.iter().map(|(written, _)| *written).collect();
        Error::new(word.span(), format!("this is no input; the inputs are {}", all.join(", ")))
    })
}

fn arguments(tokens: TokenStream) -> Result<Arguments> {
    let mut arguments = Arguments::default();
    for argument in Punctuated::<Argument, Token![,]>::parse_terminated.parse2(tokens)? {
        match argument {
            Argument::Inputs(inputs) => arguments.inputs = Some(inputs),
            Argument::Summary(summary) => arguments.summary = Some(summary),
            Argument::OnAnswer(function) => arguments.on_answer = Some(function),
        }
    }
    Ok(arguments)
}

pub fn expand(tokens: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let arguments = arguments(tokens)?;
    let function: ItemFn = syn::parse2(item)?;
    let settings = settings_type(&function)?;
    let inputs = arguments.inputs.ok_or_else(|| {
        Error::new_spanned(
            &function.sig.ident,
            "say what the decision depends on: #[policy(inputs(workload, names))], or inputs() for nothing",
        )
    })?;
    let summary = match &arguments.summary {
        Some(text) => quote!(#text),
        None => quote!(::core::env!("CARGO_PKG_DESCRIPTION")),
    };
    let (name, module) = (&function.sig.ident, format_ident!("Policy"));
    let has_settings = settings.is_some();
    let (settings, call) = match settings {
        Some(settings) => (quote!(#settings), quote!(#name(attempt, settings))),
        None => (quote!(::egret_sdk::NoSettings), quote!({ let _ = settings; #name(attempt) })),
    };
    let (on_answer, export_answers) = match &arguments.on_answer {
        Some(watch) => {
            let call = match has_settings {
                true => quote!(#watch(answer, settings)),
                false => quote!({ let _ = settings; #watch(answer) }),
            };
            let method = quote! {
                fn on_answer(
                    answer: &::egret_sdk::DnsAnswer,
                    settings: &Self::Settings,
                ) -> ::egret_sdk::Opinion {
                    #call
                }
            };
            let export = quote! {
                ::egret_sdk::guest::answers::export!(Exported with_types_in ::egret_sdk::guest::answers);
            };
            (method, export)
        }
        None => (quote!(), quote!()),
    };
    Ok(quote! {
        #function

        /// The policy that this module is.
        #[derive(Clone, Copy, Debug)]
        pub struct #module;

        impl ::egret_sdk::Policy for #module {
            type Settings = #settings;
            const SUMMARY: &'static str = #summary;
            const VERSION: &'static str = ::core::env!("CARGO_PKG_VERSION");
            const INPUTS: &'static [::egret_sdk::Input] = &[#(::egret_sdk::Input::#inputs),*];

            fn decide(attempt: &::egret_sdk::Attempt, settings: &Self::Settings) -> ::egret_sdk::Decision {
                #call
            }

            #on_answer

            fn slot() -> &'static ::std::thread::LocalKey<::egret_sdk::Slot<Self::Settings>> {
                ::std::thread_local! {
                    static SLOT: ::egret_sdk::Slot<#settings> = const { ::egret_sdk::Slot::new(None) };
                }
                &SLOT
            }
        }

        #[cfg(target_arch = "wasm32")]
        const _: () = {
            type Exported = ::egret_sdk::guest::Exported<#module>;
            ::egret_sdk::guest::bindings::export!(Exported with_types_in ::egret_sdk::guest::bindings);
            #export_answers
        };
    })
}

/// The type behind the second parameter, where there is one.
fn settings_type(function: &ItemFn) -> Result<Option<&Type>> {
    let wrong = || {
        let shape = "a policy is `fn decide(attempt: &Attempt, settings: &Settings) -> Decision`, \
                     or without the second parameter";
        Error::new_spanned(&function.sig, shape)
    };
    let arguments: Option<Vec<&Type>> = function.sig.inputs.iter().map(referenced).collect();
    match arguments.as_deref() {
        Some([_]) => Ok(None),
        Some([_, settings]) => Ok(Some(settings)),
        _ => Err(wrong()),
    }
}

/// The type behind a parameter that is a shared reference.
fn referenced(argument: &FnArg) -> Option<&Type> {
    let FnArg::Typed(typed) = argument else { return None };
    match &*typed.ty {
        Type::Reference(reference) if reference.mutability.is_none() => Some(&reference.elem),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(arguments: &str, item: &str) -> String {
        let parse = |text: &str| text.parse().expect("tokens");
        expand(parse(arguments), parse(item)).expect_err("refused").to_string()
    }

    #[test]
    fn what_is_no_policy_is_refused_with_what_to_write() {
        let good = "fn decide(attempt: &Attempt) -> Decision { todo() }";
        for (arguments, item, words) in [
            ("", good, "say what the decision depends on"),
            ("inputs(name)", good, "the inputs are workload, address, names"),
            ("input(names)", good, "write `inputs(...)`"),
            ("inputs(names)", "fn decide() -> Decision { todo() }", "a policy is `fn decide"),
            ("inputs(names)", "fn decide(attempt: Attempt) -> Decision { todo() }", "a policy is `fn decide"),
        ] {
            let told = error(arguments, item);
            assert!(told.contains(words), "{told}");
        }
    }
}
