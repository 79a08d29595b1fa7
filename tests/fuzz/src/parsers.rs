//! The parsers of texts and records, each held to what its value means.

use std::str::from_utf8;

use multigres_crds::{address, quantity};
use multigres_operator::topology::desired::{CELL, DATABASE};
use multigres_operator::topology::merge::merge;
use multigres_operator::topology::records::{Cell, Database, Multipooler};
use multigres_webhooks::path::{FieldPath, PathSet};
use prost::Message;
use serde_json::Value;

/// Quantities: a sign, zeros in front and zeros after the point change nothing but what they say.
pub fn quantity(data: &[u8]) {
    let Ok(text) = from_utf8(data) else { return };
    let value = quantity::parse(text).map(|nanos| nanos.0);
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if unsigned.starts_with(['+', '-']) {
        return assert_eq!(value, None);
    }
    let positive = quantity::parse(unsigned).map(|nanos| nanos.0);
    assert!(positive.is_none_or(|nanos| nanos >= 0));
    assert_eq!(value, positive.map(|nanos| if text.starts_with('-') { -nanos } else { nanos }));
    let spelled = |text: String| quantity::parse(&text).map(|nanos| nanos.0);
    if unsigned.starts_with(|c: char| c.is_ascii_digit()) {
        assert_eq!(spelled(format!("0{unsigned}")), positive);
    }
    if let (Some((whole, rest)), Some(_)) = (unsigned.split_once('.'), positive) {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (fraction, suffix) = rest.split_at(digits);
        assert_eq!(spelled(format!("{whole}.{fraction}0{suffix}")), positive);
    }
}

/// Field paths: what is displayed is read as the same, and finds its way in any document.
pub fn path(data: &[u8]) {
    let Ok(text) = from_utf8(data) else { return };
    let path = FieldPath::parse(text);
    let displayed = path.to_string();
    assert_eq!(FieldPath::parse(&displayed).to_string(), displayed);
    assert!(path.parent().names().len() <= path.names().len());
    let mut set = PathSet::default();
    set.insert(&path);
    assert!(set.covers(&path) && set.touches(&path) && set.touches(&path.parent()));
    // The document is the path itself: there, unless it is empty, it leads nowhere.
    let document = Value::String(displayed.clone());
    assert_eq!(path.find(&document).is_some(), path.names().is_empty());
}

/// Addresses of etcd: what is displayed is read as the same.
pub fn address(data: &[u8]) {
    let Ok(text) = from_utf8(data) else { return };
    match address::parse(text) {
        Ok(endpoints) => {
            let displayed: Vec<String> = endpoints.iter().map(ToString::to_string).collect();
            assert_eq!(address::parse(&displayed.join(",")).as_ref(), Ok(&endpoints));
            assert!(address::members(text, "ns").len() <= endpoints.len());
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// Records of the topology: the first byte says where the one that is there ends and the one that is wanted begins.
pub fn record(data: &[u8]) {
    let Some((at, rest)) = data.split_first() else { return };
    let (existing, desired) = rest.split_at(usize::from(*at).min(rest.len()));
    for owned in [CELL, DATABASE] {
        if let Ok(Some(merged)) = merge(existing, desired, owned) {
            assert_eq!(merge(&merged, desired, owned), Ok(None), "a second time something is left to do");
            assert_eq!(merge(&merged, &merged, owned), Ok(None));
        }
    }
    is_read_as_written::<Cell>(existing);
    is_read_as_written::<Database>(existing);
    if let Some(pooler) = is_read_as_written::<Multipooler>(existing) {
        assert!(pooler.hostname.starts_with(pooler.pod()));
    }
}

fn is_read_as_written<M: Message + Default + PartialEq + std::fmt::Debug>(bytes: &[u8]) -> Option<M> {
    let message = M::decode(bytes).ok()?;
    let again = M::decode(message.encode_to_vec().as_slice());
    assert!(again.as_ref() == Ok(&message), "{message:?} is written as {again:?}");
    Some(message)
}
