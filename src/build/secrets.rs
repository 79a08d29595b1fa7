//! The Secrets of a database. Their content is random or read from the cluster, so they are made once by a
//! controller and are no part of what a MultiShard builds.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use multigres_crds::labels::{self, Labels};
use multigres_crds::names;
use multigres_crds::v1alpha1::{DatabaseRecord, MultiShard};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::object::metadata;
use super::{Manifest, Ownership};

const USERNAME: &str = "postgres";

/// The Secret with a generated password. It outlives the database as the data that it opens does.
pub fn password(shard: &MultiShard, password: &str) -> Manifest {
    let reference = &shard.spec.password.secret_key_ref;
    let data = BTreeMap::from([(reference.key.as_str(), password.to_owned())]);
    let ownership = Ownership::of_data(shard.spec.persistent_volume_claim_retention_policy);
    secret(shard, reference.name.clone(), data).owned(ownership)
}

/// The Secret with what a client needs to connect, for the shard that writes the database's record.
pub fn connection(shard: &MultiShard, record: &DatabaseRecord, password: Option<&str>) -> Manifest {
    let name = names::connection(&shard.spec.cluster, &shard.spec.database);
    let data = connection_data(&shard.spec.database, record, password);
    secret(shard, name, data).owned(Ownership::Dependent)
}

/// `host`, `port`, `dbname`, `username`, `uri`, and `password` where the operator knows it.
pub fn connection_data(
    database: &str,
    record: &DatabaseRecord,
    password: Option<&str>,
) -> BTreeMap<&'static str, String> {
    let DatabaseRecord { host, port, .. } = record;
    let encoded = password.map(|password| utf8_percent_encode(password, NON_ALPHANUMERIC));
    let login = encoded.map_or_else(|| USERNAME.to_owned(), |password| format!("{USERNAME}:{password}"));
    let mut data = BTreeMap::from([
        ("host", host.clone()),
        ("port", port.to_string()),
        ("dbname", database.to_owned()),
        ("username", USERNAME.to_owned()),
        ("uri", format!("postgresql://{login}@{host}:{port}/{database}")),
    ]);
    if let Some(password) = password {
        data.insert("password", password.to_owned());
    }
    data
}

fn secret(shard: &MultiShard, name: String, data: BTreeMap<&str, String>) -> Manifest {
    let labels = Labels::new(&shard.spec.cluster, labels::Component::MultiPooler)
        .with(labels::DATABASE, &shard.spec.database);
    let data = data.into_iter().map(|(key, value)| (key.to_owned(), ByteString(value.into_bytes())));
    Manifest::new(&Secret {
        metadata: metadata(name, &shard.namespace().unwrap_or_default(), labels.object()),
        data: Some(data.collect()),
        ..Secret::default()
    })
}
