//! Syntax of names, keys and values in Kubernetes (`k8s.io/apimachinery/pkg/util/validation`).

use memchr::memchr;

/// Longest name of an object.
pub const MAX_SUBDOMAIN: usize = 253;
/// Longest name part of a label's or an annotation's key, and longest value of a label.
pub const MAX_NAME: usize = 63;

/// Labels of DNS, joined by dots, of whatever length.
pub fn is_subdomain(text: &str) -> bool {
    let alphanumeric = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.split('.').all(|label| {
        begins_and_ends(label, alphanumeric) && label.bytes().all(|c| alphanumeric(c) || c == b'-')
    })
}

/// The name part of a key, of whatever length.
pub fn is_name(text: &str) -> bool {
    let alphanumeric = |c: u8| c.is_ascii_alphanumeric();
    begins_and_ends(text, alphanumeric)
        && text.bytes().all(|c| alphanumeric(c) || matches!(c, b'-' | b'_' | b'.'))
}

/// Splits a text at the first such ASCII byte. Faster than `split_once` for texts as short as these.
pub fn cut(text: &str, at: u8) -> Option<(&str, &str)> {
    let at = memchr(at, text.as_bytes())?;
    Some((&text[..at], &text[at + 1..]))
}

/// True if the first and the last byte pass the test; false for an empty text.
pub fn begins_and_ends(text: &str, with: impl Fn(u8) -> bool) -> bool {
    let text = text.as_bytes();
    text.first().is_some_and(|c| with(*c)) && text.last().is_some_and(|c| with(*c))
}

/// The name of an object.
pub fn is_object_name(text: &str) -> bool {
    text.len() <= MAX_SUBDOMAIN && is_subdomain(text)
}

/// The key of a label, an annotation, a taint or a resource: `[prefix/]name`.
pub fn is_key(text: &str) -> bool {
    let (prefix, name) = text.split_once('/').map_or((None, text), |(prefix, name)| (Some(prefix), name));
    prefix.is_none_or(is_object_name) && name.len() <= MAX_NAME && is_name(name)
}

/// The value of a label.
pub fn is_label_value(text: &str) -> bool {
    text.is_empty() || text.len() <= MAX_NAME && is_name(text)
}
