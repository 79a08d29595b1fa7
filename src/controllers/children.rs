//! What is particular to each kind of child.

mod multi_shard;

use futures::future::BoxFuture;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use multigres_crds::v1alpha1::*;

use super::child::{Child, Said, Sight};
use super::context::Context;
use crate::status::{Gate, Survey};
use crate::topology::Access;

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
use own_fields;

impl Child for TopoServer {
    own_fields!(TopoServerStatus);

    fn observed(&self, survey: &Survey, _: &Sight, said: Said) -> Self::Status {
        let quorum = self.spec.replicas / 2 + 1;
        TopoServerStatus {
            observed_generation: said.observed_generation,
            conditions: said.conditions,
            available: (survey.ready() >= quorum).into(),
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

    fn look<'a>(&'a self, _: &'a Context) -> BoxFuture<'a, Sight> {
        let no_databases = self.spec.databases.is_empty().then(|| Gate {
            open: Truth::Unknown,
            reason: "NoDatabases",
            message: "There is no database to look after; multiorch does not run without one.".to_owned(),
        });
        Box::pin(std::future::ready(Sight { gates: no_databases.into_iter().collect(), ..Sight::default() }))
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

    fn look<'a>(&'a self, cx: &'a Context) -> BoxFuture<'a, Sight> {
        Box::pin(async move {
            let own = self.spec.topology.address != self.spec.global_topology.address;
            let topology = if own {
                Some(cx.topology.reachable(&Access::new(&self.spec.topology, None)).await)
            } else {
                None
            };
            Sight { topology, ..Sight::default() }
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
