use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::yaml;

/// The target of a path in a text, as `line:column text`.
fn pointed_at(text: &str, path: &str) -> String {
    let documents = read(text).unwrap();
    let span = documents[0].follow(&FieldPath::parse(path)).span();
    format!("{}:{} {}", span.line, span.column, &text[span.bytes.clone()])
}

#[test]
fn paths_lead_to_positions() {
    const BLOCK: &str = "\
# A comment
metadata:
  annotations:
    a.b/c: \"é\"
spec:
  cells:
  - name: a
    size: {cpu: 1, memory: [x, y]}
  -
    name: b
  empty:
  text: |
    one
    two
";
    for (path, expected) in [
        ("", "2:1 metadata"),
        ("metadata", "2:1 metadata"),
        ("metadata.annotations[a.b/c]", "4:12 \"é\""),
        ("metadata.name", "2:1 metadata"),
        ("metadata.name.deeper[3]", "2:1 metadata"),
        ("spec.cells", "6:3 cells"),
        ("spec.cells[0]", "7:5 name"),
        ("spec.cells[0].name", "7:11 a"),
        ("spec.cells[0].missing", "7:5 name"),
        ("spec.cells[0].size", "8:5 size"),
        ("spec.cells[0].size[cpu]", "8:17 1"),
        ("spec.cells[0].size.memory[1]", "8:32 y"),
        ("spec.cells[0].name.below", "7:5 name"),
        ("spec.cells[1].name", "10:11 b"),
        ("spec.cells[2].name", "6:3 cells"),
        ("spec.cells[x]", "6:3 cells"),
        ("spec.empty", "11:3 empty"),
        ("spec.empty.below", "11:3 empty"),
        ("spec.text", "13:5 one\n    two\n"),
        ("status", "2:1 metadata"),
    ] {
        assert_eq!(pointed_at(BLOCK, path), expected, "{path}");
    }
}

#[test]
fn names_are_keys_and_items() {
    let documents = read("a: {b: 1}\nl: [2]\n").unwrap();
    let name = |path| documents[0].follow(&FieldPath::parse(path)).name().column;
    assert_eq!([name("a"), name("a.b"), name("l[0]")], [1, 5, 5]);
}

#[test]
fn json_has_positions_too() {
    const JSON: &str = "{\n\t\"spec\": {\"cells\": [{\"name\": \"a\\u00e9\"}]}\n}\n";
    for (path, expected) in [
        ("", "1:1 {"),
        ("spec", "2:2 \"spec\""),
        ("spec.cells[0]", "2:21 {"),
        ("spec.cells[0].name", "2:30 \"a\\u00e9\""),
        ("metadata", "1:1 {"),
    ] {
        assert_eq!(pointed_at(JSON, path), expected, "{path}");
    }
}

/// Values from anchors are shown at their definition.
#[test]
fn anchors_aliases_and_merge_keys() {
    const SHARED: &str = "\
base: &base
  replicas: 3
  list: [&item x]
alias: *base
merged:
  <<: *base
  replicas: 1
item: *item
";
    for (path, expected) in [
        ("alias", "4:1 alias"),
        ("alias.replicas", "2:13 3"),
        ("alias.list[0]", "3:16 x"),
        ("alias.missing", "4:1 alias"),
        ("merged.replicas", "7:13 1"),
        ("merged.list", "3:3 list"),
        ("merged.list[0]", "3:16 x"),
        ("item", "3:16 x"),
    ] {
        assert_eq!(pointed_at(SHARED, path), expected, "{path}");
    }
    assert_eq!(read(SHARED).unwrap()[0].value()["merged"], json!({"replicas": 1, "list": ["x"]}));
}

#[test]
fn documents_are_positioned_in_the_whole_text() {
    let documents = read("---\n---\na: 1\n...\n---\n# nothing\n---\r\nb: é\r\nc: 2\r\n").unwrap();
    let spans: Vec<(u64, u64)> =
        documents.iter().map(|node| (node.span().line, node.span().column)).collect();
    assert_eq!(spans, [(3, 1), (8, 1)]);
    assert_eq!(documents[1].follow(&FieldPath::parse("c")).span().line, 9);
}

#[test]
fn values_are_those_of_kubectl() {
    for (text, value) in [
        ("012", json!(10)),
        ("0x10", json!(16)),
        ("yes", json!(true)),
        ("~", json!(null)),
        ("1.5", json!(1.5)),
        ("-1", json!(-1)),
        ("18446744073709551615", json!(u64::MAX)),
        ("2024-01-01", json!("2024-01-01")),
        ("'1'", json!("1")),
        ("!!str 1", json!("1")),
    ] {
        assert_eq!(read(&format!("a: {text}\n1: b\n")).unwrap()[0].value(), json!({"a": value, "1": "b"}));
    }
}

#[test]
fn what_is_no_yaml_is_told_with_its_place() {
    for (text, place, message) in [
        ("a: 1\na: 2\n", "2:1 a", "duplicate mapping key `a` is not allowed here"),
        ("é:\n\t- b\n", "2:2 -", "tabs disallowed within this context (block indentation)"),
        ("a: é\nb: [1\n", "2:4 [", "unclosed bracket '['"),
        ("a: *nope\n", "1:4 *", "reference to unknown value"),
        ("a: .nan\n", "1:4 .nan", "value `.nan` is not a finite number"),
        ("? [a]\n: b\n", "1:3 [", "expected string scalar"),
    ] {
        let Unreadable { message: said, span } = read(text).unwrap_err();
        let span = span.unwrap();
        let shown = format!("{}:{} {}", span.line, span.column, &text[span.bytes]);
        assert_eq!(shown, place, "{text:?}");
        assert!(said.starts_with(message), "{text:?}: {said}");
    }
}

/// However many there are: what is limited is what aliases make of a text.
#[test]
fn long_texts_are_read() {
    let aliases = "- *volume\n".repeat(150);
    let shared = format!("volume: &volume {{size: 1Gi}}\nvolumes:\n{aliases}");
    let stream = format!("{shared}---\n").repeat(3);
    let documents = read(&stream).unwrap();
    let last = documents[2].follow(&FieldPath::parse("volumes[149].size"));
    assert_eq!((documents.len(), last.node().unwrap().value()), (3, json!("1Gi")));

    let many = format!("[{}]\n---\n", "1, ".repeat(240)).repeat(1100);
    let documents = read(&many).unwrap();
    assert_eq!((documents.len(), documents[1099].items().unwrap().len()), (1100, 240));
}

#[test]
fn what_aliases_make_of_a_text_is_limited() {
    let line =
        |level: u32| format!("l{level}: &l{level} [{}]\n", vec![format!("*l{}", level - 1); 10].join(", "));
    let bomb = |levels| format!("l0: &l0 lol\n{}", (1..levels).map(line).collect::<String>());
    assert!(read(&bomb(3)).is_ok());
    let wide = |aliases: usize| format!("a: &a [{}]\nb: [{}]\n", "1, ".repeat(1000), "*a, ".repeat(aliases));
    assert!(read(&wide(200)).is_ok());
    for (text, limit) in [(bomb(10), "RecordedAnchorEvents"), (wide(2000), "replay")] {
        let Unreadable { message, .. } = read(&text).unwrap_err();
        assert!(message.contains(limit), "{message}");
    }
}

#[test]
fn bytes_have_lines_and_columns() {
    const TEXT: &str = "é\n\n ab\n";
    for (offset, place) in
        [(0, (1, 1)), (2, (1, 2)), (3, (2, 1)), (4, (3, 1)), (6, (3, 3)), (8, (4, 1)), (99, (4, 1))]
    {
        let span = Span::at(offset, TEXT);
        assert_eq!((span.line, span.column), place, "{offset}");
    }
    let whole = Span { bytes: 0..8, ..Span::at(0, TEXT) }.first_line(TEXT);
    assert_eq!((whole.bytes.clone(), whole.end_column(TEXT)), (0..2, 2));
}

/// Every path that there is in a value.
fn paths(value: &Value, path: FieldPath, all: &mut Vec<FieldPath>) {
    match value {
        Value::Object(fields) => {
            fields.iter().for_each(|(name, value)| paths(value, path.clone().field(name), all));
        }
        Value::Array(items) => {
            items
                .iter()
                .enumerate()
                .for_each(|(index, value)| paths(value, path.clone().item(index, ""), all));
        }
        _ => {}
    }
    all.push(path);
}

fn texts(cluster: &Value) -> [String; 3] {
    let mut yaml = Vec::new();
    yaml::write(&[cluster], &mut yaml).unwrap();
    let yaml = String::from_utf8(yaml).unwrap();
    [yaml, format!("{cluster:#}"), cluster.to_string()]
}

/// The value that a span shows, and the key.
fn shown(text: &str, span: &Span) -> Value {
    serde_saphyr::from_str(&text[span.bytes.clone()]).unwrap()
}

/// Line and column, counted anew.
fn counted(text: &str, offset: usize) -> (u64, u64) {
    let before = &text[..offset];
    let line = before.rsplit('\n').next().unwrap_or_default();
    (before.matches('\n').count() as u64 + 1, line.chars().count() as u64 + 1)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    /// Whatever is in an object is found where it is written, and whatever is not, at what contains it.
    #[test]
    fn every_path_is_found(cluster in generators::admissible()) {
        for text in texts(&cluster) {
            let document = read(&text).unwrap().remove(0);
            prop_assert_eq!(&document.value(), &cluster);
            let mut all = Vec::new();
            paths(&cluster, FieldPath::default(), &mut all);
            for path in all {
                let (found, value) = (document.follow(&path), path.find(&cluster).unwrap());
                prop_assert_eq!(&found.node().unwrap().value(), value, "{}", path);
                let span = found.span();
                prop_assert_eq!((span.line, span.column), counted(&text, span.bytes.start), "{}", path);
                let names = path.names();
                match (value, names.last()) {
                    (Value::Object(_) | Value::Array(_), Some(name)) if found.key.is_some() => {
                        let key: String = serde_saphyr::from_str(&text[span.bytes.clone()]).unwrap();
                        prop_assert_eq!(&key, name, "{}", path);
                    }
                    (Value::Object(_) | Value::Array(_), _) => {
                        let start = &text[found.node().unwrap().span.bytes.start..];
                        prop_assert!(start.starts_with(['{', '[', '-']) || start.contains(':'), "{}", path);
                    }
                    (Value::String(lines), _) if lines.contains('\n') => {
                        let first = lines.lines().next().unwrap_or_default();
                        prop_assert!(text[span.bytes.start..].starts_with(first) || text[span.bytes.start..].starts_with('"'), "{}", path);
                    }
                    (scalar, _) => prop_assert_eq!(&shown(&text, span), scalar, "{}", path),
                }
                let missing = document.follow(&path.clone().field("missing"));
                prop_assert!(missing.node().is_none());
                prop_assert_eq!(missing.span(), found.name(), "{}", path);
                let below = missing.span().bytes.start;
                prop_assert_eq!(below, document.follow(&path.field("missing").item(3, "")).span().bytes.start);
            }
        }
    }
}
