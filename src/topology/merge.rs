//! A record is changed without a look at what others keep in it.
//!
//! A decoded message has lost the fields that its type does not know, and newer components may know more than the
//! operator does. So a change works on the fields as they are encoded.

use std::collections::BTreeMap;

use prost::encoding::{
    DecodeContext, WireType, decode_key, decode_varint, encode_key, encode_varint, skip_field,
};

/// The fields of a message that the operator owns, by number.
pub type Fields = &'static [(u32, Owned)];

/// Extent to which a field is owned.
#[derive(Clone, Copy, Debug)]
pub enum Owned {
    /// All of it, every occurrence.
    Value,
    /// Some fields of the message that it holds.
    Message(Fields),
}

/// The existing bytes are not an encoded message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is not a protobuf message")]
pub struct Malformed;

/// Merges the desired values of owned fields into the existing record and keeps all others. Returns none if nothing
/// changes.
pub fn merge(existing: &[u8], desired: &[u8], owned: Fields) -> Result<Option<Vec<u8>>, Malformed> {
    let (mut merged, desired) = (by_number(existing)?, by_number(desired)?);
    let mut changed = false;
    for (number, part) in owned {
        let next = match (part, merged.get(number), desired.get(number)) {
            (_, found, wanted) if found == wanted => continue,
            (Owned::Message(fields), Some(found), Some(wanted)) => {
                match merge(&body(found)?, &body(wanted)?, fields)? {
                    Some(body) => Some(message(*number, &body)),
                    None => continue,
                }
            }
            (_, _, wanted) => wanted.cloned(),
        };
        match next {
            Some(field) => merged.insert(*number, field),
            None => merged.remove(number),
        };
        changed = true;
    }
    Ok(changed.then(|| merged.into_values().flatten().collect()))
}

/// The encoded fields, those of one number together, in their order.
fn by_number(mut bytes: &[u8]) -> Result<BTreeMap<u32, Vec<u8>>, Malformed> {
    let mut fields: BTreeMap<u32, Vec<u8>> = BTreeMap::new();
    while !bytes.is_empty() {
        let start = bytes;
        let (number, wire_type) = decode_key(&mut bytes).map_err(|_| Malformed)?;
        skip_field(wire_type, number, &mut bytes, DecodeContext::default()).map_err(|_| Malformed)?;
        let length = start.len() - bytes.len();
        fields.entry(number).or_default().extend_from_slice(&start[..length]);
    }
    Ok(fields)
}

/// The message in a field. Repeated, it is the parts of one message.
fn body(mut field: &[u8]) -> Result<Vec<u8>, Malformed> {
    let mut body = Vec::new();
    while !field.is_empty() {
        let (_, wire_type) = decode_key(&mut field).map_err(|_| Malformed)?;
        if wire_type != WireType::LengthDelimited {
            return Err(Malformed);
        }
        let length = decode_varint(&mut field).map_err(|_| Malformed)?;
        let length = usize::try_from(length).map_err(|_| Malformed)?;
        let (part, rest) = field.split_at_checked(length).ok_or(Malformed)?;
        body.extend_from_slice(part);
        field = rest;
    }
    Ok(body)
}

fn message(number: u32, body: &[u8]) -> Vec<u8> {
    let mut field = Vec::with_capacity(body.len() + 8);
    encode_key(number, WireType::LengthDelimited, &mut field);
    encode_varint(body.len() as u64, &mut field);
    field.extend_from_slice(body);
    field
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Field 1 is owned, field 2 as a message of which field 1 is owned, the rest is others'.
    const OWNED: Fields = &[(1, Owned::Value), (2, Owned::Message(&[(1, Owned::Value)]))];

    fn number(field: u32, value: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode_key(field, WireType::Varint, &mut bytes);
        encode_varint(value, &mut bytes);
        bytes
    }

    #[test]
    fn what_is_owned_becomes_as_desired() {
        for (case, existing, desired, expected) in [
            ("the same", number(1, 7), number(1, 7), None),
            ("changed", number(1, 7), number(1, 8), Some(number(1, 8))),
            ("added", vec![], number(1, 8), Some(number(1, 8))),
            ("removed", number(1, 7), vec![], Some(vec![])),
            ("twice", [number(1, 7), number(1, 8)].concat(), number(1, 8), Some(number(1, 8))),
            ("of others", number(3, 7), vec![], None),
            (
                "beside others",
                [number(3, 1), number(1, 7)].concat(),
                number(1, 8),
                Some([number(1, 8), number(3, 1)].concat()),
            ),
            ("in another order", [number(3, 1), number(1, 7)].concat(), number(1, 7), None),
            (
                "within",
                message(2, &[number(1, 7), number(9, 1)].concat()),
                message(2, &number(1, 8)),
                Some(message(2, &[number(1, 8), number(9, 1)].concat())),
            ),
            (
                "beside others within",
                message(2, &[number(9, 1), number(1, 7)].concat()),
                message(2, &number(1, 7)),
                None,
            ),
            (
                "in parts",
                [message(2, &number(9, 1)), message(2, &number(1, 7))].concat(),
                message(2, &number(1, 8)),
                Some(message(2, &[number(1, 8), number(9, 1)].concat())),
            ),
            ("removed as a whole", message(2, &number(9, 1)), vec![], Some(vec![])),
        ] {
            assert_eq!(merge(&existing, &desired, OWNED), Ok(expected), "{case}");
        }
    }

    #[test]
    fn what_is_no_message_is_not_written_over() {
        for bytes in [&b"\xff"[..], b"\x0a\x05ab", b"\x08", b"\x0f"] {
            assert_eq!(merge(bytes, &number(1, 1), OWNED), Err(Malformed), "{bytes:?}");
        }
        assert_eq!(merge(&number(2, 7), &message(2, &number(1, 1)), OWNED), Err(Malformed));
    }

    fn any_fields() -> impl Strategy<Value = Vec<u8>> {
        let inner = proptest::collection::vec((1..4_u32, any::<u64>()), 0..4);
        let field = prop_oneof![
            (1..6_u32, any::<u64>())
                .prop_filter("a message", |(field, _)| *field != 2)
                .prop_map(|(f, v)| number(f, v)),
            inner.prop_map(|fields| message(
                2,
                &fields.iter().flat_map(|(f, v)| number(*f, *v)).collect::<Vec<_>>()
            )),
            (3..6_u32, proptest::collection::vec(any::<u8>(), 0..6)).prop_map(|(f, body)| message(f, &body)),
        ];
        proptest::collection::vec(field, 0..8).prop_map(|fields| fields.concat())
    }

    proptest! {
        #[test]
        fn others_keep_what_is_theirs(existing in any_fields(), desired in any_fields()) {
            let Some(merged) = merge(&existing, &desired, OWNED)? else { return Ok(()) };
            prop_assert_eq!(merge(&merged, &desired, OWNED)?, None, "a second time nothing is left to do");
            let (before, after, wanted) = (by_number(&existing)?, by_number(&merged)?, by_number(&desired)?);
            for field in 3..6 {
                prop_assert_eq!(before.get(&field), after.get(&field));
            }
            prop_assert_eq!(after.get(&1), wanted.get(&1));
            if let (Some(before), Some(after)) = (before.get(&2), after.get(&2)) {
                let theirs = |field: &[u8]| Ok::<_, Malformed>(by_number(&body(field)?)?.split_off(&2));
                prop_assert_eq!(theirs(before)?, theirs(after)?);
            }
        }

        #[test]
        fn nothing_that_is_read_panics(existing in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = merge(&existing, &number(1, 1), OWNED);
        }
    }
}
