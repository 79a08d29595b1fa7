use std::os::unix::fs::symlink;

use super::*;

fn names(input: &Input) -> Vec<&str> {
    input.documents.iter().map(|document| document.object["metadata"]["name"].as_str().unwrap()).collect()
}

fn named(name: &str) -> String {
    format!("kind: ConfigMap\nmetadata: {{name: {name}}}\n")
}

/// The error for a text that is not YAML.
fn told(bytes: &[u8]) -> String {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(&file, bytes).unwrap();
    let error = read(&[file.path().to_owned()]).usable().unwrap_err().to_string();
    error.replace(file.path().to_str().unwrap(), "FILE")
}

#[test]
fn directories_are_read_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    for below in ["b", ".git"] {
        fs::create_dir(path(below)).unwrap();
    }
    for file in ["c.yml", "a.json", "b/d.yaml", "b.yaml", ".git/e.yaml", "README.md", ".f.yaml"] {
        let text = if file == "README.md" { "\t".to_owned() } else { named(file) };
        fs::write(path(file), text).unwrap();
    }
    symlink(directory.path(), path("circle")).unwrap();
    symlink(path("c.yml"), path("link.yaml")).unwrap();
    let input = read(&[directory.path().to_owned(), path("b.yaml"), path("b/../c.yml")]);
    assert_eq!(names(&input), ["a.json", "b/d.yaml", "b.yaml", "c.yml"], "each file once");
    assert!(input.unusable.is_empty(), "{input:?}");
}

/// The path to the one that cannot be read is longer than a path may be.
#[test]
fn a_directory_that_cannot_be_read_keeps_nobody_from_the_rest() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let deep = ["d".repeat(250).as_str(); 9].iter().collect::<PathBuf>();
    for half in ["a", "b"] {
        fs::create_dir_all(path(half).join(&deep)).unwrap();
    }
    fs::rename(path("b"), path("a").join(&deep).join("b")).unwrap();
    for file in ["a/a.yaml", "c.yaml"] {
        fs::write(path(file), named(file)).unwrap();
    }
    let input = read(&[directory.path().to_owned()]);
    assert_eq!(names(&input), ["a/a.yaml", "c.yaml"]);
    let [Unusable { message, absent: false, .. }] = &input.unusable[..] else {
        panic!("{:?}", input.unusable)
    };
    assert_eq!(message, "File name too long (os error 36)");
}

#[test]
fn a_file_is_at_its_place_in_what_was_given() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    for file in ["old/a/db.yaml", "old/b/a/db.yaml", "new/a/db.yaml"] {
        fs::create_dir_all(path(file).parent().unwrap()).unwrap();
        fs::write(path(file), named("db")).unwrap();
    }
    let file = |given: &str, index: usize| Rc::clone(&read(&[path(given)]).documents[index].file);
    let new = file("new", 0);
    assert!(new.is_at_place_of(&file("old", 0)) && !new.is_at_place_of(&file("old", 1)));
    assert!(new.likeness(&file("old", 0)) > new.likeness(&file("old", 1)));
    let new = file("new/a/db.yaml", 0);
    assert!(!new.is_at_place_of(&file("old/a/db.yaml", 0)), "there is no place in a file");
    assert!(new.likeness(&file("old/a/db.yaml", 0)) == new.likeness(&file("old", 1)));
    assert!(
        new.likeness(&file("old/a/db.yaml", 0)) > new.likeness(&File::unread(Path::new("-"), Path::new("-")))
    );
}

#[test]
fn lists_are_what_they_list() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let text = format!(
        "kind: List\nitems:\n- {{kind: A, metadata: {{name: a}}}}\n- kind: BList\n  items: [{{metadata: {{name: b}}}}]\n---\n{}",
        named("c")
    );
    fs::write(&file, text).unwrap();
    let input = read(&[file.path().to_owned()]);
    assert_eq!(names(&input), ["a", "b", "c"]);
    let places: Vec<u64> =
        input.documents.iter().map(|document| document.locate("metadata.name").line).collect();
    assert_eq!(places, [3, 5, 8]);
}

#[test]
fn what_cannot_be_used_is_told_with_its_place() {
    for (bytes, message) in [
        (&b"a: 1\na: 2\n"[..], "FILE:2:1: not YAML: duplicate mapping key `a` is not allowed here"),
        (b"a:\n\t- b\n", "FILE:2:2: not YAML: tabs disallowed within this context (block indentation)"),
        (b"{\"a\": 1, \"a\": 2}", "FILE:1:10: not YAML: duplicate mapping key `a` is not allowed here"),
        (b"a: \xc3\xa9\nb: \xff\n", "FILE:2:4: not UTF-8"),
    ] {
        assert_eq!(told(bytes), message);
    }
    let empty = tempfile::tempdir().unwrap();
    let missing = empty.path().join("missing.yaml");
    let error = read(&[missing.clone(), empty.path().to_owned()]).usable().unwrap_err().to_string();
    let expected = format!(
        "{}: No such file or directory (os error 2)\nerror: {}: no YAML files",
        missing.display(),
        empty.path().display()
    );
    assert_eq!(error, expected);
}

#[test]
fn a_byte_order_mark_is_no_character() {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(&file, format!("\u{feff}{}", named("a"))).unwrap();
    let input = read(&[file.path().to_owned()]);
    let span = input.documents[0].locate("kind");
    assert_eq!((span.line, span.column, &input.documents[0].file.text[span.bytes]), (1, 7, "ConfigMap"));
}
