//! Who may deliver past the host side of pairs: programs of somebody else that call `bpf_redirect_peer`.
//!
//! What a program calls is read from its instructions: where the kernel has put the address of the helper, relative to a
//! symbol of its own. Any program that is loaded counts, whatever it is attached to: which one jumps into which other
//! changes under our eyes.

use std::collections::BTreeMap;
use std::fs;

use super::bpf;

/// Names of Egret's own programs that deliver.
const OWN: [&str; 1] = ["gate_in"];
/// An instruction that calls; in its second byte the highest bits are 0 where it calls a helper.
const CALL: u8 = 0x85;
const SYMBOLS: &str = "/proc/kallsyms";

/// What is known of the programs of this kernel.
#[derive(Debug)]
pub struct Delivery {
    /// What a call of the helper holds; `None`: the kernel does not tell where it is.
    helper: Option<i32>,
    /// The last program that was looked at.
    seen: u32,
    /// Those that may deliver, by their numbers.
    found: BTreeMap<u32, String>,
}

impl Delivery {
    /// Nothing looked at yet.
    #[must_use]
    pub fn new() -> Self {
        let symbols = fs::read_to_string(SYMBOLS).unwrap_or_default();
        Self { helper: helper(&symbols), seen: 0, found: BTreeMap::new() }
    }

    /// The first program that may deliver past the host side, in words. It costs one system call where no program came or
    /// went. What cannot be read counts as one that may.
    pub fn first(&mut self) -> Option<String> {
        loop {
            match bpf::next_program(self.seen) {
                Ok(Some(id)) => {
                    self.seen = id;
                    if let Some(name) = self.delivers(id) {
                        self.found.insert(id, format!("`{name}` (id {id})"));
                    }
                }
                Ok(None) => break,
                Err(error) => return Some(format!("a program that cannot be looked at ({error})")),
            }
        }
        self.found.retain(|id, _| !matches!(bpf::program(*id), Ok(None)));
        self.found.values().next().cloned()
    }

    /// The name of a program of somebody else that calls the helper, or may.
    fn delivers(&self, id: u32) -> Option<String> {
        let Ok(program) = bpf::program(id) else { return Some("unknown".to_owned()) };
        // `None`: it is gone.
        let Ok((name, instructions)) = bpf::instructions(&program?) else {
            return Some("unknown".to_owned());
        };
        let name: String = name.chars().filter(char::is_ascii_graphic).collect();
        let is_own = OWN.contains(&name.as_str());
        (!is_own && may_call(&instructions, self.helper)).then_some(name)
    }
}

impl Default for Delivery {
    fn default() -> Self {
        Self::new()
    }
}

/// Whether instructions call the helper, or it cannot be told.
fn may_call(instructions: &[u64], helper: Option<i32>) -> bool {
    let Some(helper) = helper else { return true };
    instructions.is_empty()
        || instructions.iter().any(|instruction| {
            let [code, registers, _, _, value @ ..] = instruction.to_ne_bytes();
            let value = i32::from_ne_bytes(value);
            // A kernel that hides addresses writes 0 into every call.
            code == CALL && registers >> 4 == 0 && (value == helper || value == 0)
        })
}

/// Where `bpf_redirect_peer` is, as calls hold it; `None` where addresses are hidden.
fn helper(symbols: &str) -> Option<i32> {
    let address = |wanted: &str| {
        let line = symbols.lines().find(|line| line.split(' ').nth(2) == Some(wanted))?;
        u64::from_str_radix(line.split(' ').next()?, 16).ok().filter(|address| *address != 0)
    };
    let offset = address("bpf_redirect_peer")?.wrapping_sub(address("__bpf_call_base")?);
    // The kernel keeps the lower half, too.
    Some(offset as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SYMBOLS: &str = "\
ffffffff81234500 T __bpf_call_base
ffffffff81fff000 T bpf_redirect
ffffffff82000000 T bpf_redirect_peer
ffffffffc0000000 t bpf_redirect_peer_not\t[module]
";

    #[test]
    fn the_place_of_the_helper_is_relative_to_that_of_all_calls() {
        assert_eq!(helper(SYMBOLS), Some(0x00dc_bb00));
        let hidden = SYMBOLS.replace("ffffffff82000000", "0000000000000000");
        assert_eq!(helper(&hidden), None);
        assert_eq!(helper(""), None);
    }

    #[test]
    fn a_program_may_deliver_where_it_calls_the_helper_or_cannot_be_read() {
        let instruction = |code: u8, registers: u8, value: i32| {
            let [a, b, c, d] = value.to_ne_bytes();
            u64::from_ne_bytes([code, registers, 0, 0, a, b, c, d])
        };
        let exit = instruction(0x95, 0, 0);
        for (what, instructions, helper, expected) in [
            ("the helper", vec![instruction(CALL, 0, 77), exit], Some(77), true),
            ("another", vec![instruction(CALL, 0, 78), exit], Some(77), false),
            ("a function of its own", vec![instruction(CALL, 0x10, 77), exit], Some(77), false),
            ("not a call", vec![instruction(0xb7, 0, 77), exit], Some(77), false),
            ("a call that is hidden", vec![instruction(CALL, 0, 0), exit], Some(77), true),
            ("nothing to read", vec![], Some(77), true),
            ("a helper that nobody knows", vec![exit], None, true),
        ] {
            assert_eq!(may_call(&instructions, helper), expected, "{what}");
        }
    }

    #[test]
    fn this_kernel_tells_where_the_helper_is_and_what_is_loaded() {
        let mut delivery = Delivery::new();
        assert!(delivery.helper.is_some(), "run the tests as root");
        let _ = delivery.first();
        let before = delivery.seen;
        let _ = delivery.first();
        assert!(delivery.seen >= before);
    }
}
