//! JSON schemas of what settings are made of.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::{Cidr, Pattern, Protocol};

macro_rules! text_schema {
    ($type:ty, $name:literal, $description:literal) => {
        impl JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({"type": "string", "description": $description})
            }
        }
    };
}

text_schema!(
    Pattern,
    "Pattern",
    "a DNS name; `*` is one label or a part of one, a leading `**` one or more labels"
);
text_schema!(Cidr, "Cidr", "a range of addresses, 192.0.2.0/24 or 2001:db8::/32, or one address");
text_schema!(Protocol, "Protocol", "TCP, UDP, SCTP, ICMP or a number");
