//! Behavior that differs between the kinds of children.

mod multi_shard;

use std::time::Duration;

use futures::future::BoxFuture;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{Resource, ResourceExt};
use multigres_crds::v1alpha1::*;

use super::child::{Child, Said, Sight};
use super::context::Context;
use super::records::RecordOf;
use super::rollout::Course;
use super::{etcd, topology};
use crate::build::Manifest;
use crate::status::{Gate, Survey, Trouble};
use crate::topology::{Access, Error};

/// Interval at which facts are observed that Kubernetes does not report.
pub const LOOK_AGAIN: Duration = Duration::from_secs(10);
/// Interval of observation while something waits for it.
pub const LOOK_SOON: Duration = Duration::from_secs(1);

/// True if a topology answers. What opens it is missing or wrong: it does not.
pub async fn reachable<K: Resource>(cx: &Context, child: &K, topology: &TopologyReference) -> Truth {
    match topology::access(cx, &child.namespace().unwrap_or_default(), topology).await {
        Ok(access) => cx.topology.reachable(&access).await,
        Err(_) => Truth::False,
    }
}

/// The parts of [`Child`] that only read the type's own fields.
macro_rules! own_fields {
    ($status:ty) => {
        type Status = $status;

        fn paused(&self) -> bool {
            self.spec.paused
        }

        fn status(&self) -> Option<&Self::Status> {
            self.status.as_ref()
        }

        fn conditions(&self) -> &[Condition] {
            self.status.as_ref().map_or(&[], |status| &status.conditions)
        }
    };
}
use crate::reason::Reason;
use own_fields;

impl Child for TopoServer {
    own_fields!(TopoServerStatus);

    fn steer<'a>(&'a self, cx: &'a Context, manifests: &'a [Manifest]) -> BoxFuture<'a, Course> {
        Box::pin(etcd::steer(self, cx, manifests))
    }

    fn advance<'a>(&'a self, cx: &'a Context, course: &'a Course) -> BoxFuture<'a, Result<(), Trouble>> {
        Box::pin(etcd::advance(self, cx, course))
    }

    fn look<'a>(&'a self, cx: &'a Context, course: &'a Course) -> BoxFuture<'a, Sight> {
        Box::pin(std::future::ready(etcd::look(self, cx, &course.etcd)))
    }

    fn observed(&self, survey: &Survey, sight: &Sight, said: Said) -> Self::Status {
        let quorum = self.spec.replicas / 2 + 1;
        // Reads are answered meanwhile; what the components write is not.
        let full = sight.troubles.iter().any(|trouble| trouble.reason == Reason::TopologyOutOfSpace);
        TopoServerStatus {
            observed_generation: said.observed_generation,
            conditions: said.conditions,
            available: (survey.ready() >= quorum && !full).into(),
            formed: sight.formed,
            ready_replicas: survey.ready(),
            rollout: survey.rollout(None),
        }
    }
}

impl Child for MultiAdmin {
    own_fields!(MultiAdminStatus);

    fn observed(&self, survey: &Survey, _: &Sight, said: Said) -> Self::Status {
        MultiAdminStatus {
            observed_generation: said.observed_generation,
            conditions: said.conditions,
            available: (survey.ready() > 0).into(),
            ready_replicas: survey.ready(),
            service_name: multigres_crds::names::admin(&self.spec.cluster),
            rollout: survey.rollout(None),
        }
    }
}

impl Child for MultiOrch {
    own_fields!(MultiOrchStatus);

    fn look<'a>(&'a self, _: &'a Context, _: &'a Course) -> BoxFuture<'a, Sight> {
        let no_databases = self.spec.databases.is_empty().then(|| Gate {
            open: Truth::Unknown,
            reason: Reason::NoDatabases,
            message: "The cluster has no database; multiorch does not run without one.".to_owned(),
        });
        let only = self.spec.bring_up_cell.as_ref().filter(|_| !self.spec.databases.is_empty());
        let awaits = only.map(|cell| {
            let message = format!("one orchestrator runs, in cell {cell}, until all instances have joined");
            (Reason::BringingUp, message)
        });
        let gates = no_databases.into_iter().collect();
        Box::pin(std::future::ready(Sight { gates, awaits, ..Sight::default() }))
    }

    fn observed(&self, survey: &Survey, _: &Sight, said: Said) -> Self::Status {
        MultiOrchStatus {
            observed_generation: said.observed_generation,
            conditions: said.conditions,
            available: survey.available(),
            ready_replicas: survey.ready(),
            desired_replicas: survey.desired(),
            rollout: survey.rollout(None),
        }
    }
}

impl Child for MultiCell {
    own_fields!(MultiCellStatus);

    fn look<'a>(&'a self, cx: &'a Context, _: &'a Course) -> BoxFuture<'a, Sight> {
        Box::pin(async move {
            let own = self.spec.topology.address != self.spec.global_topology.address;
            let topology = if own { Some(reachable(cx, self, &self.spec.topology).await) } else { None };
            Sight { topology, look_again: own.then_some(LOOK_AGAIN), ..Sight::default() }
        })
    }

    fn record_of(&self) -> Option<RecordOf<'_>> {
        Some(RecordOf { global: &self.spec.global_topology, cluster: &self.spec.cluster })
    }

    fn erase<'a>(&'a self, cx: &'a Context, global: &'a Access) -> BoxFuture<'a, Result<(), Error>> {
        cx.topology.remove_cell(global, &self.spec)
    }

    fn record<'a>(&'a self, cx: &'a Context) -> BoxFuture<'a, Result<Option<&'static str>, Trouble>> {
        Box::pin(async move {
            let namespace = self.namespace().unwrap_or_default();
            let global = topology::access(cx, &namespace, &self.spec.global_topology).await?;
            topology::outcome(cx.topology.ensure_cell(&global, &self.spec).await)
        })
    }

    fn observed(&self, survey: &Survey, sight: &Sight, said: Said) -> Self::Status {
        MultiCellStatus {
            observed_generation: said.observed_generation,
            conditions: said.conditions,
            gateway_available: (survey.ready() > 0).into(),
            topo_server_available: sight.topology,
            ready_replicas: survey.ready(),
            service_name: multigres_crds::names::multigateway(&self.spec.cluster, &self.spec.cell),
            rollout: survey.rollout(None),
        }
    }
}
