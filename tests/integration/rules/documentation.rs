//! What people read of the rules is made of the rules, with examples that are tried.

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

use multigres_crds::v1alpha1::MultigresCluster;
use multigres_webhooks::document::Document;
use multigres_webhooks::report::shorten;
use multigres_webhooks::schema::Strictness;
use multigres_webhooks::validate::{self, Context, GUARDS, RULES, WARNINGS};

use super::*;

const INTRODUCTION: &str = "\
# What admission demands

Made from the rules themselves by `make generate`; do not edit. Each example is what the operator answers to a
manifest that breaks the rule: the field, and the message, or a part of it.

All errors of a manifest come in one answer. On an update, what was wrong before and still is in the same way is a
warning, not an error. Rules marked † are in the CRD as well, and hold with the webhooks removed.

Rules `C…` hold for a cluster whenever it is written, `U…` for what an update changes, `K…` for what a cluster is made
into. What stands alone, without a cluster that manages it, is held to those of the other rules that its fields fall
under.
";

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

/// Longest message that an example shows.
const READABLE: usize = 180;

/// The first cause of the first case that a rule refuses, in full where that takes no API server.
fn example(id: &str) -> String {
    let created = creations().map(|(rule, edit, causes)| (*rule, None, *edit, *causes));
    let changed = update::CASES.iter().flat_map(|(stored, cases)| {
        cases.iter().map(|(rule, edit, causes)| (*rule, Some(*stored), *edit, *causes))
    });
    let children = children::all().map(|(rule, _, edit, causes)| (*rule, None, *edit, *causes));
    let is_example = |(rule, _, _, causes): &(&str, _, _, &[Cause])| *rule == id && !causes.is_empty();
    let (_, stored, edit, causes) = created.chain(changed).chain(children).find(is_example).unwrap();
    let (_, field, part) = causes[0];
    let message = if id.starts_with('K') || id == "U10" { None } else { message(stored, edit, field) };
    let message = message.unwrap_or_else(|| format!("… {part} …"));
    format!("`{field}`: {}", shorten(&message, READABLE))
}

/// What is said of a field of the sound cluster after an edit, or after one that changes it.
fn message(stored: Option<fn(&mut Value)>, edit: fn(&mut Value), field: &str) -> Option<String> {
    let old = stored.map(|stored| edited(sound(), stored));
    let new = edited(old.clone().unwrap_or_else(sound), edit).to_string();
    let old = old.map(|old| old.to_string());
    let decode = |text| Document::<MultigresCluster>::decode(text, Strictness::Server).unwrap();
    let (new, old) = (decode(&new), old.as_deref().map(decode));
    let causes = validate::cluster(&new, old.as_ref(), &Context::OFFLINE).errors.into_iter();
    causes.filter(|cause| cause.field == field).map(|cause| cause.message).next()
}

fn document() -> String {
    let mut out = INTRODUCTION.to_owned();
    let header = "| id | what | example | since |\n|---|---|---|---|\n";
    write!(out, "\n## Rules\n\n{header}").unwrap();
    for rule in RULES {
        let mark = if rule.in_crd { "†" } else { "" };
        let (what, example) = (cell(rule.summary()), cell(&example(rule.id)));
        writeln!(out, "| {}{mark} | {what} | {example} | {} |", rule.id, rule.since).unwrap();
    }
    out.push_str("\n## Rules of requests\n\nThey look at who asks for what, not only at the object.\n\n");
    out.push_str("| id | what | since |\n|---|---|---|\n");
    for guard in GUARDS {
        writeln!(out, "| {} | {} | {} |", guard.id, cell(guard.summary()), guard.since).unwrap();
    }
    write!(out, "\n## Warnings\n\n{header}").unwrap();
    let of_clusters =
        warnings::CREATED.iter().chain(warnings::CHANGED).map(|(rule, _, says, _)| (rule, says));
    let of_children = children::WARNED.iter().map(|(rule, _, _, says, _)| (rule, says));
    let warned: Vec<_> = of_clusters.chain(of_children).collect();
    for rule in WARNINGS {
        let (_, says) = warned.iter().find(|(id, _)| **id == rule.id).unwrap();
        writeln!(out, "| {} | {} | {} | {} |", rule.id, cell(rule.summary()), cell(says), rule.since)
            .unwrap();
    }
    out
}

/// `UPDATE=1` writes the file anew instead of comparing it.
#[test]
fn it_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/admission.md");
    let document = document();
    if env::var_os("UPDATE").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &document).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == document, "docs/admission.md is out of date: make generate");
}
