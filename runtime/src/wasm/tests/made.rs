//! Components made of a few lines of text.

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// What a module of a test says where it differs from one that always allows.
pub struct Made {
    /// Functions, globals, data.
    pub more: &'static str,
    /// Imported functions.
    pub imports: &'static str,
    /// The body of `decide`: a pointer to an attempt is `local.get 0`, the result is a pointer to a decision.
    pub decide: &'static str,
    /// The body of `configure`, likewise; at 2048 lies `ok`.
    pub configure: &'static str,
    /// The body of `describe`; at 1024 lies a description of nothing.
    pub describe: &'static str,
    /// The inputs that are declared, each as the byte of its number.
    pub inputs: &'static [u8],
    /// Pages of memory.
    pub pages: u32,
    /// WIT of further packages, and what the world imports of them.
    pub packages: &'static [(&'static str, &'static str)],
    pub world: &'static str,
}

impl Default for Made {
    fn default() -> Self {
        Self {
            more: "",
            imports: "",
            // Zeros are `allow`, for this flow.
            decide: "(i32.const 3072)",
            configure: "(i32.const 2048)",
            describe: "(i32.const 1024)",
            inputs: &[],
            pages: 3,
            packages: &[],
            world: "",
        }
    }
}

impl Made {
    /// The core module.
    pub fn core(&self) -> Vec<u8> {
        let Self { more, imports, decide, configure, describe, inputs, pages, .. } = self;
        let (count, inputs) =
            (inputs.len(), inputs.iter().map(|input| format!("\\{input:02x}")).collect::<String>());
        let text = format!(
            r#"(module
                {imports}
                (memory (export "memory") {pages})
                (global $free (mut i32) (i32.const 65536))
                ;; The description's list of inputs: pointer and length.
                (data (i32.const 1040) "\00\05\00\00\{count:02x}\00\00\00")
                (data (i32.const 1280) "{inputs}")
                (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
                    (global.set $free (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
                    (global.get $free)
                    (global.set $free (i32.add (global.get $free) (local.get 3))))
                (func $describe (export "describe") (result i32) {describe})
                (func $configure (export "configure") (param i32 i32) (result i32) {configure})
                (func $decide (export "decide") (param i32) (result i32) {decide})
                {more})"#
        );
        wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"))
    }

    /// The component.
    pub fn component(&self) -> Vec<u8> {
        let mut core = self.core();
        let mut resolve = Resolve::default();
        let contract = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../sdk/wit");
        resolve.push_dir(&contract).expect("the contract");
        for (name, text) in self.packages {
            resolve.push_str(*name, text).expect("a package");
        }
        let world =
            format!("package test:test; world test {{ include egret:policy/module@0.1.0; {} }}", self.world);
        let package = resolve.push_str("test.wit", &world).expect("a world");
        let world = resolve.select_world(&[package], Some("test")).expect("the world");
        encode(&mut core, &resolve, world)
    }
}

/// A component of a world of its own.
pub fn of_world(wit: &str, core: &str) -> Vec<u8> {
    let mut resolve = Resolve::default();
    let package = resolve.push_str("test.wit", wit).expect("a world");
    let world = resolve.select_world(&[package], None).expect("the world");
    encode(&mut wat::parse_str(core).expect("a module"), &resolve, world)
}

fn encode(core: &mut Vec<u8>, resolve: &Resolve, world: wit_parser::WorldId) -> Vec<u8> {
    embed_component_metadata(core, resolve, world, StringEncoding::UTF8).expect("embedded");
    let encoder = ComponentEncoder::default().validate(true).module(core).expect("a module");
    let mut encoder = encoder;
    encoder.encode().unwrap_or_else(|error| panic!("{error:#}"))
}

/// One that always allows.
pub fn plain() -> Vec<u8> {
    Made::default().component()
}
