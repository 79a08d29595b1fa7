//! Which PostgreSQL data was made with.

use std::collections::BTreeSet;

use multigres_crds::defaults;
use multigres_crds::labels::{self, Component, Labels};
use multigres_crds::resolve::PoolSource;
use multigres_crds::v1alpha1::{DatabaseImages, Member, ShardPool};

use super::images::Reference;
use super::view::{DATABASES, Database, View};
use super::{ChildContext, ChildSpec, ClusterContext, Reporter, rule};
use crate::lookup::{Known, Lookup};
use crate::path::{FieldPath, Path};
use crate::report::{Reason, quote, shorten};

/// Longest image that a warning repeats in full.
const MAX_IMAGE: usize = 32;

rule!(
    /// PostgreSQL stays at its major version where there may be data, since another one cannot read it.
    U07 since "0.1.0" = cluster: major_stays, child: major_of_shard_stays
);

fn major_stays(cx: &ClusterContext<'_>, report: &mut Reporter<'_>) {
    let Some(old) = &cx.old else { return };
    let namespace = cx.new.cluster.metadata.namespace.as_deref().unwrap_or_default();
    let cluster = cx.new.cluster.metadata.name.as_deref().unwrap_or_default();
    let mut told = BTreeSet::new();
    cx.new.each_kept_database(old, |_, database, before| {
        let has_data = || may_have_data(cx.lookup, namespace, cluster, &database.template.name);
        for (group, pool) in
            database.groups.iter().flat_map(|group| group.pools.iter().map(move |pool| (group, pool)))
        {
            let same = |before: &&PoolSource<'_>| before.name == pool.name;
            let was = before.group(group.name).and_then(|group| group.pools.iter().find(same));
            let Some(was) = was.map(|pool| image(old, before, pool)) else { continue };
            let is = image(&cx.new, database, pool);
            if is == was {
                continue;
            }
            let written = image_path(database, pool);
            if told.insert((is, was, written.to_string())) && has_data() && old.unknown().is_empty() {
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

/// Where that image is written, or would be.
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

/// Whether some instance may have been initialised: only where it is known that there is no volume, there is no data.
fn may_have_data(lookup: &dyn Lookup, namespace: &str, cluster: &str, database: &str) -> bool {
    let labels = Labels::new(cluster, Component::MultiPooler).with(labels::DATABASE, database).selector();
    lookup.claims(namespace, &labels) != Known::Yes(Vec::new())
}

fn compare(path: FieldPath, was: &str, is: &str, report: &mut Reporter<'_>) {
    let major = |image| Reference::parse(image).and_then(|reference| reference.postgres_major());
    match (major(was), major(is)) {
        (Some(old), Some(new)) if old != new => {
            let message = format!(
                "{} is PostgreSQL {new}, which cannot read the data of {old}; keep an image of {old}, or make a new \
                 database and move the data there",
                quote(is)
            );
            report.error(path, Reason::Forbidden, is, message);
        }
        (Some(_), Some(_)) => {}
        _ => report.warn(format!(
            "PostgreSQL must keep its major version, which images do not tell: {} → {}",
            shorten(was, MAX_IMAGE),
            shorten(is, MAX_IMAGE)
        )),
    }
}

fn major_of_shard_stays(cx: &ChildContext<'_>, report: &mut Reporter<'_>) {
    let (ChildSpec::MultiShard(new), Some(old)) = (cx.new.spec, &cx.old) else { return };
    let ChildSpec::MultiShard(before) = old.spec else { return };
    let list = Path::new("spec.pools");
    let has_data = || may_have_data(cx.lookup, cx.new.namespace, &new.cluster, &new.database);
    for (index, pool) in new.pools.iter().enumerate() {
        let same = |before: &&ShardPool| before.name == pool.name;
        let Some(before) = before.pools.iter().find(same) else { continue };
        if pool.postgres.image != before.postgres.image && has_data() {
            let path = FieldPath::from(&list.item(index, &pool.name).field("postgres.image"));
            compare(path, &before.postgres.image, &pool.postgres.image, report);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::lookup::Claim;
    use crate::testing::{Edit, FULL, SHORT, edit, edited, small};
    use crate::validate::testing::{Claims, found, update};

    fn shared(image: &str) -> Vec<Edit> {
        vec![edit("/spec/databases", "/images", json!({"postgres": image}))]
    }

    fn primary(image: &str) -> Vec<Edit> {
        vec![edit(SHORT, "/spec/pools/0/primary/postgres", json!({"image": image}))]
    }

    #[test]
    fn major_stays() {
        let unclear: &[&str] =
            &["PostgreSQL must keep its major version, which images do not tell: a/pg:17 → postgres:17"];
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
                        "PostgreSQL must keep its major version, which images do not tell: ghcr.io/multigres/pgctld:v0.1.0 → postgres:17",
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
    fn where_there_is_no_volume_there_is_no_data() {
        let old = edited(small(), &shared("postgres:16"));
        let new = edited(small(), &shared("postgres:17"));
        for (claims, allowed) in
            [(Known::Yes(vec![]), true), (Known::Yes(vec![Claim::default()]), false), (Known::NotYet, false)]
        {
            assert_eq!(found("U07", &new, Some(&old), &Claims(claims)).is_empty(), allowed);
        }
    }
}
