//! Runs the commands of docs/validate.md, in a repository as it assumes one.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::command::{Directory, PROPOSAL, Said, broken};

const MANUAL: &str = include_str!("../../docs/validate.md");
const HOOKS: &str = include_str!("../../.pre-commit-hooks.yaml");

/// The manual's blocks of a language.
fn blocks(language: &str) -> Vec<&'static str> {
    let fenced = MANUAL.split("\n```").skip(1).step_by(2);
    let block = |fenced: &'static str| {
        let (of, text) = fenced.split_once('\n').unwrap();
        (of == language).then_some(text)
    };
    let blocks: Vec<&str> = fenced.filter_map(block).collect();
    assert!(!blocks.is_empty(), "{language}");
    blocks
}

/// A repository with an origin, both of which have a sound manifest.
struct Repository(Directory);

impl Repository {
    fn new() -> Self {
        let repository = Self(Directory::with(&[
            ("repository/clusters/prod.yaml", PROPOSAL),
            ("repository/other/prod.yaml", PROPOSAL),
        ]));
        repository.works("git init -q -b main && git add . && git commit -q -m first");
        repository.works("git clone -q --bare . ../origin.git && git remote add origin ../origin.git");
        repository.works("git checkout -q -b change");
        repository
    }

    /// Puts a manifest in the place of the sound one.
    fn change(&self, manifest: &str) {
        self.0.write("repository/clusters/prod.yaml", manifest);
    }

    fn run(&self, script: &str) -> Said {
        self.0.run("sh", &["-e", "-c", &format!("cd repository\n{script}")], "")
    }

    fn works(&self, script: &str) -> Said {
        let said = self.run(script);
        assert_eq!(said.code, Some(0), "{script}: {said:?}");
        said
    }

    fn install_hook(&self) {
        let [hook] = blocks("sh hook")[..] else { panic!("one hook") };
        self.0.write("repository/.git/hooks/pre-commit", hook);
        let hook = self.0.path().join("repository/.git/hooks/pre-commit");
        fs::set_permissions(hook, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn head(&self) -> String {
        self.works("git rev-parse HEAD").out
    }
}

#[test]
fn every_command_works() {
    let commands: Vec<&str> = blocks("sh").into_iter().flat_map(str::lines).collect();
    for command in &commands {
        Repository::new().works(command);
        let repository = Repository::new();
        repository.change(&broken());
        assert_eq!(repository.run(command).code, Some(1), "{command}");
    }
    assert!(commands.iter().all(|command| command.contains("multigres-operator validate ")), "{commands:?}");
}

#[test]
fn the_hook_lets_sound_manifests_pass_and_no_others() {
    let repository = Repository::new();
    repository.install_hook();
    let first = repository.head();

    repository.change(&broken());
    let refused = repository.run("git commit -q -a -m broken");
    assert_ne!(refused.code, Some(0));
    let said = format!("{}{}", refused.out, refused.err);
    assert!(said.contains("error[C09]: spec.databases.templates[0].spec.pools[1].cell: "), "{said}");
    assert!(said.contains("--> clusters/prod.yaml:"), "{said}");
    assert_eq!(repository.head(), first, "nothing was committed");

    repository.works("git reset -q --hard");
    repository.works("git commit -q --allow-empty -m 'nothing to check'");
    repository.change(&PROPOSAL.replacen("100Gi", "200Gi", 1));
    repository.works("git add .");
    repository.change(&broken());
    repository.works("git commit -q -m sound");
    assert!(
        repository.works("git show HEAD:clusters/prod.yaml").out.contains("200Gi"),
        "what is staged counts"
    );

    repository.works("git reset -q --hard && git rm -q clusters/prod.yaml && git commit -q -m removed");
}

/// The files that `validate` reads of a directory, wherever in it, and no others.
#[test]
fn the_hook_is_for_manifests() {
    let repository = Repository::new();
    repository.install_hook();
    for file in ["README.md", ".sops.yaml", "a/.b/c.yaml"] {
        repository.0.write(&format!("repository/clusters/{file}"), "a: [");
        repository.works("git add . && git commit -q -m other");
    }
    for ending in ["yaml", "yml", "json"] {
        repository.0.write(&format!("repository/clusters/a/b c.{ending}"), "a: [");
        let refused = repository.run("git add . && git commit -q -m broken");
        assert_eq!(refused.code, Some(1), "{ending}: {refused:?}");
        assert!(refused.err.contains(&format!("--> clusters/a/b c.{ending}:1:4")), "{refused:?}");
        repository.works("git reset -q --hard && git clean -qfd");
    }
}

#[test]
fn the_hook_refuses_what_cannot_be_read() {
    let repository = Repository::new();
    repository.install_hook();
    repository.change("a: [\n");
    let refused = repository.run("git commit -q -a -m broken");
    assert_ne!(refused.code, Some(0));
    assert!(refused.err.contains("--> clusters/prod.yaml:1:4"), "{refused:?}");
}

/// The programs of a workflow or a pipeline.
fn scripts(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let lines = match value {
                    Value::String(script) => vec![script.clone()],
                    Value::Array(lines) => {
                        lines.iter().filter_map(Value::as_str).map(str::to_owned).collect()
                    }
                    _ => Vec::new(),
                };
                match name.as_str() {
                    "run" | "script" | "after_script" => found.push(lines.join("\n")),
                    _ => scripts(value, found),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| scripts(value, found)),
        _ => {}
    }
}

#[test]
fn pipelines_tell_sound_manifests_from_others() {
    let mut all = Vec::new();
    for block in blocks("yaml") {
        scripts(&serde_saphyr::from_str(block).unwrap(), &mut all);
    }
    assert_eq!(
        all.len(),
        MANUAL.matches("- run: ").count() + MANUAL.matches("script:\n").count(),
        "{all:#?}"
    );
    for script in &all {
        let repository = Repository::new();
        repository.works(script);
        let repository = Repository::new();
        repository.change(&broken());
        let said = repository.run(script);
        assert_eq!(said.code, Some(1), "{script}: {said:?}");
    }
}

/// A pull request may be the first to have a manifest.
#[test]
fn a_change_may_begin_with_nothing() {
    let block = blocks("yaml").into_iter().find(|block| block.starts_with("name: changes\n")).unwrap();
    let mut all = Vec::new();
    scripts(&serde_saphyr::from_str(block).unwrap(), &mut all);
    let [script] = &all[..] else { panic!("{all:?}") };
    for (manifest, code) in [(PROPOSAL, 0), (&*broken(), 1)] {
        let repository = Repository::new();
        repository.works("git rm -q -r clusters && git commit -q -m none && git push -q origin change:main");
        repository.change(manifest);
        let said = repository.run(script);
        assert_eq!(said.code, Some(code), "{said:?}");
        assert!(said.err.contains("--> ../before/clusters\n"), "{said:?}");
        assert!(said.out.contains("::warning file=clusters/prod.yaml,"), "{said:?}");
    }
}

/// The uploaded file exists even if the step fails.
#[test]
fn what_is_uploaded_is_what_was_found() {
    let mut workflows = blocks("yaml").into_iter().filter(|block| block.contains("upload-sarif"));
    let workflow: Value = serde_saphyr::from_str(workflows.next().unwrap()).unwrap();
    let steps = workflow["jobs"]["validate"]["steps"].as_array().unwrap();
    let field = |of: &str| steps.iter().find_map(|step| step.pointer(of)?.as_str()).unwrap();
    assert_eq!(field("/if"), "always()");
    let repository = Repository::new();
    repository.change(&broken());
    repository.run(field("/run"));
    let uploaded = repository.works(&format!("cat {}", field("/with/sarif_file"))).out;
    let log: Value = serde_json::from_str(&uploaded).unwrap();
    let results = log["runs"][0]["results"].as_array().unwrap();
    assert_eq!(results.iter().filter(|result| result["level"] == "error").count(), 3);
}

/// As pre-commit calls it: entry, arguments, files.
#[test]
fn the_hook_of_pre_commit() {
    let hooks: Value = serde_saphyr::from_str(HOOKS).unwrap();
    let hook = &hooks[0];
    let example = blocks("yaml").into_iter().find(|block| block.starts_with("repos:")).unwrap();
    let example: Value = serde_saphyr::from_str(example).unwrap();
    assert_eq!(example["repos"][0]["hooks"][0]["id"], hook["id"]);
    assert_eq!(example["repos"][0]["repo"], env!("CARGO_PKG_REPOSITORY"));

    let entry = hook["entry"].as_str().unwrap();
    let defaults: Vec<&str> =
        hook["args"].as_array().unwrap().iter().map(|arg| arg.as_str().unwrap()).collect();
    let strict: Vec<&str> = MANUAL
        .split_once("`args: [")
        .and_then(|(_, rest)| rest.split_once("]`"))
        .map(|(args, _)| args.split(", ").collect())
        .unwrap();
    for (args, manifest, code) in
        [(&defaults, PROPOSAL, 0), (&defaults, &*broken(), 1), (&strict, PROPOSAL, 1)]
    {
        let repository = Repository::new();
        repository.change(manifest);
        let said = repository.run(&format!("{entry} {} clusters/prod.yaml other/prod.yaml", args.join(" ")));
        assert_eq!(said.code, Some(code), "{args:?}: {said:?}");
    }
    // It is given what is committed, and that need not be of this API.
    for args in [&defaults, &strict] {
        let repository = Repository::new();
        repository.change("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n");
        repository.works(&format!("{entry} {} clusters/prod.yaml", args.join(" ")));
    }
}
