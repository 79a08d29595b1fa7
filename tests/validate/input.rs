//! Usable and unusable input of the command.

use serde_json::{Value, json};

use crate::command::{BINARY, Directory, PROPOSAL, Said, broken};

const CONFIG: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n";

fn report(said: &Said) -> Value {
    serde_json::from_str(&said.out).unwrap()
}

#[test]
fn the_sample_is_valid_and_warned_about() {
    let directory = Directory::with(&[("a.yaml", PROPOSAL)]);
    let said = directory.validate(&["-f", "a.yaml", "-o", "json"]);
    let json = report(&said);
    assert_eq!((said.code, &json[0]["valid"]), (Some(0), &true.into()));
    assert!(!json[0]["warnings"].as_array().unwrap().is_empty());
    let strict = directory.validate(&["-f", "a.yaml", "-o", "json", "--strict"]);
    let strictly = report(&strict);
    assert_eq!((strict.code, &strictly[0]["valid"]), (Some(1), &false.into()));
    assert_eq!(strictly[0]["warnings"], json!([]));
    let mut errors = json[0]["warnings"].clone();
    for error in errors.as_array_mut().unwrap() {
        error["field"] = "".into();
        error["reason"] = "Notice".into();
    }
    assert_eq!(strictly[0]["errors"], errors, "as the other outputs have it");
}

#[test]
fn a_change_is_checked_against_what_was() {
    let moved = PROPOSAL.replace("/multigres/global", "/multigres/other");
    let directory = Directory::with(&[("new/a.yaml", &moved), ("old/b.yaml", PROPOSAL)]);
    let said = directory.validate(&["-f", "new", "--old", "old"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.out.starts_with("error[U01]: spec.globalTopoServer.rootPath: "), "{}", said.out);
    assert_eq!(directory.validate(&["-f", "new"]).code, Some(0));
}

/// The etcd of a cluster in that namespace is what it has already; of another, or of an unknown one, it is not.
#[test]
fn what_names_no_namespace_is_in_the_one_that_is_given() {
    let nowhere = PROPOSAL.replacen("  namespace: multigres\n", "", 1);
    assert_ne!(nowhere, PROPOSAL);
    let external = "  globalTopoServer:\n    external: {address: 'example-multigres-cluster-etcd-client.prod.svc:2379'}\n";
    let released = nowhere.replacen("  globalTopoServer:\n", external, 1);
    let directory = Directory::with(&[("new.yaml", &released), ("old.yaml", &nowhere)]);
    for (args, code) in [(&["--namespace", "prod"][..], 0), (&["--namespace", "test"], 1), (&[], 1)] {
        let said = directory.validate(&[&["-f", "new.yaml", "--old", "old.yaml"], args].concat());
        assert_eq!(said.code, Some(code), "{args:?}: {said:?}");
        assert_eq!(said.out.contains("error[U02]: "), code == 1, "{args:?}: {}", said.out);
    }
}

/// As where each Kubernetes cluster has its directory, and in each of them is a database of the same name.
#[test]
fn of_several_that_were_that_of_the_same_file_counts() {
    let other = PROPOSAL.replace("/multigres/global", "/multigres/other");
    let directory = Directory::with(&[]);
    for (file, text) in [("dev", PROPOSAL), ("prod", &*other)] {
        for side in ["new", "old"] {
            directory.write(&format!("{side}/{file}/db.yaml"), text);
        }
    }
    let directories = &["-f", "new", "--old", "old"][..];
    let files = &["-f", "new/dev/db.yaml", "new/prod/db.yaml"];
    let files = &[&files[..], &["--old", "old/dev/db.yaml", "--old", "old/prod/db.yaml"]].concat()[..];
    for args in [directories, files] {
        let said = directory.validate(args);
        assert_eq!(said.code, Some(0), "{args:?}: {said:?}");
        assert_eq!(said.out, "2 manifests checked: no errors, no warnings\n", "{args:?}");
    }
    directory.write("new/dev/db.yaml", &other);
    for args in [directories, files] {
        let said = directory.validate(&[args, &["-o", "github"]].concat());
        let errors: Vec<&str> = said.out.lines().filter(|line| line.starts_with("::error ")).collect();
        assert_eq!((said.code, errors.len()), (Some(1), 1), "{args:?}: {said:?}");
        assert!(errors[0].starts_with("::error file=new/dev/db.yaml,"), "{errors:?}");
        assert!(errors[0].contains(",title=U01::"), "{errors:?}");
    }
}

/// As in the first pull request that adds the directory.
#[test]
fn what_was_not_there_is_new() {
    let directory = Directory::with(&[("new/a.yaml", PROPOSAL), ("old/README.md", "#")]);
    let alone = directory.validate(&["-f", "new"]);
    for (old, message) in [
        ("missing", "No such file or directory (os error 2)\n--> missing\n"),
        ("old", "no YAML files\n--> old\n"),
    ] {
        let said = directory.validate(&["-f", "new", "--old", old]);
        assert_eq!((said.code, &said.out), (Some(0), &alone.out), "{said:?}");
        assert_eq!(said.err, format!("warning[Unusable]: {message}\n"));
    }
    directory.write("new/a.yaml", CONFIG);
    let strict = directory.validate(&["-f", "new", "--old", "missing", "--strict", "--allow-empty"]);
    assert_eq!(strict.code, Some(0), "{strict:?}");
}

/// The rest is compared all the same, and the exit status is of what there is now.
#[test]
fn what_was_and_cannot_be_used_is_told() {
    let moved = PROPOSAL.replace("/multigres/global", "/multigres/other");
    let directory =
        Directory::with(&[("new/a.yaml", PROPOSAL), ("old/a.yaml", PROPOSAL), ("old/b.yaml", "a: [\n")]);
    let args = ["-f", "new", "--old", "old"];
    for (new, code) in [(PROPOSAL, 0), (&*moved, 1)] {
        directory.write("new/a.yaml", new);
        let said = directory.validate(&args);
        assert_eq!((said.code, said.out.contains("error[U01]")), (Some(code), code == 1), "{said:?}");
        assert!(
            said.err.starts_with("warning[Unusable]: not YAML: unclosed bracket '['\n --> old/b.yaml:1:4\n"),
            "{said:?}"
        );
        assert!(!said.out.contains("Unusable") && !said.out.contains("not usable"), "{said:?}");
        for output in ["json", "sarif", "github"] {
            let other = directory.validate(&[&args[..], &["-o", output]].concat());
            assert_eq!((other.code, &other.err), (Some(code), &said.err), "{output}");
        }
    }
    directory.write("new/b.yaml", "a: [\n");
    assert_eq!(directory.validate(&args).code, Some(2));
    directory.write("new/b.yaml", CONFIG);
    directory.write("new/a.yaml", CONFIG);
    for (strict, code) in [(&["--allow-empty"][..], 0), (&["--allow-empty", "--strict"], 1)] {
        assert_eq!(directory.validate(&[&args[..], strict].concat()).code, Some(code), "{strict:?}");
    }
}

#[test]
fn standard_input_is_one_thing() {
    let directory = Directory::with(&[("a.yaml", PROPOSAL)]);
    let said = directory.run(BINARY, &["validate", "-f", "a.yaml", "-", "--old", "-"], PROPOSAL);
    assert_eq!((said.code, said.out.as_str()), (Some(2), ""));
    assert!(said.err.starts_with("error: standard input cannot be both "), "{said:?}");
}

/// A deletion of what is protected from it, as far as a directory tells of one.
#[test]
fn what_is_protected_is_not_gone() {
    let protected = PROPOSAL.replacen("\nspec:\n", "\nspec:\n  deletionProtection: true\n", 1);
    let other = |text: &str| text.replacen("name: example-multigres-cluster", "name: other", 1);
    let directory = Directory::with(&[("old/a.yaml", PROPOSAL), ("old/b.yaml", &other(&protected))]);
    directory.write("new/a.yaml", PROPOSAL);
    let said = directory.validate(&["-f", "new", "--old", "old", "-o", "json"]);
    let json = report(&said);
    assert_eq!((said.code, json.as_array().unwrap().len()), (Some(1), 2), "{said:?}");
    assert_eq!((&json[1]["file"], &json[1]["name"]), (&"old/b.yaml".into(), &"other".into()));
    let error = &json[1]["errors"][0];
    assert_eq!((&error["rule"], &error["field"]), (&"U12".into(), &"spec.deletionProtection".into()));
    assert_eq!(
        error["line"],
        other(&protected).lines().position(|line| line.contains("Protection")).unwrap() + 1
    );
    for args in [["-f", "new/a.yaml", "--old", "old"], ["-f", "new", "--old", "old/b.yaml"]] {
        assert_eq!(directory.validate(&args).code, Some(0), "{args:?}: not all of a directory");
    }
    for (file, text) in [("old/b.yaml", other(PROPOSAL)), ("new/c.yaml", other(&protected))] {
        directory.write("old/b.yaml", other(&protected));
        directory.write(file, text);
        let said = directory.validate(&["-f", "new", "--old", "old"]);
        assert_eq!(said.code, Some(0), "{file}: {said:?}");
    }
    directory.write("new/c.yaml", "a: [\n");
    let said = directory.validate(&["-f", "new", "--old", "old"]);
    assert_eq!((said.code, said.out.contains("U12")), (Some(2), false), "it may be in the file");
}

/// Nobody but the API server would tell.
#[test]
fn metadata_has_no_unknown_fields() {
    let with = |fields: &str| PROPOSAL.replacen("metadata:\n", &format!("metadata:\n{fields}"), 1);
    let known = "  labels: {a: b}\n  annotations: {a: b}\n  finalizers: [a/b]\n  ownerReferences: []\n  uid: a\n  \
                 generation: 1\n  creationTimestamp: 2025-10-08T12:00:00Z\n  resourceVersion: \"1\"\n  managedFields: []\n";
    let directory = Directory::with(&[("a.yaml", &with(known)), ("b.yaml", &with("  lables: {x: y}\n"))]);
    assert_eq!(directory.validate(&["-f", "a.yaml"]).code, Some(0));
    let said = directory.validate(&["-f", "b.yaml", "-o", "json"]);
    let errors = json!([{
        "field": "metadata.lables", "reason": "FieldValueInvalid", "message": "unknown field", "line": 4, "column": 3,
    }]);
    assert_eq!((said.code, &report(&said)[0]["errors"]), (Some(1), &errors), "{said:?}");
    let kept = directory.validate(&["-f", "b.yaml", "--old", "b.yaml"]);
    assert_eq!(kept.code, Some(0), "{kept:?}");
    assert!(kept.out.starts_with("warning[Notice]: metadata.lables: unknown field\n"), "{kept:?}");
    let added = directory.validate(&["-f", "b.yaml", "--old", "a.yaml"]);
    assert_eq!(added.code, Some(1), "{added:?}");
}

/// One of the kinds that the proposal's cluster is made into.
fn child(directory: &Directory, kind: &str) -> Value {
    let rendered = directory.run(BINARY, &["render", "-f", "-"], PROPOSAL);
    let objects: Vec<Value> = serde_saphyr::from_multiple(&rendered.out).unwrap();
    objects.into_iter().find(|object| object["kind"] == kind).unwrap()
}

#[test]
fn who_controls_a_child_is_the_operators_to_say() {
    let directory = Directory::with(&[]);
    let sound = child(&directory, "MultiCell");
    let owner = |kind: &str, controller: bool| {
        let version = if kind == "MultigresCluster" { "multigres.com/v1alpha1" } else { "v1" };
        let name = &sound["spec"]["cluster"];
        json!([{"apiVersion": version, "kind": kind, "name": name, "uid": "a", "controller": controller}])
    };
    let edited = |pointer: &str, value: Value| {
        let mut child = sound.clone();
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        child.pointer_mut(parent).unwrap()[name.replace("~1", "/")] = value;
        child
    };
    for (name, object) in [
        ("sound", sound.clone()),
        ("labelled", edited("/metadata/labels/multigres.com~1cluster", json!("another"))),
        ("owned", edited("/metadata/ownerReferences", owner("MultigresCluster", true))),
        ("dependent", edited("/metadata/ownerReferences", owner("MultigresCluster", false))),
        ("others", edited("/metadata/ownerReferences", owner("ConfigMap", true))),
    ] {
        directory.write(&format!("{name}.json"), object.to_string());
    }
    let errors = |args: &[&str]| {
        let said = directory.validate(&[args, &["-o", "json"]].concat());
        let errors = report(&said)[0]["errors"].as_array().unwrap().clone();
        assert_eq!(said.code, Some(i32::from(!errors.is_empty())), "{said:?}");
        let text = |error: &Value, of: &str| error[of].as_str().unwrap_or_default().to_owned();
        errors
            .iter()
            .map(|error| format!("{} {}", text(error, "rule"), text(error, "field")))
            .collect::<Vec<_>>()
    };
    let label = ["K02 metadata.labels[multigres.com/cluster]"];
    let reference = ["K02 metadata.ownerReferences"];
    assert_eq!(errors(&["-f", "labelled.json"]), label);
    assert_eq!(errors(&["-f", "labelled.json", "--old", "sound.json"]), label);
    assert_eq!(errors(&["-f", "owned.json"]), reference);
    assert_eq!(errors(&["-f", "owned.json", "--old", "sound.json"]), reference);
    assert_eq!(errors(&["-f", "sound.json", "--old", "owned.json"]), reference);
    for args in [
        &["-f", "sound.json"][..],
        &["-f", "dependent.json"],
        &["-f", "others.json"],
        &["-f", "owned.json", "--old", "owned.json"],
        &["-f", "labelled.json", "--old", "labelled.json"],
    ] {
        assert!(errors(args).is_empty(), "{args:?}");
    }
}

#[test]
fn consequences_are_told() {
    let grown = PROPOSAL.replacen("storage: \"100Gi\"", "storage: \"200Gi\"", 1);
    let directory = Directory::with(&[("new.yaml", &grown), ("old.yaml", PROPOSAL)]);
    let said = directory.validate(&["-f", "new.yaml", "--old", "old.yaml"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.out.starts_with("warning[Notice]: "), "{}", said.out);
    assert!(said.out.contains("volumes grow 100Gi → 200Gi online"), "{}", said.out);
}

/// As `kubectl` would do it: several files, standard input, several documents, lists, JSON.
#[test]
fn manifests_come_in_many_ways() {
    let json: Value = serde_saphyr::from_str(PROPOSAL).unwrap();
    let many = format!("{CONFIG}---\n{PROPOSAL}");
    let list = serde_json::json!({"apiVersion": "v1", "kind": "List", "items": [json]});
    let directory = Directory::with(&[
        ("a.yaml", &many),
        ("b.json", &json.to_string()),
        ("c/d.yml", &list.to_string()),
        ("c/unrelated.txt", "\t"),
    ]);
    for args in
        [&["-f", "a.yaml", "b.json", "c", "-"][..], &["-f", "a.yaml", "-f", "b.json", "-f", "c", "-f", "-"]]
    {
        let said = directory.run(BINARY, &[&["validate", "-o", "json"], args].concat(), PROPOSAL);
        let json = report(&said);
        let files: Vec<&str> =
            json.as_array().unwrap().iter().map(|one| one["file"].as_str().unwrap()).collect();
        assert_eq!((said.code, files), (Some(0), vec!["a.yaml", "b.json", "c/d.yml", "-"]), "{args:?}");
    }
    let said = directory.validate(&["-f", "."]);
    assert!(said.out.ends_with("; 1 document of other kinds skipped\n"), "{}", said.out);
    assert!(said.out.contains("\n3 manifests checked: "), "{}", said.out);
}

/// A finding in what comes from elsewhere is shown where it is written.
#[test]
fn anchors_are_followed() {
    let shared = PROPOSAL.replacen("- cell: \"us-west-2\"", "- cell: *wrong", 1);
    let shared = format!(
        "{}\n",
        shared.replacen("metadata:\n", "metadata:\n  annotations: {a: &wrong us-wst-2}\n", 1)
    );
    let directory = Directory::with(&[("a.yaml", &shared)]);
    let said = directory.validate(&["-f", "a.yaml", "-o", "json"]);
    let error = report(&said)[0]["errors"][0].clone();
    assert_eq!(error["field"], "spec.databases.templates[0].spec.pools[1].cell", "{said:?}");
    let line = usize::try_from(error["line"].as_u64().unwrap()).unwrap();
    let column = usize::try_from(error["column"].as_u64().unwrap()).unwrap();
    assert!(shared.lines().nth(line - 1).unwrap()[column - 1..].starts_with("us-wst-2"), "{error}");
}

#[test]
fn that_there_is_nothing_to_check_is_said() {
    let directory = Directory::with(&[("a.yaml", CONFIG)]);
    let told = "warning: nothing checked: the input has no manifest of multigres.com; \
                1 document of other kinds skipped\n";
    for output in ["human", "json", "sarif", "github"] {
        let said = directory.validate(&["-f", "a.yaml", "-o", output]);
        assert_eq!((said.code, said.err.as_str()), (Some(0), told), "{output}");
        let strict = ["-f", "a.yaml", "-o", output, "--strict"];
        assert_eq!(directory.validate(&strict).code, Some(1));
        let allowed = directory.validate(&[&strict[..], &["--allow-empty"]].concat());
        assert_eq!((allowed.code, allowed.err.as_str()), (Some(0), told), "{output}");
    }
    assert_eq!(report(&directory.validate(&["-f", "a.yaml", "-o", "json"])), serde_json::json!([]));
}

/// The rest is checked all the same.
#[test]
fn input_that_cannot_be_used_is_told_apart() {
    for (text, place, message) in [
        (&b"a: 1\na: 2\n"[..], Some((2, 1)), "not YAML: duplicate mapping key `a` is not allowed here"),
        (b"a:\n\t- b\n", Some((2, 2)), "not YAML: tabs disallowed within this context (block indentation)"),
        (b"a: [1\n", Some((1, 4)), "not YAML: unclosed bracket '['"),
        (b"{{- if .Values.a }}\n", Some((1, 3)), "not YAML: \"-\" is only valid inside a block"),
        (b"a: \xff\n", Some((1, 4)), "not UTF-8"),
        (b"", None, "No such file or directory (os error 2)"),
    ] {
        let directory = Directory::with(&[("good.yaml", PROPOSAL)]);
        if !text.is_empty() {
            directory.write("bad.yaml", text);
        }
        let said = directory.validate(&["-f", "bad.yaml", "good.yaml", "-o", "json"]);
        let json = report(&said);
        assert_eq!((said.code, json.as_array().unwrap().len()), (Some(2), 2), "{said:?}");
        assert_eq!(json[0]["kind"], "MultigresCluster");
        let error = &json[1]["errors"][0];
        assert_eq!((&error["reason"], &error["message"]), (&"Unusable".into(), &message.into()));
        let line_and_column = error["line"].as_u64().zip(error["column"].as_u64());
        assert_eq!(line_and_column, place, "{error}");
        let place = place.map_or_else(String::new, |(line, column)| format!(":{line}:{column}\n"));
        assert!(said.err.contains(&format!("error[Unusable]: {message}\n")), "{}", said.err);
        assert!(said.err.contains(&format!("--> bad.yaml{place}")), "{}", said.err);
    }
}

#[test]
fn a_kind_that_there_is_not_is_no_other_kind() {
    for (from, to, field) in [
        ("kind: MultigresCluster", "kind: MultigresClutser", "kind"),
        ("multigres.com/v1alpha1", "multigres.com/v1beta1", "apiVersion"),
    ] {
        let directory = Directory::with(&[("a.yaml", &PROPOSAL.replacen(from, to, 1))]);
        let said = directory.validate(&["-f", "a.yaml", "-o", "json"]);
        let json = report(&said);
        assert_eq!((said.code, &json[0]["errors"][0]["field"]), (Some(1), &field.into()), "{said:?}");
        assert_eq!(json[0]["errors"][0]["reason"], "FieldValueNotSupported");
    }
}

/// Not to be taken for checked.
#[test]
fn a_kind_of_another_group_is_told_of() {
    for version in ["multigers.com/v1alpha1", "v1alpha1", "multigres.com"] {
        let mistyped = PROPOSAL.replacen("multigres.com/v1alpha1", version, 1);
        let directory = Directory::with(&[("a.yaml", &mistyped), ("b.yaml", PROPOSAL)]);
        let said = directory.validate(&["-f", "a.yaml", "b.yaml"]);
        assert_eq!(said.code, Some(0), "{said:?}");
        let told =
            "warning[Skipped]: is skipped; did you mean \"multigres.com/v1alpha1\"?\n --> a.yaml:1:13\n";
        assert!(said.out.starts_with(told), "{}", said.out);
        assert!(said.out.ends_with("; 1 document of other kinds skipped\n"), "{}", said.out);
        assert!(said.out.contains("\n1 manifest checked: "), "{}", said.out);
        let strict = directory.validate(&["-f", "a.yaml", "--strict", "--allow-empty", "-o", "json"]);
        let json = report(&strict);
        assert_eq!((strict.code, &json[0]["errors"][0]["rule"]), (Some(1), &"Skipped".into()), "{strict:?}");
        let rendered = directory.run(BINARY, &["render", "-f", "a.yaml", "b.yaml"], "");
        assert_eq!((rendered.code, rendered.err.starts_with(told)), (Some(0), true), "{rendered:?}");
    }
}

#[test]
fn an_object_that_is_there_twice_is_warned_about() {
    let twice = format!("{PROPOSAL}\n---\n{}", broken());
    let directory = Directory::with(&[("a.yaml", &twice), ("b.yaml", PROPOSAL)]);
    let said = directory.validate(&["-f", ".", "-o", "github"]);
    assert_eq!(said.code, Some(1));
    let repeated: Vec<&str> = said.out.lines().filter(|line| line.contains("title=Repeated")).collect();
    assert_eq!(repeated.len(), 1, "{repeated:?}");
    assert!(repeated[0].starts_with("::warning file=a.yaml,line="), "{repeated:?}");
}

#[test]
fn render_takes_the_same() {
    let directory = Directory::with(&[("a/b.yaml", PROPOSAL), ("bad.yaml", "a: [\n"), ("c.yaml", CONFIG)]);
    let rendered = directory.run(BINARY, &["render", "-f", "a", "c.yaml"], "");
    assert_eq!(rendered.code, Some(0), "{rendered:?}");
    assert!(rendered.out.contains("kind: StatefulSet"));
    for (args, message) in [
        (["render", "-f", "missing.yaml"], "error: missing.yaml: No such file or directory"),
        (["render", "-f", "c.yaml"], "error: nothing to render: the input has no manifest of multigres.com"),
        (["render", "-f", "bad.yaml"], "error: bad.yaml:1:4: not YAML: unclosed bracket '['"),
    ] {
        let said = directory.run(BINARY, &args, "");
        assert_eq!(said.code, Some(2), "{args:?}");
        assert!(said.err.starts_with(message), "{said:?}");
    }
}

/// Nothing is made of it, and the errors are those of `validate`.
#[test]
fn what_would_be_refused_is_not_rendered() {
    let text = |from: &str, to: &str| PROPOSAL.replacen(from, to, 1);
    let owned = "metadata:\n  ownerReferences:\n  - {apiVersion: multigres.com/v1alpha1, kind: MultigresCluster, name: a, uid: b, controller: true}\n";
    for (manifest, told) in [
        (broken(), "error[FieldValueNotSupported]: spec.globalTopoServer.managedSpec.replicas: "),
        (
            "apiVersion: multigres.com/v1alpha1\nkind: MultigresCluster\nmetadata: x\n".to_owned(),
            "error[FieldValue",
        ),
        (
            text("multigres.com/v1alpha1", "multigres.com/v1beta1"),
            "error[FieldValueNotSupported]: apiVersion: ",
        ),
        (text("kind: MultigresCluster", "kind: MultigresClutser"), "error[FieldValueNotSupported]: kind: "),
        (
            text("kind: MultigresCluster", "kind: MultiCell").replacen("metadata:\n", owned, 1),
            "error[K02]: metadata.ownerReferences: ",
        ),
    ] {
        let directory = Directory::with(&[("bad.yaml", &manifest), ("good.yaml", PROPOSAL)]);
        let said = directory.run(BINARY, &["render", "-f", "bad.yaml", "good.yaml"], "");
        assert_eq!((said.code, said.out.as_str()), (Some(1), ""), "{said:?}");
        assert!(said.err.starts_with(told), "{}", said.err);
        assert!(!said.err.contains("warning["), "{}", said.err);
        let validated = directory.validate(&["-f", "bad.yaml"]);
        assert!(validated.out.starts_with(said.err.trim_end()), "{}\n{}", said.err, validated.out);
    }
    let directory = Directory::with(&[("a.yaml", &text("  name: ", "  generateName: "))]);
    let said = directory.run(BINARY, &["render", "-f", "a.yaml"], "");
    assert_eq!((said.code, said.out.as_str()), (Some(2), ""), "{said:?}");
    assert!(said.err.starts_with("error: a.yaml: a cluster without a name"), "{said:?}");
}

/// A child renders to the same objects, written by hand or made by a cluster.
#[test]
fn what_stands_alone_is_rendered_too() {
    let directory = Directory::with(&[]);
    let all: Vec<Value> =
        serde_saphyr::from_multiple(&directory.run(BINARY, &["render", "-f", "-"], PROPOSAL).out).unwrap();
    for kind in ["TopoServer", "MultiAdmin", "MultiOrch", "MultiCell", "MultiShard"] {
        let index = all.iter().position(|object| object["kind"] == kind).unwrap();
        let mut child = all[index].clone();
        let is_built = |object: &&Value| object["apiVersion"] != "multigres.com/v1alpha1";
        let built: Vec<Value> = all[index + 1..].iter().take_while(is_built).cloned().collect();
        assert!(!built.is_empty(), "{kind}");
        let namespace = child["metadata"].as_object_mut().unwrap().remove("namespace").unwrap();
        directory.write("child.json", child.to_string());
        let args = ["render", "-f", "child.json", "--namespace", namespace.as_str().unwrap()];
        let said = directory.run(BINARY, &args, "");
        assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{said:?}");
        assert_eq!(serde_saphyr::from_multiple::<Value>(&said.out).unwrap(), built, "{kind}");
    }
}
