//! Rules for the location of backups.

use multigres_crds::address;
use multigres_crds::v1alpha1::{Backup, DurabilityPolicy, S3Backup};

use super::view::View;
use super::volumes::manages_databases;
use super::{ChildContext, ChildSpec, ClusterContext, Reporter, rule};
use crate::path::{FieldPath, Path};
use crate::report::{Reason, quote};

const BACKUP: Path<'static> = Path::new("spec.backup");

rule!(
    /// Backups have one location, a volume or a fully named S3 bucket.
    C21 since "0.1.0" = { backup: one_place }
);

fn one_place(path: &Path<'_>, backup: &Backup, report: &mut Reporter<'_>) {
    match (&backup.filesystem, &backup.s3) {
        (None, None) => {
            let message = "names no location; set filesystem or s3, or remove backup";
            report.error(path, Reason::Required, "", message);
        }
        (Some(_), Some(_)) => {
            let message = "filesystem is set too, but backups have one location; keep one of the two";
            report.error(&path.field("s3"), Reason::Forbidden, "", message);
        }
        _ => {}
    }
    if let Some(s3) = &backup.s3 {
        bucket(&path.field("s3"), s3, report);
    }
}

fn bucket(path: &Path<'_>, s3: &S3Backup, report: &mut Reporter<'_>) {
    for (field, value) in [("bucket", &s3.bucket), ("region", &s3.region)] {
        if value.is_empty() {
            let message = format!("is empty; write the {field} that backups are kept in");
            report.error(&path.field(field), Reason::Required, "", message);
        }
    }
    if let Some((endpoint, problem)) =
        s3.endpoint.as_ref().and_then(|url| Some((url, endpoint_problem(url)?)))
    {
        let message = format!("{} {problem}", quote(endpoint));
        report.error(&path.field("endpoint"), Reason::Invalid, endpoint, message);
    }
    if let Some(prefix) = s3.key_prefix.as_ref().filter(|key| key.starts_with('/') || key.ends_with('/')) {
        let message = format!("{} begins or ends with '/'; remove it", quote(prefix));
        report.error(&path.field("keyPrefix"), Reason::Invalid, prefix, message);
    }
}

fn endpoint_problem(url: &str) -> Option<&'static str> {
    let host = match url.split_once("://") {
        Some(("https" | "http", host)) => host,
        Some(_) => return Some("is not an S3 URL; begin it with https://"),
        None => url,
    };
    let is_host = |host: &str| !host.contains(',') && address::parse(host).is_ok();
    if host.contains(['/', '?', '#']) {
        Some("has a path; write only scheme, host and port, and set keyPrefix for a path in the bucket")
    } else if is_host(host) || is_host(&format!("{host}:443")) {
        None
    } else {
        Some("has no valid host; write for example \"https://s3.example.com\"")
    }
}

rule!(
    /// Durability policy and backup location cannot change, since Multigres reads them only when a shard is bootstrapped.
    U11 since "0.1.0" = cluster: bootstrap_stays, child: backups_stay
);

fn bootstrap_stays(cx: &ClusterContext<'_>, report: &mut Reporter<'_>) {
    let managed = manages_databases(&cx.new);
    let Some(old) = cx.old.as_ref().filter(|old| managed && manages_databases(old)) else { return };
    cx.new.each_kept_database(old, |path, database, before| {
        let (new, before) = (&database.template.spec, &before.template.spec);
        let spec = path.field("spec");
        let policy = |policy: Option<DurabilityPolicy>| policy.unwrap_or_default().as_str();
        let (is, was) = (policy(new.durability_policy), policy(before.durability_policy));
        let written = spec.field("durabilityPolicy");
        if is != was && old.knows(&written) {
            let message = format!(
                "cannot be changed from {was} to {is}: Multigres reads it only when a shard is bootstrapped; write {was}"
            );
            report.error(&written, Reason::Forbidden, is, message);
        }
        let own = new.backup.is_some() || before.backup.is_some();
        let path = if own { FieldPath::from(&spec.field("backup")) } else { FieldPath::from(&BACKUP) };
        if knows_backup(old, &spec) && knows_backup(&cx.new, &spec) {
            let is = new.backup.as_ref().or(cx.new.spec().backup.as_ref());
            let was = before.backup.as_ref().or(old.spec().backup.as_ref());
            stays(path, &Place::of(is), &Place::of(was), report);
        }
    });
}

fn knows_backup(view: &View<'_>, database: &Path<'_>) -> bool {
    view.knows(&database.field("backup")) && view.knows(&BACKUP)
}

fn backups_stay(cx: &ChildContext<'_>, report: &mut Reporter<'_>) {
    let (ChildSpec::MultiShard(new), Some(old)) = (cx.new.spec, &cx.old) else { return };
    if let ChildSpec::MultiShard(before) = old.spec
        && old.knows(&BACKUP)
    {
        let place = |backup| Place::of(Some(backup));
        stays(FieldPath::from(&BACKUP), &place(&new.backup), &place(&before.backup), report);
    }
}

fn stays(path: FieldPath, new: &Place<'_>, old: &Place<'_>, report: &mut Reporter<'_>) {
    if new != old {
        let message = format!(
            "backups cannot move from {old} to {new}: Multigres reads the location only when a shard is bootstrapped; keep the old one"
        );
        report.error(path, Reason::Forbidden, new, message);
    }
}

/// Location of backups, as far as restores depend on it.
#[derive(PartialEq)]
enum Place<'a> {
    Volume,
    Bucket { bucket: &'a str, region: &'a str, endpoint: Option<&'a str>, prefix: Option<&'a str> },
}

impl<'a> Place<'a> {
    fn of(backup: Option<&'a Backup>) -> Self {
        match backup.and_then(|backup| backup.s3.as_ref()) {
            None => Self::Volume,
            Some(s3) => Self::Bucket {
                bucket: &s3.bucket,
                region: &s3.region,
                endpoint: s3.endpoint.as_deref(),
                prefix: s3.key_prefix.as_deref(),
            },
        }
    }
}

impl std::fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Volume => f.write_str("a volume"),
            Self::Bucket { bucket, region, endpoint, prefix } => {
                let location = [Some(*bucket), *prefix].into_iter().flatten().collect::<Vec<_>>().join("/");
                write!(f, "{} in {}", quote(&location), quote(endpoint.unwrap_or(region)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::testing::{Edit, SHORT, edit, volume};
    use crate::validate::testing::{create, update};

    fn s3(field: &str, value: Value) -> Value {
        let mut backup = json!({"s3": {"bucket": "b", "region": "r"}});
        backup["s3"][field] = value;
        backup
    }

    fn shared(backup: Value) -> Vec<Edit> {
        vec![edit("/spec", "/backup", backup)]
    }

    fn own(backup: Value) -> Vec<Edit> {
        vec![edit(SHORT, "/spec/backup", backup)]
    }

    #[test]
    fn one_place() {
        let filesystem = || json!({"volumeClaimTemplate": volume("1Gi")});
        let endpoint: &[&str] = &["Invalid spec.backup.s3.endpoint"];
        let prefix: &[&str] = &["Invalid spec.backup.s3.keyPrefix"];
        create(
            "C21",
            &[
                (shared(s3("keyPrefix", json!("a/b"))), &[]),
                (shared(s3("endpoint", json!("https://s3.example.com:9000"))), &[]),
                (shared(s3("endpoint", json!("s3.example.com"))), &[]),
                (shared(json!({"filesystem": filesystem()})), &[]),
                (shared(json!({})), &["Required spec.backup"]),
                (own(json!({})), &["Required spec.databases.templates[0].spec.backup"]),
                (
                    shared(json!({"filesystem": filesystem(), "s3": {"bucket": "b", "region": "r"}})),
                    &["Forbidden spec.backup.s3"],
                ),
                (shared(s3("bucket", json!(""))), &["Required spec.backup.s3.bucket"]),
                (shared(s3("region", json!(""))), &["Required spec.backup.s3.region"]),
                (shared(s3("endpoint", json!("https://s3.example.com/bucket"))), endpoint),
                (shared(s3("endpoint", json!("https://s3.example.com/"))), endpoint),
                (shared(s3("endpoint", json!("ftp://s3.example.com"))), endpoint),
                (shared(s3("endpoint", json!("https://s3 example.com"))), endpoint),
                (shared(s3("keyPrefix", json!("/a"))), prefix),
                (shared(s3("keyPrefix", json!("a/"))), prefix),
                // Neither is known.
                (shared(json!({"s3": 1})), &[]),
            ],
        );
    }

    #[test]
    fn bootstrap_stays() {
        let policy = |policy: &str| vec![edit(SHORT, "/spec/durabilityPolicy", json!(policy))];
        let unmanaged = || vec![edit("/spec/databases", "/managed", json!(false))];
        let path = "spec.databases.templates[0].spec";
        let volume = || json!({"filesystem": {"volumeClaimTemplate": volume("10Gi")}});
        update(
            "U11",
            &[
                (vec![], policy("AT_LEAST_2"), &[]),
                (vec![], policy("MULTI_CELL_AT_LEAST_2"), &[&format!("Forbidden {path}.durabilityPolicy")]),
                (policy("Nonsense"), policy("MULTI_CELL_AT_LEAST_2"), &[]),
                (vec![], own(volume()), &[]),
                (vec![], own(s3("keyPrefix", json!("a"))), &[&format!("Forbidden {path}.backup")]),
                (own(s3("keyPrefix", json!("a"))), own(json!(null)), &[&format!("Forbidden {path}.backup")]),
                (vec![], shared(s3("keyPrefix", json!("a"))), &["Forbidden spec.backup"]),
                (
                    shared(s3("keyPrefix", json!("a"))),
                    shared(s3("credentialsSecretRef", json!({"name": "s"}))),
                    &["Forbidden spec.backup"],
                ),
                (
                    shared(s3("keyPrefix", json!("a"))),
                    vec![edit("/spec/backup", "/s3/credentialsSecretRef", json!({"name": "s"}))],
                    &[],
                ),
                // Written in another place, it is the same.
                (shared(s3("keyPrefix", json!("a"))), own(s3("keyPrefix", json!("a"))), &[]),
                (own(json!({"s3": 1})), own(s3("keyPrefix", json!("a"))), &[]),
                // Of templates that are ignored nothing was bootstrapped.
                (unmanaged(), policy("MULTI_CELL_AT_LEAST_2"), &[]),
                (unmanaged(), shared(s3("keyPrefix", json!("a"))), &[]),
                (vec![], [unmanaged(), policy("MULTI_CELL_AT_LEAST_2")].concat(), &[]),
                (
                    unmanaged(),
                    vec![
                        edit("/spec/databases", "/managed", json!(true)),
                        edit(SHORT, "/spec/durabilityPolicy", json!("MULTI_CELL_AT_LEAST_2")),
                    ],
                    &[],
                ),
            ],
        );
    }
}
