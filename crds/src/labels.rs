//! Labels of everything that is made from a cluster.
//!
//! Selectors use only `multigres.com/*` and name every dimension of what they select, so that no Service or
//! StatefulSet of one shard ever matches a pod of another.

use crate::names;
use crate::v1alpha1::StringMap;

/// Prefix of the operator's own labels, annotations and finalizers.
pub const PREFIX: &str = "multigres.com/";
/// Name of the cluster.
pub const CLUSTER: &str = "multigres.com/cluster";
/// Label: the component that the object belongs to, see [`Component`].
pub const COMPONENT: &str = "multigres.com/component";
/// Name of the cell.
pub const CELL: &str = "multigres.com/cell";
/// Name of the database.
pub const DATABASE: &str = "multigres.com/database";
/// Name of the table group.
pub const TABLE_GROUP: &str = "multigres.com/tablegroup";
/// Key range of the shard.
pub const SHARD: &str = "multigres.com/shard";
/// Name of the pool.
pub const POOL: &str = "multigres.com/pool";
/// Type of the pool.
pub const POOL_TYPE: &str = "multigres.com/pool-type";
/// On child CRs: `"true"` while the cluster manages it.
pub const MANAGED: &str = "multigres.com/managed";
/// Label: the application that the object belongs to.
pub const APP_NAME: &str = "app.kubernetes.io/name";
/// The same as [`COMPONENT`], for other tools.
pub const APP_COMPONENT: &str = "app.kubernetes.io/component";
/// Label: the tool that manages the object.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// The same as [`CLUSTER`], for other tools.
pub const PART_OF: &str = "app.kubernetes.io/part-of";
/// Value of [`MANAGED_BY`] on everything that the operator makes.
pub const OPERATOR: &str = "multigres-operator";

/// True for a label that the operator sets.
pub fn is_own(key: &str) -> bool {
    key.starts_with(PREFIX) || [APP_NAME, APP_COMPONENT, MANAGED_BY, PART_OF].contains(&key)
}

/// The component that an object belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Component {
    /// The topology server.
    Etcd,
    /// The admin server.
    MultiAdmin,
    /// The orchestrators.
    MultiOrch,
    /// The gateways.
    MultiGateway,
    /// PostgreSQL instances with their poolers.
    MultiPooler,
}

impl Component {
    /// The label's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::MultiAdmin => "multiadmin",
            Self::MultiOrch => "multiorch",
            Self::MultiGateway => "multigateway",
            Self::MultiPooler => "multipooler",
        }
    }
}

/// The labels of one object, from which those of its pods and its selector are derived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Labels {
    cluster: String,
    component: Component,
    identity: StringMap,
}

impl Labels {
    /// Labels of a component of a cluster.
    pub fn new(cluster: &str, component: Component) -> Self {
        let identity = [(CLUSTER, cluster), (COMPONENT, component.as_str())];
        Self {
            cluster: cluster.to_owned(),
            component,
            identity: identity.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
        }
    }

    /// The same for one cell, database, table group, shard or pool.
    #[must_use]
    pub fn with(mut self, key: &str, value: &str) -> Self {
        self.identity.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Labels of what a shard consists of.
    pub fn of_shard(shard: &names::Shard<'_>) -> Self {
        Self::new(shard.cluster, Component::MultiPooler)
            .with(DATABASE, shard.database)
            .with(TABLE_GROUP, shard.table_group)
            .with(SHARD, shard.shard)
    }

    /// Labels that select the pods of a workload.
    pub fn selector(&self) -> StringMap {
        self.identity.clone()
    }

    /// Labels of an object that is no pod.
    pub fn object(&self) -> StringMap {
        let mut labels = self.identity.clone();
        for (key, value) in [
            (APP_NAME, "multigres"),
            (APP_COMPONENT, self.component.as_str()),
            (MANAGED_BY, OPERATOR),
            (PART_OF, &self.cluster),
        ] {
            labels.insert(key.to_owned(), value.to_owned());
        }
        labels
    }

    /// Labels of a child CR that a cluster manages.
    pub fn child(&self) -> StringMap {
        let mut labels = self.object();
        labels.insert(MANAGED.to_owned(), "true".to_owned());
        labels
    }

    /// Labels of a pod, `custom` ones beside the operator's own.
    ///
    /// `app.kubernetes.io/instance` is on pods only: Argo CD would count a claim or Secret with it as its own, and
    /// prune it.
    pub fn pod(&self, custom: &StringMap) -> StringMap {
        let mut labels = custom.clone();
        labels.extend(self.object());
        labels.insert("app.kubernetes.io/instance".to_owned(), self.cluster.clone());
        labels
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Labels missing from `is_own` are not protected against edits.
    #[test]
    fn every_label_of_a_child_is_known_to_be_ours() {
        let labels = Labels::new("c", Component::MultiPooler).with(POOL, "p").child();
        assert!(labels.len() > 6 && labels.keys().all(|key| is_own(key)), "{labels:?}");
        assert!(!is_own("app.kubernetes.io/instance") && !is_own("team"));
    }
}
