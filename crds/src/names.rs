//! Names of everything that is made from a cluster.
//!
//! Frozen: a released name never changes, or objects would be made twice. The golden tests below hold it in place.
//! Objects are looked up by labels, never by rebuilding a name.

use std::array;
use std::fmt::Write as _;

use sha2::{Digest, Sha256};

/// Longest base: `-pg` keeps a StatefulSet's name within 52 characters, `-pg-headless` a Service's within 63.
const MAX_BASE: usize = 49;
/// Longest DNS label.
const MAX_LABEL: usize = 63;
/// Characters of the hash that ends a base which is no DNS label as it stands.
const HASH: usize = 8;

/// Name of the TopoServer and its StatefulSet.
pub fn etcd(cluster: &str) -> String {
    [cluster, "-etcd"].concat()
}

/// Name of the Service through which etcd's members find each other.
pub fn etcd_peer(cluster: &str) -> String {
    [cluster, "-etcd-peer"].concat()
}

/// Name of the Service through which etcd is reached.
pub fn etcd_client(cluster: &str) -> String {
    [cluster, "-etcd-client"].concat()
}

/// Name of the ConfigMap with what the members of etcd read when they start.
pub fn etcd_settings(cluster: &str) -> String {
    [cluster, "-etcd-settings"].concat()
}

/// Name of the MultiAdmin and its Service.
pub fn admin(cluster: &str) -> String {
    [cluster, "-admin"].concat()
}

/// Name of the MultiAdmin's Deployment.
pub fn multiadmin(cluster: &str) -> String {
    [cluster, "-multiadmin"].concat()
}

/// Name of the MultiOrch.
pub fn orch(cluster: &str) -> String {
    [cluster, "-orch"].concat()
}

/// Name of the orchestrators' StatefulSet in a cell.
pub fn multiorch(cluster: &str, cell: &str) -> String {
    base(&[cluster, "multiorch", cell])
}

/// Name of a MultiCell.
pub fn cell(cluster: &str, cell: &str) -> String {
    base(&[cluster, cell])
}

/// Name of a gateway's Deployment and Service.
pub fn multigateway(cluster: &str, cell: &str) -> String {
    base(&[cluster, "multigateway", cell])
}

/// Name of the Secret with a database's password.
pub fn password(cluster: &str, database: &str) -> String {
    base(&[cluster, database]) + "-password"
}

/// Name of the Secret with what a client needs to connect to a database.
pub fn connection(cluster: &str, database: &str) -> String {
    base(&[cluster, database]) + "-connection"
}

/// The parts that identify a shard.
#[expect(
    clippy::struct_field_names,
    reason = "a shard is known by its key range, which the API calls `shard`"
)]
#[derive(Clone, Copy, Debug)]
pub struct Shard<'a> {
    /// Name of the cluster.
    pub cluster: &'a str,
    /// Name of the database.
    pub database: &'a str,
    /// Name of the table group.
    pub table_group: &'a str,
    /// Key range.
    pub shard: &'a str,
}

impl Shard<'_> {
    /// Common prefix of the names of the shard's own objects.
    pub fn base(&self) -> ShardBase {
        ShardBase(Base::of(&[self.cluster, self.database, self.table_group, self.shard]))
    }

    /// Common prefix of the names of a pool's objects.
    pub fn pool_base(&self, pool: &str) -> PoolBase {
        PoolBase(Base::of(&[self.cluster, self.database, self.table_group, self.shard, pool]))
    }

    /// Name of the MultiShard and its PodDisruptionBudget.
    pub fn name(&self) -> String {
        self.base().name().to_owned()
    }

    /// Name of the ConfigMap with `pg_hba.conf`.
    pub fn pg_hba(&self) -> String {
        self.base().pg_hba().to_owned()
    }

    /// Name of the claim of the backup volume.
    pub fn backup(&self) -> String {
        self.base().backup().to_owned()
    }

    /// Name of a pool's StatefulSet.
    pub fn pool(&self, pool: &str) -> String {
        self.pool_base(pool).stateful_set().to_owned()
    }

    /// Name of a pool's headless Service.
    pub fn pool_headless(&self, pool: &str) -> String {
        self.pool_base(pool).headless().to_owned()
    }

    /// Prefix of a pooler's `--service-id`, which ends in the pod's ordinal. It identifies a member of the shard for as
    /// long as its data lives, and is short enough for the longest cell name.
    pub fn pooler_service_id(&self, pool: &str) -> String {
        hash(&[self.database, self.table_group, self.shard, pool]).into_iter().collect()
    }
}

/// Prefix of several names. Each name is written into the same buffer, over the one before.
#[derive(Clone, Debug)]
struct Base {
    text: String,
    length: usize,
}

impl Base {
    fn of(parts: &[&str]) -> Self {
        let text = base(parts);
        Self { length: text.len(), text }
    }

    fn with(&mut self, end: &str) -> &str {
        self.text.truncate(self.length);
        self.text.push_str(end);
        &self.text
    }
}

/// Prefix of the names of a shard's objects, for callers that need several of them.
#[derive(Clone, Debug)]
pub struct ShardBase(Base);

#[expect(missing_docs, reason = "the names are those of `Shard`")]
impl ShardBase {
    pub fn name(&mut self) -> &str {
        self.0.with("")
    }

    pub fn pg_hba(&mut self) -> &str {
        self.0.with("-pg-hba")
    }

    pub fn backup(&mut self) -> &str {
        self.0.with("-backup")
    }
}

/// Prefix of the names of a pool's objects, for callers that need several of them.
#[derive(Clone, Debug)]
pub struct PoolBase(Base);

#[expect(missing_docs, reason = "the names are those of `Shard`")]
impl PoolBase {
    pub fn stateful_set(&mut self) -> &str {
        self.0.with("-pg")
    }

    pub fn headless(&mut self) -> &str {
        self.0.with("-pg-headless")
    }

    /// Name of an instance, as [`instance`] has it.
    pub fn instance(&mut self, ordinal: i32) -> &str {
        self.stateful_set();
        // Writing to a text does not fail.
        let _ = write!(self.0.text, "-{ordinal}");
        &self.0.text
    }
}

/// Name of the pod of an instance, and of the Service that gives it an address which outlives the pod.
pub fn instance(stateful_set: &str, ordinal: i32) -> String {
    [stateful_set, "-", &ordinal.to_string()].concat()
}

/// The parts joined, where that is a DNS label of at most [`MAX_BASE`] characters; else lower-cased, sanitised, cut
/// and ended by a hash of the exact parts.
pub fn base(parts: &[&str]) -> String {
    // With room for what names add to it.
    let mut joined = String::with_capacity(MAX_LABEL);
    for (index, part) in parts.iter().enumerate() {
        joined.push_str(if index > 0 { "-" } else { "" });
        joined.push_str(part);
    }
    if joined.len() <= MAX_BASE && is_dns_label(&joined) {
        return joined;
    }
    if !joined.is_ascii() {
        joined =
            joined.chars().flat_map(char::to_lowercase).map(|c| if c.is_ascii() { c } else { '-' }).collect();
    }
    let sanitise = |c: u8| if c.is_ascii_alphanumeric() { char::from(c.to_ascii_lowercase()) } else { '-' };
    let mut name = String::with_capacity(MAX_LABEL);
    name.extend(joined.bytes().take(MAX_BASE - HASH - 1).map(sanitise));
    name.truncate(name.trim_end_matches('-').len());
    name.push('-');
    name.extend(hash(parts));
    name
}

/// True for an RFC 1123 label.
pub fn is_dns_label(text: &str) -> bool {
    let alphanumeric = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    let bytes = text.as_bytes();
    (1..=MAX_LABEL).contains(&bytes.len())
        && bytes.iter().all(|c| alphanumeric(*c) || *c == b'-')
        && bytes.first().is_some_and(|c| alphanumeric(*c))
        && bytes.last().is_some_and(|c| alphanumeric(*c))
}

/// Eight base32 characters of SHA-256 over the length-prefixed parts.
fn hash(parts: &[&str]) -> [char; HASH] {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut digest = Sha256::new();
    for part in parts {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    let bits = digest.finalize()[..5].iter().fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
    array::from_fn(|i| char::from(ALPHABET[(bits >> (5 * (HASH - 1 - i)) & 31) as usize]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: Shard<'_> = Shard {
        cluster: "example-multigres-cluster",
        database: "users_db",
        table_group: "default",
        shard: "0-inf",
    };

    #[test]
    fn golden() {
        for (name, golden) in [
            (etcd("c"), "c-etcd"),
            (etcd_peer("c"), "c-etcd-peer"),
            (etcd_client("c"), "c-etcd-client"),
            (etcd_settings("c"), "c-etcd-settings"),
            (admin("c"), "c-admin"),
            (multiadmin("c"), "c-multiadmin"),
            (orch("c"), "c-orch"),
            (multiorch("c", "us-east-1"), "c-multiorch-us-east-1"),
            (cell("c", "us-east-1"), "c-us-east-1"),
            (multigateway("c", "us-east-1"), "c-multigateway-us-east-1"),
            (password("c", "orders"), "c-orders-password"),
            (password("c", "users_db"), "c-users-db-rw3tg4lc-password"),
            (connection("c", "users_db"), "c-users-db-rw3tg4lc-connection"),
            (SAMPLE.name(), "example-multigres-cluster-users-db-defau-xpli4j72"),
            (SAMPLE.pool("us-east-1-primary"), "example-multigres-cluster-users-db-defau-4iytxity-pg"),
            (
                SAMPLE.pool_headless("us-east-1-primary"),
                "example-multigres-cluster-users-db-defau-4iytxity-pg-headless",
            ),
            (SAMPLE.pg_hba(), "example-multigres-cluster-users-db-defau-xpli4j72-pg-hba"),
            (SAMPLE.backup(), "example-multigres-cluster-users-db-defau-xpli4j72-backup"),
            (SAMPLE.pooler_service_id("us-east-1-primary"), "ke5e55qe"),
        ] {
            assert_eq!(name, golden);
        }
    }

    #[test]
    fn parts_are_not_confused() {
        assert_ne!(base(&["a_b", "c"]), base(&["a", "b_c"]));
        assert_ne!(base(&["c", "US"]), base(&["c", "us"]));
    }

    proptest::proptest! {
        #[test]
        fn every_base_is_a_short_label(parts in proptest::collection::vec("[a-z][-a-zA-Z0-9_]{0,40}", 1..5)) {
            let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
            let name = base(&parts);
            proptest::prop_assert!(is_dns_label(&name) && name.len() <= MAX_BASE, "{}", name);
        }
    }
}
