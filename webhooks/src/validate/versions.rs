//! Rules for the PostgreSQL version that data was created with.

use std::collections::BTreeSet;

use multigres_crds::defaults;
use multigres_crds::resolve::PoolSource;
use multigres_crds::v1alpha1::{DatabaseImages, Member, ShardPool, Truth};

use super::images::Reference;
use super::view::{DATABASES, Database, View};
use super::volumes::manages_databases;
use super::{ChildContext, ChildSpec, ClusterContext, Reporter, rule};
use crate::path::{FieldPath, Path};
use crate::report::{Reason, quote, shorten};

/// Longest image that a warning repeats in full.
const MAX_IMAGE: usize = 32;

rule!(
    /// PostgreSQL keeps its major version while data may exist, since another major version cannot read it.
    U07 since "0.1.0" = cluster: major_stays, child: major_of_shard_stays
);

fn major_stays(cx: &ClusterContext<'_>, report: &mut Reporter<'_>) {
    let managed = manages_databases(&cx.new);
    let Some(old) = cx.old.as_ref().filter(|old| managed && manages_databases(old)) else { return };
    let mut told = BTreeSet::new();
    cx.new.each_kept_database(old, |path, database, before| {
        if !may_have_data(old, &database.template.name) {
            return;
        }
        for (group, pool) in
            database.groups.iter().flat_map(|group| group.pools.iter().map(move |pool| (group, pool)))
        {
            if !cx.new.knows_name(path, database, pool) {
                continue;
            }
            let same = |before: &&PoolSource<'_>| before.name == pool.name;
            let was = before.group(group.name).and_then(|group| group.pools.iter().find(same));
            let Some(was) = was.map(|pool| image(old, before, pool)) else { continue };
            let is = image(&cx.new, database, pool);
            if is == was {
                continue;
            }
            let written = image_path(database, pool);
            if told.insert((is, was, written.to_string())) && old.unknown().is_empty() {
                compare(written, was, is, report);
            }
        }
    });
}

/// The image of PostgreSQL that a pool runs.
fn image<'a>(view: &View<'a>, database: &Database<'a>, pool: &PoolSource<'a>) -> &'a str {
    let shared = || view.spec().databases.as_ref().and_then(|databases| of(databases.images.as_ref()));
    let own = pool.member.postgres.image.or_else(|| of(database.template.spec.images.as_ref()));
    own.or_else(shared).map_or(defaults::POSTGRES_IMAGE, String::as_str)
}

/// Path at which that image is written, or would be.
fn image_path(database: &Database<'_>, pool: &PoolSource<'_>) -> FieldPath {
    let path = DATABASES.item(database.index, &database.template.name);
    if pool.member.postgres.image.is_some() {
        let has_image =
            |member: &Member| member.postgres.as_ref().is_some_and(|postgres| postgres.image.is_some());
        let written = |block: &Path<'_>| FieldPath::from(&block.field("postgres.image"));
        return database.at_block(&path, pool, has_image, written);
    }
    if of(database.template.spec.images.as_ref()).is_some() {
        return FieldPath::from(&path.field("spec.images.postgres"));
    }
    FieldPath::from(&Path::new("spec.databases.images.postgres"))
}

fn of(images: Option<&DatabaseImages>) -> Option<&String> {
    images.and_then(|images| images.postgres.as_ref())
}

/// True if a shard may have been initialized. Only the status can rule that out: volumes exist before the data does,
/// and backups outlive them.
fn may_have_data(old: &View<'_>, database: &str) -> bool {
    let said = old.cluster.status.as_ref().and_then(|status| status.databases.get(database));
    said.is_none_or(|status| status.initialized != Truth::False)
}

fn compare(path: FieldPath, was: &str, is: &str, report: &mut Reporter<'_>) {
    let major = |image| Reference::parse(image).and_then(|reference| reference.postgres_major());
    match (major(was), major(is)) {
        (Some(old), Some(new)) if old != new => {
            let message = format!(
                "{} is PostgreSQL {new}, which cannot read the data of {old}; keep an image of {old}, or create a new database and move the data there",
                quote(is)
            );
            report.error(path, Reason::Forbidden, is, message);
        }
        (Some(_), Some(_)) => {}
        _ => report.warn(format!(
            "PostgreSQL must keep its major version, which these image tags do not tell: {} → {}",
            shorten(was, MAX_IMAGE),
            shorten(is, MAX_IMAGE)
        )),
    }
}

fn major_of_shard_stays(cx: &ChildContext<'_>, report: &mut Reporter<'_>) {
    let (ChildSpec::MultiShard(new), Some(old)) = (cx.new.spec, &cx.old) else { return };
    let ChildSpec::MultiShard(before) = old.spec else { return };
    if old.initialized == Truth::False {
        return;
    }
    let list = Path::new("spec.pools");
    for (index, pool) in new.pools.iter().enumerate() {
        let same = |before: &&ShardPool| before.name == pool.name;
        let Some(before) = before.pools.iter().find(same) else { continue };
        if pool.postgres.image != before.postgres.image {
            let path = FieldPath::from(&list.item(index, &pool.name).field("postgres.image"));
            compare(path, &before.postgres.image, &pool.postgres.image, report);
        }
    }
}

#[cfg(test)]
mod tests {
    use multigres_crds::v1alpha1::MultiShard;
    use serde_json::{Value, json};

    use crate::lookup::Offline;
    use crate::testing::{Edit, FULL, SHORT, edit, edited, sample, small, volume};
    use crate::validate::testing::{decode_child, found, update};

    fn shared(image: &str) -> Vec<Edit> {
        vec![edit("/spec/databases", "/images", json!({"postgres": image}))]
    }

    fn primary(image: &str) -> Vec<Edit> {
        vec![edit(SHORT, "/spec/pools/0/primary/postgres", json!({"image": image}))]
    }

    #[test]
    fn major_stays() {
        let unclear: &[&str] = &[
            "PostgreSQL must keep its major version, which these image tags do not tell: a/pg:17 → postgres:17",
        ];
        let path = "spec.databases.templates[0].spec.pools[0].primary.postgres.image";
        update(
            "U07",
            &[
                (shared("postgres:17.1"), shared("example.com/my-postgres:17.2-bookworm"), &[]),
                (
                    shared("postgres:16"),
                    shared("example.com/my-postgres:17"),
                    &["Forbidden spec.databases.images.postgres"],
                ),
                (shared("a/pg:17"), shared("postgres:17"), unclear),
                (primary("postgres:16"), primary("postgres:17"), &[&format!("Forbidden {path}")]),
                // Through what is inherited, and through the default.
                (
                    [shared("postgres:16"), primary("postgres:17")].concat(),
                    vec![edit(SHORT, "/spec/pools/0/primary/postgres", json!(null))],
                    &["Forbidden spec.databases.images.postgres"],
                ),
                (
                    primary("postgres:16"),
                    vec![edit(SHORT, "/spec/pools/0/replica/postgres", json!({"image": "postgres:15"}))],
                    &["Forbidden spec.databases.templates[0].spec.pools[0].replica.postgres.image"],
                ),
                (
                    vec![],
                    shared("postgres:17"),
                    &[
                        "PostgreSQL must keep its major version, which these image tags do not tell: ghcr.io/multigres/pgctld:v0.1.0 → postgres:17",
                    ],
                ),
                // In another place it is the same image; and in a new pool there is no data.
                (
                    shared("postgres:16"),
                    [
                        primary("postgres:16"),
                        vec![edit(FULL, "/spec/images", json!({"postgres": "postgres:16"}))],
                    ]
                    .concat(),
                    &[],
                ),
                (
                    shared("postgres:16"),
                    vec![edit(
                        FULL,
                        "/spec/tableGroups/0/shardTemplate/pools/0",
                        json!({"name": "new", "type": "replica", "cell": "a", "postgres": {"image": "postgres:17"}}),
                    )],
                    &[],
                ),
            ],
        );
    }

    #[test]
    fn where_no_shard_was_ever_initialized_there_is_no_data() {
        let refused = ["Forbidden spec.databases.images.postgres"];
        for (short, full, expected) in [
            (json!("False"), json!("False"), &[][..]),
            (json!("True"), json!("True"), &refused),
            (json!("Unknown"), json!("Unknown"), &refused),
            (json!(null), json!(null), &refused),
            // One database is enough.
            (json!("False"), json!("True"), &refused),
            (json!("True"), json!("False"), &refused),
            // What the status says in other words is not known.
            (json!("No"), json!("False"), &refused),
        ] {
            let databases = json!({"short": {"initialized": short}, "full": {"initialized": full}});
            let said = edit("", "/status", json!({"databases": databases}));
            let old = edited(small(), &[shared("postgres:16"), vec![said]].concat());
            let new = edited(old.clone(), &shared("postgres:17"));
            assert_eq!(found("U07", &new, Some(&old), &Offline), expected, "{databases}");
            // What the new object says of it is not asked.
            let new = edited(new, &[edit("", "/status", json!({"databases": {}}))]);
            assert_eq!(found("U07", &new, Some(&old), &Offline), expected, "{databases}");
        }
        // One that the status says nothing of.
        let said = |database: &str| json!({"databases": {database: {"initialized": "False"}}});
        let old =
            edited(small(), &[shared("postgres:16"), vec![edit("", "/status", said("short"))]].concat());
        assert_eq!(found("U07", &edited(old.clone(), &shared("postgres:17")), Some(&old), &Offline), refused);
        // The proposal's own image, which cannot start.
        let image = |image: &str| edited(sample(), &[edit(SHORT, "/spec/images/postgres", json!(image))]);
        let (old, new) = (image("postgres:15.3"), image("example.com/postgres:17"));
        let refused = ["Forbidden spec.databases.templates[0].spec.images.postgres"];
        assert_eq!(found("U07", &new, Some(&old), &Offline), refused);
        let old = edited(old, &[edit("", "/status", said("users_db"))]);
        assert!(found("U07", &new, Some(&old), &Offline).is_empty());
    }

    #[test]
    fn where_a_child_was_never_initialized_it_has_no_data() {
        let shard = |major: &str, status: &Value| {
            let pool = json!({
                "name": "p", "cell": "a", "type": "replica", "replicas": 2, "dataVolumeClaimTemplate": volume("1Gi"),
                "postgres": {"image": format!("postgres:{major}")}, "multiPooler": {"image": "m:1"},
            });
            let shard = json!({
                "apiVersion": "multigres.com/v1alpha1", "kind": "MultiShard",
                "metadata": {"name": "s", "namespace": "ns"},
                "spec": {
                    "cluster": "c", "database": "app", "tableGroup": "default", "shard": "0-inf",
                    "globalTopology": {"address": "e:1", "rootPath": "/m"},
                    "password": {"secretKeyRef": {"name": "p", "key": "k"}},
                    "backup": {"s3": {"bucket": "b", "region": "r"}}, "pools": [pool],
                },
                "status": status,
            });
            decode_child::<MultiShard>(&shard)
        };
        for (status, is_refused) in [
            (json!({"initialized": "False"}), false),
            (json!({"initialized": "True"}), true),
            (json!({"initialized": "Unknown"}), true),
            (json!({}), true),
        ] {
            let (new, old) = (shard("17", &status), shard("16", &status));
            let report = crate::validate::child(&new, Some(&old), &crate::validate::Context::OFFLINE);
            let fields: Vec<String> = report.errors.iter().map(|cause| cause.field.clone()).collect();
            let expected = if is_refused { &["spec.pools[0].postgres.image"][..] } else { &[] };
            assert_eq!(fields, expected, "{status}");
        }
    }

    #[test]
    fn of_templates_that_are_ignored_nothing_runs() {
        let managed = |managed: bool| vec![edit("/spec/databases", "/managed", json!(managed))];
        let with = |section: Vec<Edit>, image: &str| {
            [vec![edit("/spec", "/databases/images", json!({"postgres": image}))], section].concat()
        };
        let refused: &[&str] = &["Forbidden spec.databases.images.postgres"];
        update(
            "U07",
            &[
                (with(managed(true), "postgres:16"), with(managed(true), "postgres:17"), refused),
                (with(managed(false), "postgres:16"), with(managed(false), "postgres:17"), &[]),
                (with(managed(true), "postgres:16"), with(managed(false), "postgres:17"), &[]),
                (with(managed(false), "postgres:16"), with(managed(true), "postgres:17"), &[]),
                // Whether it is managed is not known.
                (
                    with(managed(true), "postgres:16"),
                    with(vec![edit("/spec/databases", "/managed", json!("yes"))], "postgres:17"),
                    &[],
                ),
            ],
        );
    }

    #[test]
    fn a_pool_without_a_name_is_known_by_type_and_cell() {
        let list = format!("{FULL}/spec/tableGroups/0/shardTemplate/pools");
        let pools = |first: Value| {
            let mut pools = json!([first, {"type": "readOnly", "cell": "b", "name": "reports"}]);
            for pool in pools.as_array_mut().unwrap() {
                pool["dataVolumeClaimTemplate"] = volume("10Gi");
            }
            vec![edit("", &list, pools)]
        };
        let replica = |image: &str| json!({"type": "replica", "cell": "a", "postgres": {"image": image}});
        let with = |mut pool: Value, field: &str, value: Value| {
            pool[field] = value;
            pools(pool)
        };
        let path =
            "Forbidden spec.databases.templates[1].spec.tableGroups[0].shardTemplate.pools[0].postgres.image";
        update(
            "U07",
            &[
                (pools(replica("postgres:16")), pools(replica("postgres:17")), &[path]),
                (pools(replica("postgres:16")), with(replica("postgres:17"), "type", json!("primary")), &[]),
                (pools(replica("postgres:16")), with(replica("postgres:17"), "cell", json!(1)), &[]),
                (
                    with(replica("postgres:16"), "name", json!("n")),
                    with(with_name(replica("postgres:17")), "type", json!("primary")),
                    &[path],
                ),
            ],
        );
    }

    fn with_name(mut pool: Value) -> Value {
        pool["name"] = json!("n");
        pool
    }
}
