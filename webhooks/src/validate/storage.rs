//! Rules that compare volumes with the Kubernetes cluster that they are made in.

use std::collections::{BTreeMap, BTreeSet};

use multigres_crds::defaults;
use multigres_crds::labels::{self, Component, Labels};
use multigres_crds::v1alpha1::{AccessMode, StringMap, VolumeClaimTemplate};

use super::text::count;
use super::view::View;
use super::volumes::{Volume, Volumes, each_kept_volume, manages_databases, manages_topology};
use super::{ChildContext, ChildSpec, ClusterContext, Reporter, rule};
use crate::lookup::{Claim, Known, Lookup, StorageClass};
use crate::path::Path;
use crate::report::{Reason, quote};

const ETCD_REPLICAS: Path<'static> = Path::new("spec.globalTopoServer.managedSpec.replicas");
const REPLICAS: Path<'static> = Path::new("spec.replicas");

rule!(
    /// A volume needs a StorageClass that exists, and grows only if the class allows expansion.
    W13 since "0.1.0" = cluster: classes
);

fn classes(cx: &ClusterContext<'_>, report: &mut Reporter<'_>) {
    let Known::Yes(known) = cx.lookup.storage_classes() else { return };
    let class_of = |volume: Volume<'_>| match &volume.claim.storage_class_name {
        Some(name) => known.iter().find(|class| class.name == *name),
        None => known.iter().find(|class| class.default),
    };
    let mut missing: BTreeMap<Option<&str>, usize> = BTreeMap::new();
    cx.new.each_volume(&mut |_, volume| {
        if class_of(volume).is_none() {
            *missing.entry(volume.claim.storage_class_name.as_deref()).or_default() += 1;
        }
    });
    for (name, uses) in missing {
        let pending = format!(
            "pods wait for it ({})",
            count(i64::try_from(uses).unwrap_or(i64::MAX), "volume template")
        );
        report.warn(match name {
            Some(name) => format!("StorageClass {} does not exist: {pending}", quote(name)),
            None => format!("no default StorageClass exists: {pending}"),
        });
    }
    each_kept_volume(cx, |kept| {
        let size = |volume: Volume<'_>| volume.claim.resources.requests.storage.as_ref()?.value();
        let fixed: Option<&StorageClass> = class_of(kept.new).filter(|class| !class.expandable);
        if let Some(class) = fixed.filter(|_| size(kept.new) > size(kept.old)) {
            report.warn(format!(
                "StorageClass {} does not allow expansion: its volumes do not grow",
                quote(&class.name)
            ));
        }
    });
}

rule!(
    /// A new cluster or database with the name of an earlier one uses its retained volumes and their data; so does its etcd.
    W14 since "0.1.0" = cluster: retained_data
);

fn retained_data(cx: &ClusterContext<'_>, report: &mut Reporter<'_>) {
    let meta = &cx.new.cluster.metadata;
    let (Some(namespace), Some(cluster)) = (&meta.namespace, &meta.name) else { return };
    let labels_of = |labels: &[(&str, &String)]| -> StringMap {
        labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).clone())).collect()
    };
    // Hardly any cluster finds something, and then there is no need to ask for each volume.
    match cx.lookup.claims(namespace, &labels_of(&[(labels::CLUSTER, cluster)])) {
        Known::Yes(claims) if !claims.is_empty() => {}
        _ => return,
    }
    let mut tell = |what: &str, claims: &[Claim]| {
        if let Some(first) = claims.iter().map(|claim| claim.name.as_str()).min() {
            let volumes = count(i64::try_from(claims.len()).unwrap_or(i64::MAX), "volume");
            report.warn(format!(
                "{what} will use data of an earlier one: {volumes}, the first is {}",
                quote(first)
            ));
        }
    };
    let before = cx.old.as_ref().map(View::database_names).unwrap_or_default();
    let names = if manages_databases(&cx.new) { cx.new.database_names() } else { BTreeSet::new() };
    for name in names.difference(&before) {
        let labels = labels_of(&[(labels::CLUSTER, cluster), (labels::DATABASE, name)]);
        if let Known::Yes(claims) = cx.lookup.claims(namespace, &labels) {
            tell(&format!("database {}", quote(name)), &claims);
        }
    }
    let had_etcd = cx.old.as_ref().is_some_and(manages_topology);
    let mut differences = Vec::new();
    cx.new.each_volume(&mut |_, volume| {
        let is_kept = volume.database().map_or(had_etcd, |database| before.contains(database));
        if is_kept {
            return;
        }
        let Known::Yes(claims) = volume.claims(cx.lookup, namespace, cluster) else { return };
        if volume.database().is_none() {
            tell("etcd", &claims);
        }
        differences.extend(claims.iter().find_map(|claim| difference(volume.claim, claim)));
    });
    for difference in differences {
        report.warn(difference);
    }
}

/// The difference between a requested and an existing volume that can never be resolved.
fn difference(wanted: &VolumeClaimTemplate, there: &Claim) -> Option<String> {
    let name = &there.name;
    let class =
        wanted.storage_class_name.as_ref().filter(|class| there.storage_class.as_ref() != Some(class));
    if let Some(class) = class {
        let is = there.storage_class.as_deref().unwrap_or_default();
        return Some(format!("volume {} keeps its class {}, not {}", quote(name), quote(is), quote(class)));
    }
    let (is, asked) = (there.capacity.as_ref()?, wanted.resources.requests.storage.as_ref()?);
    (is.value()? > asked.value()?)
        .then(|| format!("volume {} keeps its size {}, not {}", quote(name), is.0, asked.0))
}

rule!(
    /// An etcd has as many members as the volumes that an earlier one left: their data names all members.
    C25 since "0.1.0" = cluster: members_of_volumes, child: members_of_volumes_of_child
);

fn members_of_volumes(cx: &ClusterContext<'_>, report: &mut Reporter<'_>) {
    if !manages_topology(&cx.new) || cx.old.as_ref().is_some_and(manages_topology) {
        return;
    }
    let meta = &cx.new.cluster.metadata;
    let (Some(namespace), Some(cluster)) = (&meta.namespace, &meta.name) else { return };
    if !cx.new.knows(&ETCD_REPLICAS) {
        return;
    }
    let spec = cx.new.spec().global_topo_server.managed_spec.as_ref();
    let replicas = spec.and_then(|spec| spec.replicas).unwrap_or(defaults::ETCD_REPLICAS);
    check_members(&ETCD_REPLICAS, replicas, cx.lookup, (namespace, cluster), report);
}

fn members_of_volumes_of_child(cx: &ChildContext<'_>, report: &mut Reporter<'_>) {
    let ChildSpec::TopoServer(server) = cx.new.spec else { return };
    if cx.old.is_none() && cx.new.knows(&REPLICAS) {
        let cluster = (cx.new.namespace, server.cluster.as_str());
        check_members(&REPLICAS, server.replicas, cx.lookup, cluster, report);
    }
}

fn check_members(
    path: &Path<'_>,
    replicas: i32,
    lookup: &dyn Lookup,
    (namespace, cluster): (&str, &str),
    report: &mut Reporter<'_>,
) {
    let Known::Yes(claims) = lookup.claims(namespace, &Labels::new(cluster, Component::Etcd).selector())
    else {
        return;
    };
    let Some(members) = members_before(&claims).filter(|members| *members != replicas) else { return };
    let mut names: Vec<&str> = claims.iter().map(|claim| claim.name.as_str()).collect();
    names.sort_unstable();
    let names = names.join(", ");
    let before = count(i64::from(members), "member");
    let message = format!(
        "the volumes that an earlier etcd left ({names}) are of {before}, and {replicas} members do not \
         start on them; write {members}, or delete these volumes to start with an empty topology"
    );
    report.error(path, Reason::Forbidden, replicas.to_string(), message);
}

/// Members that an etcd had, from the highest ordinal of its volumes. Their number is odd.
fn members_before(claims: &[Claim]) -> Option<i32> {
    let ordinal = |claim: &Claim| claim.name.rsplit_once('-')?.1.parse::<i32>().ok();
    let highest = claims.iter().filter_map(ordinal).filter(|ordinal| (0..7).contains(ordinal)).max()?;
    Some(highest + 1 + highest % 2)
}

rule!(
    /// A backup volume that one node can mount keeps all instances of its shard on that node.
    W15 since "0.1.0" = cluster: unshared_backups
);

fn unshared_backups(cx: &ClusterContext<'_>, report: &mut Reporter<'_>) {
    if !manages_databases(&cx.new) {
        return;
    }
    for database in &cx.new.databases {
        let backup = database.template.spec.backup.as_ref().or(cx.new.spec().backup.as_ref());
        let Some(filesystem) = backup.and_then(|backup| backup.filesystem.as_ref()) else { continue };
        if filesystem.volume_claim_template.access_modes.contains(&AccessMode::ReadWriteMany) {
            continue;
        }
        for group in &database.groups {
            let instances =
                group.pools.iter().fold(0_i32, |all, pool| all.saturating_add(pool.member.replicas()));
            if instances > 1 {
                report.warn(format!(
                    "backups of {}/{} use a volume for one node: all {instances} instances must run there",
                    database.template.name, group.name
                ));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use multigres_crds::v1alpha1::MultigresCluster;
    use serde_json::{Value, json};

    use super::*;
    use crate::lookup::Lookup;
    use crate::testing::{Edit, SHORT, edit, edited, small, volume};
    use crate::validate::testing::{Claims, create, found};

    struct Classes(Known<Vec<StorageClass>>);

    impl Lookup for Classes {
        fn synced(&self) -> bool {
            true
        }

        fn cluster(&self, _: &str, _: &str) -> Option<Arc<MultigresCluster>> {
            None
        }

        fn storage_classes(&self) -> Known<Vec<StorageClass>> {
            self.0.clone()
        }
    }

    fn known(default: bool, expandable: bool) -> Classes {
        Classes(Known::Yes(vec![StorageClass { name: "standard".to_owned(), default, expandable }]))
    }

    fn of_class(class: Value, size: &str) -> Value {
        let primary = format!("{SHORT}/spec/pools/0/primary/dataVolumeClaimTemplate");
        let edits: [Edit; 2] = [edit("", &primary, volume(size)), edit(&primary, "/storageClassName", class)];
        edited(small(), &edits)
    }

    #[test]
    fn classes() {
        let of = |class: &str| of_class(json!(class), "10Gi");
        for (cluster, classes, expected) in [
            (small(), known(true, true), &[][..]),
            (small(), Classes(Known::NotYet), &[]),
            (
                small(),
                known(false, true),
                &["no default StorageClass exists: pods wait for it (8 volume templates)"],
            ),
            (of("standard"), known(true, true), &[]),
            (
                of("fast"),
                known(true, true),
                &["StorageClass \"fast\" does not exist: pods wait for it (2 volume templates)"],
            ),
        ] {
            assert_eq!(found("W13", &cluster, None, &classes), expected);
        }
        let grown = of_class(json!(null), "20Gi");
        let fixed = "StorageClass \"standard\" does not allow expansion: its volumes do not grow";
        assert_eq!(found("W13", &grown, Some(&small()), &known(true, false)), [fixed, fixed]);
        assert!(found("W13", &grown, Some(&small()), &known(true, true)).is_empty());
        assert!(found("W13", &small(), Some(&small()), &known(true, false)).is_empty());
        // No pod waits for what is not made.
        let unmanaged =
            |cluster: Value| edited(cluster, &[edit("/spec/databases", "/managed", json!(false))]);
        assert_eq!(
            found("W13", &unmanaged(small()), None, &known(false, true)),
            ["no default StorageClass exists: pods wait for it (1 volume template)"]
        );
        assert!(found("W13", &unmanaged(grown), Some(&unmanaged(small())), &known(true, false)).is_empty());
    }

    #[test]
    fn retained_data() {
        let claim = |name: &str| Claim { name: name.to_owned(), ..Claim::default() };
        let claims = Claims(Known::Yes(vec![claim("b"), claim("a")]));
        let told_of =
            |what: &str| format!("{what} will use data of an earlier one: 2 volumes, the first is \"a\"");
        let of = |name: &str| told_of(&format!("database {name:?}"));
        assert_eq!(found("W14", &small(), None, &claims), [of("full"), of("short"), told_of("etcd")]);
        assert!(found("W14", &small(), Some(&small()), &claims).is_empty());
        // What is not made uses nothing.
        let unmanaged = |mut edits: Vec<Edit>| {
            edits.push(edit("/spec/databases", "/managed", json!(false)));
            edited(small(), &edits)
        };
        assert_eq!(found("W14", &unmanaged(vec![]), None, &claims), [told_of("etcd")]);
        let external = || vec![edit("/spec/globalTopoServer", "/external", json!({"address": "e:1"}))];
        assert!(found("W14", &unmanaged(external()), None, &claims).is_empty());
        assert_eq!(
            found("W14", &unmanaged(vec![]), Some(&unmanaged(external())), &claims),
            [told_of("etcd")]
        );
        let before = edited(small(), &[edit("", SHORT, json!(null))]);
        assert_eq!(found("W14", &small(), Some(&before), &claims), [of("short")]);
        // What is there is not made anew as it is asked for.
        let there = |capacity: &str, class: &str| {
            let claim = Claim {
                capacity: Some(capacity.into()),
                storage_class: Some(class.to_owned()),
                ..claim("v")
            };
            Claims(Known::Yes(vec![claim]))
        };
        let told = |cluster: &Value, claims: &Claims| found("W14", cluster, None, claims).split_off(3);
        assert!(told(&small(), &there("10Gi", "any")).is_empty());
        // Of etcd, four pools of each form's two, and the backups of both.
        let larger = "volume \"v\" keeps its size 20Gi, not 10Gi";
        assert_eq!(told(&small(), &there("20Gi", "any")), [larger; 8]);
        // Of a claim for an instance nothing is said as if it were one for backups.
        let mut of_pool = there("20Gi", "any");
        if let Claims(Known::Yes(claims)) = &mut of_pool {
            claims[0].pool = Some("p".to_owned());
        }
        assert_eq!(told(&small(), &of_pool), [larger; 6]);
        assert_eq!(
            told(&of_class(json!("fast"), "30Gi"), &there("20Gi", "slow"))[1],
            "volume \"v\" keeps its class \"slow\", not \"fast\""
        );
        assert!(found("W14", &small(), None, &Claims(Known::Yes(vec![]))).is_empty());
        assert!(found("W14", &small(), None, &Claims(Known::NotYet)).is_empty());
    }

    /// Of an etcd that had them.
    fn etcd_volumes(ordinals: &[i32]) -> Claims {
        let claim = |ordinal: &i32| Claim { name: format!("data-c-etcd-{ordinal}"), ..Claim::default() };
        Claims(Known::Yes(ordinals.iter().map(claim).collect()))
    }

    #[test]
    fn members_of_volumes() {
        let of = |replicas: i32| {
            let spec = json!({ "replicas": replicas });
            edited(small(), &[edit("/spec/globalTopoServer", "/managedSpec", spec)])
        };
        let path = "spec.globalTopoServer.managedSpec.replicas";
        let refused = [format!("Forbidden {path}")];
        for (replicas, ordinals, fits) in [
            (3, &[][..], true),
            (3, &[0, 1, 2], true),
            (1, &[0], true),
            (1, &[0, 1, 2], false),
            (5, &[0, 1, 2], false),
            (3, &[0], false),
            // One was deleted: an even number of members there never was.
            (3, &[0, 1], true),
            (3, &[2], true),
            (5, &[0, 3], true),
        ] {
            let found = found("C25", &of(replicas), None, &etcd_volumes(ordinals));
            assert_eq!(found, if fits { &[][..] } else { &refused }, "{replicas} {ordinals:?}");
        }
        // The default counts, and what is managed from now on is made from now on.
        assert_eq!(found("C25", &small(), None, &etcd_volumes(&[0])), refused);
        assert!(found("C25", &of(1), Some(&of(1)), &etcd_volumes(&[0, 1, 2])).is_empty());
        let external =
            edited(of(1), &[edit("/spec/globalTopoServer", "/external", json!({ "address": "e:1" }))]);
        assert!(found("C25", &external, None, &etcd_volumes(&[0, 1, 2])).is_empty());
        assert_eq!(found("C25", &of(1), Some(&external), &etcd_volumes(&[0, 1, 2])), refused);
        assert!(found("C25", &of(1), None, &Claims(Known::NotYet)).is_empty());
    }

    #[test]
    fn unshared_backups() {
        let backup = |mode: &str| {
            let mut claim = volume("1Gi");
            claim["accessModes"] = json!([mode]);
            vec![edit(SHORT, "/spec/backup", json!({"filesystem": {"volumeClaimTemplate": claim}}))]
        };
        let alone = |mut edits: Vec<Edit>| {
            edits.push(edit(SHORT, "/spec/pools", json!([{"cell": "a", "primary": {}}])));
            edits
        };
        create(
            "W15",
            &[
                (vec![], &[]),
                (backup("ReadWriteMany"), &[]),
                (
                    backup("ReadWriteOnce"),
                    &["backups of short/default use a volume for one node: all 4 instances must run there"],
                ),
                (alone(backup("ReadWriteOnce")), &[]),
                (
                    [backup("ReadWriteOnce"), vec![edit("/spec/databases", "/managed", json!(false))]]
                        .concat(),
                    &[],
                ),
            ],
        );
    }
}
