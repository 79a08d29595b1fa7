//! Records that the operator writes into the topology, and their keys.
//!
//! Pure: a child resource goes in, a record comes out. The rest of the topology belongs to the components.

use multigres_crds::v1alpha1::{Backup, DurabilityPolicy as Durability, MultiCellSpec, MultiShardSpec};

use super::merge::{Fields, Owned};
use super::records::{
    BackupLocation, Cell, ComponentType, Database, DurabilityPolicy, Filesystem, Id, Location, QuorumType, S3,
};
use crate::build::{BACKUP_PATH, shard_names};

/// Key of a cell's record.
pub fn cell_key(root: &str, cell: &str) -> String {
    format!("{root}/cells/{cell}/Cell")
}

/// Key of a database's record.
pub fn database_key(root: &str, database: &str) -> String {
    format!("{root}/databases/{database}/Database")
}

/// Key of a pooler's record.
pub fn pooler_key(cell_root: &str, id: &Id) -> String {
    format!("{cell_root}/poolers/multipooler-{}-{}/Pooler", id.cell, id.name)
}

/// Fields of a Cell record that the operator owns.
pub const CELL: Fields = &[(1, Owned::Value), (2, Owned::Value), (3, Owned::Value)];

/// Fields of a Database record that the operator owns.
pub const DATABASE: Fields = &[
    (1, Owned::Value),
    (2, Owned::Message(&[(1, Owned::Message(FILESYSTEM)), (2, Owned::Message(S3_BUCKET))])),
    (3, Owned::Value),
    (4, Owned::Message(&[(1, Owned::Value), (3, Owned::Value), (4, Owned::Value), (5, Owned::Value)])),
];
const FILESYSTEM: Fields = &[(1, Owned::Value)];
const S3_BUCKET: Fields =
    &[(1, Owned::Value), (2, Owned::Value), (3, Owned::Value), (4, Owned::Value), (5, Owned::Value)];

/// The record of a cell.
pub fn desired_cell(spec: &MultiCellSpec) -> Cell {
    Cell {
        name: spec.cell.clone(),
        server_addresses: spec.topology.address.split(',').map(str::to_owned).collect(),
        root: spec.topology.root_path.clone(),
    }
}

/// The record of a shard's database, where this shard is the one that writes it.
pub fn desired_database(spec: &MultiShardSpec) -> Option<Database> {
    let record = spec.database_record.as_ref()?;
    Some(Database {
        name: spec.database.clone(),
        backup_location: Some(BackupLocation { location: Some(location(&spec.backup, spec)) }),
        cells: record.cells.clone(),
        bootstrap_durability_policy: Some(durability_policy(spec.durability_policy)),
    })
}

/// pgBackRest's stanza has one name everywhere, so two databases with one place for backups would restore each
/// other's data. On volumes the place is a database's own because the volume is.
fn location(backup: &Backup, spec: &MultiShardSpec) -> Location {
    let Some(s3) = &backup.s3 else {
        return Location::Filesystem(Filesystem { path: BACKUP_PATH.to_owned() });
    };
    let prefix = s3.key_prefix.as_deref().into_iter().chain([spec.cluster.as_str(), &spec.database]);
    Location::S3(S3 {
        bucket: s3.bucket.clone(),
        region: s3.region.clone(),
        endpoint: s3.endpoint.clone().unwrap_or_default(),
        key_prefix: prefix.collect::<Vec<_>>().join("/"),
        use_env_credentials: s3.credentials_secret_ref.is_some(),
    })
}

fn durability_policy(policy: Durability) -> DurabilityPolicy {
    let (quorum, of) = match policy {
        Durability::AtLeast2 => (QuorumType::AtLeastN, "nodes"),
        Durability::MultiCellAtLeast2 => (QuorumType::MultiCellAtLeastN, "nodes from different cells"),
    };
    DurabilityPolicy {
        policy_name: policy.as_str().to_owned(),
        quorum_type: quorum.into(),
        required_count: 2,
        description: format!("At least 2 {of} must acknowledge"),
    }
}

/// Identity of a pod's pooler, by the pod's ordinal in its pool.
pub fn pooler_id(shard: &MultiShardSpec, cell: &str, pool: &str, ordinal: i32) -> Id {
    Id {
        component: ComponentType::Multipooler.into(),
        cell: cell.to_owned(),
        name: format!("{}-{ordinal}", shard_names(shard).pooler_service_id(pool)),
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use serde_json::{Value, json};

    use super::super::merge::merge;
    use super::*;

    fn shard(backup: &Value, policy: &str) -> MultiShardSpec {
        serde_json::from_value(json!({
            "cluster": "c", "database": "postgres", "tableGroup": "default", "shard": "0-inf",
            "globalTopology": {"address": "etcd:2379", "rootPath": "/multigres/global"},
            "databaseRecord": {"cells": ["zone1", "zone2"], "host": "h", "port": 5432},
            "durabilityPolicy": policy, "backup": backup,
            "password": {"secretKeyRef": {"name": "p", "key": "password"}},
        }))
        .unwrap()
    }

    fn cell(address: &str) -> MultiCellSpec {
        serde_json::from_value(json!({
            "cluster": "c", "cell": "zone1", "multiGateway": {"image": "i", "replicas": 1},
            "globalTopology": {"address": "etcd:2379", "rootPath": "/multigres/global"},
            "topology": {"address": address, "rootPath": "/multigres/global/zone1"},
        }))
        .unwrap()
    }

    fn volume() -> MultiShardSpec {
        shard(&json!({"filesystem": {}}), "AT_LEAST_2")
    }

    fn s3(s3: &Value) -> S3 {
        let database = desired_database(&shard(&json!({"s3": s3}), "AT_LEAST_2")).unwrap();
        match database.backup_location.unwrap().location.unwrap() {
            Location::S3(s3) => s3,
            Location::Filesystem(_) => panic!("no bucket"),
        }
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
    }

    /// With these bytes Multigres v0.1.0 was seen to come up, as with those of the database below.
    #[test]
    fn the_bytes_of_a_cell() {
        assert_eq!(
            hex(&desired_cell(&cell("etcd:2379")).encode_to_vec()),
            "0a057a6f6e65311209657463643a323337391a172f6d756c7469677265732f676c6f62616c2f7a6f6e6531"
        );
    }

    #[test]
    fn the_bytes_of_a_database() {
        assert_eq!(
            hex(&desired_database(&volume()).unwrap().encode_to_vec()),
            "0a08706f737467726573120c0a0a0a082f6261636b7570731a057a6f6e65311a057a6f6e653222330a0a41545f4c454153\
             545f32180320022a214174206c656173742032206e6f646573206d7573742061636b6e6f776c65646765"
        );
    }

    #[test]
    fn every_endpoint_of_a_cell_is_told() {
        assert_eq!(desired_cell(&cell("a:1,b:2")).server_addresses, ["a:1", "b:2"]);
    }

    #[test]
    fn a_quorum_of_cells() {
        let spec = shard(&json!({"filesystem": {}}), "MULTI_CELL_AT_LEAST_2");
        let policy = desired_database(&spec).unwrap().bootstrap_durability_policy.unwrap();
        assert_eq!(policy.policy_name, "MULTI_CELL_AT_LEAST_2");
        assert_eq!((policy.quorum_type(), policy.required_count), (QuorumType::MultiCellAtLeastN, 2));
        assert_eq!(policy.description, "At least 2 nodes from different cells must acknowledge");
    }

    #[test]
    fn a_bucket() {
        let bare = s3(&json!({"bucket": "b", "region": "r"}));
        let expected = S3 {
            bucket: "b".to_owned(),
            region: "r".to_owned(),
            key_prefix: "c/postgres".to_owned(),
            ..S3::default()
        };
        assert_eq!(bare, expected);
        let full = s3(&json!({
            "bucket": "b", "region": "r", "endpoint": "https://s3", "keyPrefix": "x/y", "credentialsSecretRef": {"name": "s"},
        }));
        let expected = S3 {
            endpoint: "https://s3".to_owned(),
            key_prefix: "x/y/c/postgres".to_owned(),
            use_env_credentials: true,
            ..expected
        };
        assert_eq!(full, expected);
    }

    #[test]
    fn one_shard_of_a_database_writes_its_record() {
        assert_eq!(desired_database(&MultiShardSpec { database_record: None, ..volume() }), None);
    }

    #[test]
    fn every_field_that_is_written_is_owned() {
        let cell = desired_cell(&cell("etcd:2379")).encode_to_vec();
        assert_eq!(merge(&[], &cell, CELL), Ok(Some(cell)));
        let s3 = shard(
            &json!({"s3": {"bucket": "b", "region": "r", "endpoint": "https://s3", "credentialsSecretRef": {"name": "s"}}}),
            "AT_LEAST_2",
        );
        for before in [volume(), s3.clone()] {
            for after in [volume(), s3.clone()] {
                let [before, after] =
                    [&before, &after].map(|spec| desired_database(spec).unwrap().encode_to_vec());
                let changed = (before != after).then(|| after.clone());
                assert_eq!(merge(&before, &after, DATABASE), Ok(changed));
            }
        }
    }

    #[test]
    fn keys() {
        let id = pooler_id(&volume(), "zone1", "main", 2);
        for (key, golden) in [
            (cell_key("/g", "zone1"), "/g/cells/zone1/Cell"),
            (database_key("/g", "postgres"), "/g/databases/postgres/Database"),
            (pooler_key("/g/zone1", &id), "/g/zone1/poolers/multipooler-zone1-spxzkpax-2/Pooler"),
        ] {
            assert_eq!(key, golden);
        }
    }
}
