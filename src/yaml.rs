//! YAML as Kubernetes' tools read it.

pub mod source;

use std::io::{self, Write};

use serde::Serialize;
use serde_saphyr::{SerializerOptions, ser_options};

/// Writes objects as one stream of documents.
///
/// kubectl reads YAML 1.1, in which an unquoted `yes`, `012` or `1_000` is no string; the serializer quotes for both
/// versions.
pub fn write(objects: &[impl Serialize], out: &mut impl Write) -> io::Result<()> {
    let text = serde_saphyr::to_string_multiple_with_options(objects, options()).map_err(io::Error::other)?;
    out.write_all(text.as_bytes())
}

/// Text of one line stays on one line, so that it can be searched for.
fn options() -> SerializerOptions {
    ser_options! { folded_wrap_chars: usize::MAX }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn written(objects: &[Value]) -> String {
        let mut out = Vec::new();
        write(objects, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn objects_are_documents() {
        let objects = [json!({"kind": "A", "list": [{"a": 1}, {}]}), json!({"kind": "B", "empty": []})];
        assert_eq!(written(&objects), "kind: A\nlist:\n- a: 1\n- {}\n---\nkind: B\nempty: []\n");
    }

    #[test]
    fn text_that_looks_like_something_else_is_quoted() {
        for text in [
            "yes",
            "No",
            "on",
            "OFF",
            "y",
            "n",
            "true",
            "null",
            "~",
            "",
            "1",
            "012",
            "0o12",
            "0x1f",
            "1_000",
            "1e3",
            "1.5",
            ".inf",
            "12:30:45",
            "2026-01-01",
            "-",
            "? a",
            ": a",
            "a: b",
            "a #b",
            "#a",
            "*a",
            "&a",
            "!a",
            "@a",
            "`a`",
            "%a",
            "[a",
            "{a",
            "'",
            "\"",
            " a",
            "a ",
            "a\tb",
            "- a",
            "<<",
            "=",
        ] {
            let yaml = written(&[json!({ "key": text })]);
            let value = yaml.strip_prefix("key: ").unwrap();
            assert!(value.starts_with(['"', '\'']), "{text:?} is written as {yaml}");
            assert_eq!(serde_saphyr::from_str::<Value>(&yaml).unwrap(), json!({ "key": text }), "{yaml}");
        }
    }

    #[test]
    fn ordinary_text_is_not() {
        for text in ["0.0.0.0:9443", "a/b:v1", "10Gi", "100m", "multigres.com/cluster", "http://a?b=c", "a b"]
        {
            assert_eq!(written(&[json!({ "key": text })]), format!("key: {text}\n"));
        }
    }

    #[test]
    fn text_keeps_its_lines() {
        let long = "word ".repeat(50) + "end";
        let text = "local all all trust\nhost all all scram-sha-256\n";
        assert_eq!(written(&[json!({ "key": long })]).lines().count(), 1);
        let yaml = written(&[json!({ "key": text })]);
        assert_eq!(yaml, "key: |\n  local all all trust\n  host all all scram-sha-256\n");
    }
}
