//! The committed corpus, and a fixed number of neighbours of each of its entries.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may")]

mod corpus;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::{env, fs};

use fuzz::{TARGETS, Target, mutated};

fn corpus_of(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target)
}

fn entries(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = fs::read_dir(corpus_of(target)).unwrap().map(|entry| entry.unwrap().path());
    let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
    let mut entries: Vec<_> = folder.map(|path| (name(&path), fs::read(&path).unwrap())).collect();
    entries.sort();
    entries
}

/// Runs a target. An input that fails it is printed, and kept where it can be taken into the corpus.
fn hold(target: &Target, name: &str, input: &[u8]) {
    if catch_unwind(AssertUnwindSafe(|| (target.run)(input))).is_err() {
        let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{name}", target.name));
        fs::write(&kept, input).unwrap();
        let (kept, corpus) = (kept.display(), corpus_of(target.name));
        panic!(
            "{} fails, see above\ninput: {}\nkeep it: cp {kept} {}",
            target.name,
            input.escape_ascii(),
            corpus.display()
        );
    }
}

fn replay(name: &str) {
    let target = TARGETS.iter().find(|target| target.name == name).unwrap();
    for (name, input) in entries(target.name) {
        hold(target, &name, &input);
        for seed in 0..target.mutations {
            hold(target, &format!("{name}-{seed}"), &mutated(&input, seed));
        }
    }
}

/// A test of each target, so that they run side by side.
macro_rules! replay {
    ($($target:ident),+) => {
        $(#[test] fn $target() { replay(stringify!($target)); })+

        #[test]
        fn every_target_is_replayed() {
            assert_eq!(TARGETS.map(|target| target.name), [$(stringify!($target)),+]);
        }
    };
}
replay!(codec, handler, text, quantity, path, address, record);

/// `UPDATE=1` writes the entries anew instead of comparing them. Others, of which some input was found to be worth
/// keeping, stay as they are.
#[test]
fn generated_entries_are_up_to_date() {
    for (target, entries) in corpus::generated() {
        for (name, input) in entries {
            let file = corpus_of(target).join(&name);
            if env::var_os("UPDATE").is_some() {
                fs::create_dir_all(corpus_of(target)).unwrap();
                fs::write(&file, &input).unwrap();
            }
            let committed = fs::read(&file).unwrap_or_default();
            assert!(committed == input, "{target}/{name} is out of date: make generate");
        }
    }
}

/// A review may end anywhere, or lack any byte.
#[test]
fn cut_reviews() {
    let review = corpus::smallest();
    for at in 0..review.len() {
        fuzz::codec(&review[..at]);
        fuzz::codec(&[&review[..at], &review[at + 1..]].concat());
    }
}

#[test]
fn mutations_are_many_and_the_same_each_time() {
    let review = corpus::smallest();
    let neighbours =
        |seeds: std::ops::Range<u64>| seeds.map(|seed| mutated(&review, seed)).collect::<Vec<_>>();
    let all = neighbours(0..100);
    assert_eq!(all, neighbours(0..100));
    assert!(all.iter().collect::<BTreeSet<_>>().len() > 90);
    let json = all.iter().filter(|input| serde_json::from_slice::<serde_json::Value>(input).is_ok()).count();
    assert!((75..100).contains(&json), "{json} of 100 are JSON");
}

#[test]
fn an_input_that_fails_is_kept() {
    let target = Target { name: "failing", run: |input| assert!(input.is_empty()), mutations: 0 };
    hold(&target, "fine", b"");
    let panic = catch_unwind(|| hold(&target, "found", b"\xffa")).unwrap_err();
    let message = panic.downcast::<String>().unwrap();
    assert!(message.contains(r"input: \xffa"), "{message}");
    let kept = message.split(' ').find(|word| word.ends_with("failing-found")).unwrap();
    assert_eq!(fs::read(kept).unwrap(), b"\xffa");
}
