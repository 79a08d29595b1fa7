//! The documentation of the rules is generated from the rules, with real output of `kubectl`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

use multigres_webhooks::validate::{GUARDS, Guard, RULES, Rule, WARNINGS};
use testbed::Options;

use super::*;
use crate::installation::eventually;

const INTRODUCTION: &str = "\
# What admission demands

Made from the rules themselves by `make generate`; do not edit. Each example is what `kubectl` prints.

All errors of a manifest come in one answer. On an update, what was wrong before and still is in the same way is a
warning, not an error. Rules marked † are in the CRD as well, and hold with the webhooks removed.

Rules `C…` hold for a cluster whenever it is written, `U…` for what an update changes, `K…` for what a cluster is made
into. What stands alone, without a cluster that manages it, is held to those of the other rules that its fields fall
under.
";

/// Name in the document for namespaces whose names differ each time.
const NAMESPACE: &str = "prod";

/// Output of kubectl, by the rule that it illustrates.
type Examples = BTreeMap<&'static str, String>;

/// The case of each rule that is refused for the fewest reasons.
fn simplest<T: Copy>(
    cases: impl Iterator<Item = (&'static str, T, &'static [Cause])>,
) -> BTreeMap<&'static str, T> {
    let mut simplest: BTreeMap<&str, (T, usize)> = BTreeMap::new();
    for (rule, case, causes) in cases.filter(|(_, _, causes)| !causes.is_empty()) {
        let best = simplest.entry(rule).or_insert((case, causes.len()));
        if causes.len() < best.1 {
            *best = (case, causes.len());
        }
    }
    simplest.into_iter().map(|(rule, (case, _))| (rule, case)).collect()
}

/// A namespace, and what kubectl prints there.
struct Shell<'a>(Namespace<'a>);

impl<'a> Shell<'a> {
    async fn new(installation: &'a Installation, purpose: &str) -> Self {
        Self(installation.namespace(purpose).await)
    }

    async fn print(&self, args: &[&str], input: &Value) -> String {
        let printed = self.0.with_input(args, &input.to_string()).await;
        printed.unwrap_or_else(|error| error).replace(&self.0.name, NAMESPACE)
    }

    /// Reason why a manifest is refused.
    async fn refusal(&self, verb: &str, manifest: &Value) -> String {
        let printed = self.print(&[verb, "--dry-run=server", "-f", "-"], manifest).await;
        let lines: Vec<&str> = printed.lines().filter(|line| !line.starts_with("Warning: ")).collect();
        lines.join("\n")
    }

    /// The warning of a manifest that says this.
    async fn warning(&self, verb: &str, manifest: &Value, says: &str) -> String {
        let printed = self.print(&[verb, "--dry-run=server", "-f", "-"], manifest).await;
        printed
            .lines()
            .find(|line| line.contains(says))
            .unwrap_or_else(|| panic!("{says}: {printed}"))
            .to_owned()
    }
}

async fn of_creations(installation: &Installation, examples: &mut Examples) {
    let shell = Shell::new(installation, "examples-create").await;
    sharing::settle_neighbour(&shell.0).await;
    for (rule, edit) in simplest(creations().map(|(rule, edit, causes)| (*rule, *edit, *causes))) {
        examples.insert(rule, shell.refusal("create", &edited(sound(), edit)).await);
    }
}

async fn of_updates(installation: &Installation, examples: &mut Examples) {
    let shell = Shell::new(installation, "examples-update").await;
    update::settle_volumes(&shell.0, std::iter::once("sound".to_owned())).await;
    let clusters = shell.0.clusters();
    for (stored, cases) in update::CASES {
        let before = edited(sound(), *stored);
        clusters.create(&before).await.allowed();
        for (rule, edit) in simplest(cases.iter().map(|(rule, edit, causes)| (*rule, *edit, *causes))) {
            let printed = shell.refusal("replace", &edited(before.clone(), edit)).await;
            examples.entry(rule).or_insert(printed);
        }
        clusters.merge("sound", json!({"spec": {"deletionProtection": false}})).await.allowed();
        shell.0.must(&["delete", "multigrescluster", "sound"]).await;
    }
}

async fn of_children(installation: &Installation, examples: &mut Examples) {
    let shell = Shell::new(installation, "examples-children").await;
    let of = |cases: &'static [children::Case]| {
        simplest(cases.iter().map(|(rule, kind, edit, causes)| (*rule, (*kind, *edit), *causes)))
    };
    for (rule, (kind, edit)) in of(children::CREATED) {
        examples.insert(rule, shell.refusal("create", &edited(children::sound(kind), edit)).await);
    }
    for (rule, (kind, edit)) in of(children::CHANGED) {
        shell.0.resource(kind.1).create(&children::sound(kind)).await.allowed();
        examples.insert(rule, shell.refusal("replace", &edited(children::sound(kind), edit)).await);
    }
    for (rule, kind, edit, says, _) in children::WARNED {
        let mut child = edited(children::sound(*kind), *edit);
        child["metadata"]["name"] = json!("fresh");
        examples.insert(rule, shell.warning("create", &child, says).await);
    }
    let shell = Shell::new(installation, "examples-adoption").await;
    for (rule, (kind, edit)) in of(children::ADOPTED) {
        shell.0.resource(kind.1).create(&edited(children::sound(kind), edit)).await.allowed();
        let clusters = shell.0.clusters().dry_run();
        let is_known = || async { (!clusters.create(&sound_as("alone")).await.is_allowed()).then_some(()) };
        eventually("admission knows of the child", is_known).await.unwrap();
        examples.insert(rule, shell.refusal("create", &sound_as("alone")).await);
    }
}

async fn of_warnings(installation: &Installation, examples: &mut Examples) {
    let shell = Shell::new(installation, "examples-warnings").await;
    update::settle_volumes(&shell.0, std::iter::once("made".to_owned())).await;
    shell.0.clusters().create(&sound()).await.allowed();
    for (rule, edit, says, _) in warnings::CREATED {
        if !examples.contains_key(rule) {
            examples.insert(rule, shell.warning("create", &edited(sound_as("made"), *edit), says).await);
        }
    }
    for (rule, edit, says, _) in warnings::CHANGED {
        examples.insert(rule, shell.warning("replace", &edited(sound(), *edit), says).await);
    }
}

/// Of who asks for what.
async fn of_requests(installation: &Installation, examples: &mut Examples) {
    let shell = Shell::new(installation, "examples-requests").await;
    shell.0.apply(SMALL).await.unwrap();
    shell.0.until("multicell", "small-a", "made", |_| true).await;
    let edit = r#"--patch={"spec": {"multiGateway": {"replicas": 5}}}"#;
    let patch = ["patch", "multicell", "small-a", "--type=merge", edit];
    let label = ["label", "multicell", "small-a", "--overwrite", "multigres.com/managed=false"];
    let is_refused = || async { shell.0.with_input(&patch, "").await.err() };
    eventually("the cell is protected", is_refused).await.unwrap();
    examples.insert("K01", shell.print(&patch, &Value::Null).await);
    examples.insert("K02", shell.print(&label, &Value::Null).await);
    let pause = json!({"spec": {"paused": true, "deletionProtection": true}});
    shell.0.clusters().merge("small", pause).await.allowed();
    let is_paused = || async { shell.0.with_input(&patch, "").await.ok() };
    let printed = eventually("admission knows of the pause", is_paused).await.unwrap();
    let warning = printed.lines().find(|line| line.starts_with("Warning: ")).unwrap();
    examples.insert("K05", warning.to_owned());
    let delete = ["delete", "multigrescluster", "small"];
    examples.insert("U12", shell.print(&delete, &Value::Null).await);
}

async fn examples() -> Examples {
    // Other tests make clusters like these, which would stand in the way.
    let own = Installation::start(Options { fake_nodes: 1, ..Options::default() }).await.unwrap();
    let mut examples = Examples::new();
    of_creations(&own, &mut examples).await;
    of_updates(&own, &mut examples).await;
    of_children(&own, &mut examples).await;
    of_warnings(&own, &mut examples).await;
    of_requests(&own, &mut examples).await;
    examples
}

fn document(examples: &Examples) -> String {
    let section = |id: &str, mark: &str, summary: &str, since: &str| {
        let example = examples[id].trim_end();
        format!("\n### {id}{mark}\n\n{summary} Since {since}.\n\n```\n{example}\n```\n")
    };
    let of_rule =
        |rule: &Rule| section(rule.id, if rule.in_crd { "†" } else { "" }, rule.summary(), rule.since);
    let of_guard = |guard: &Guard| section(guard.id, "", guard.summary(), guard.since);
    let chapters = [
        ("Rules of objects", RULES.iter().map(of_rule).collect::<String>()),
        ("Rules of who asks for what", GUARDS.iter().map(of_guard).collect()),
        ("Warnings, the most important first", WARNINGS.iter().map(of_rule).collect()),
    ];
    let mut out = INTRODUCTION.to_owned();
    for (title, sections) in chapters {
        write!(out, "\n## {title}\n{sections}").unwrap();
    }
    out
}

/// `UPDATE=1` writes the file anew instead of comparing it.
#[tokio::test]
async fn it_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/admission.md");
    let document = document(&examples().await);
    if env::var_os("UPDATE").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &document).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    let differs = committed.lines().zip(document.lines()).find(|(committed, made)| committed != made);
    assert!(committed == document, "docs/admission.md is out of date: make generate\n{differs:#?}");
}
