//! Turns of phrase that several rules use.

use crate::report::quote;

/// The closest of the names that exist, where one is close.
pub(super) fn suggestion<'n>(name: &str, existing: impl Iterator<Item = &'n str>) -> Option<String> {
    let close = |other: &&str| strsim::damerau_levenshtein(name, other) <= (name.len() / 3).max(1);
    let closest =
        existing.filter(close).min_by_key(|other| (strsim::damerau_levenshtein(name, other), *other))?;
    Some(format!("did you mean {}?", quote(closest)))
}

/// Up to five of the names that exist.
pub(super) fn alternatives<'n>(existing: impl Iterator<Item = &'n str>) -> String {
    const MOST: usize = 5;
    let mut names: Vec<&str> = existing.collect();
    names.sort_unstable();
    let shown: Vec<String> = names.iter().take(MOST).map(|name| quote(name)).collect();
    match shown.split_last() {
        None => "none".to_owned(),
        Some((only, [])) => only.clone(),
        Some(_) if names.len() > MOST => format!("{} …", shown.join(", ")),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
    }
}

/// A number of things.
pub(super) fn count(number: impl Into<i64>, thing: &str) -> String {
    match number.into() {
        1 => format!("1 {thing}"),
        number => format!("{number} {thing}s"),
    }
}

/// The number of further items beside the one that is named, if there are any.
pub(super) fn and_more(others: usize) -> String {
    match others {
        0 => String::new(),
        others => format!(" and {others} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_names_are_suggested() {
        let cells = || ["us-east-1", "us-west-2"].into_iter();
        assert_eq!(suggestion("us-est-1", cells()).unwrap(), "did you mean \"us-east-1\"?");
        assert_eq!(suggestion("frankfurt", cells()), None);
        assert_eq!(suggestion("", cells()), None);
    }

    #[test]
    fn alternatives_are_few() {
        assert_eq!(alternatives(["b", "a"].into_iter()), "\"a\" or \"b\"");
        assert_eq!(alternatives("abcdefg".split_inclusive(|_| true)), "\"a\", \"b\", \"c\", \"d\", \"e\" …");
    }
}
