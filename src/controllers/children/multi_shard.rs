//! Shards: their password comes before their pods, and whether they serve is known from the topology alone.

use futures::future::BoxFuture;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use multigres_crds::names;
use multigres_crds::v1alpha1::*;

use super::own_fields;
use crate::apply::OwnerReference;
use crate::controllers::child::{Child, Said, Sight};
use crate::controllers::context::Context;
use crate::controllers::secrets;
use crate::status::{Gate, Survey, Trouble};
use crate::topology::Access;

impl Child for MultiShard {
    own_fields!(MultiShardStatus);

    fn prepare<'a>(&'a self, cx: &'a Context, owner: &'a OwnerReference) -> BoxFuture<'a, Vec<Trouble>> {
        Box::pin(async move { secrets::ensure(self, cx, owner).await.err().into_iter().collect() })
    }

    fn look<'a>(&'a self, cx: &'a Context) -> BoxFuture<'a, Sight> {
        Box::pin(async move {
            let roles = cx.topology.roles(&Access::new(&self.spec.global_topology, None), &self.spec).await;
            let gate = Gate {
                open: roles.serving_writes,
                reason: if roles.serving_writes == Truth::Unknown {
                    "TopologyUnknown"
                } else {
                    "NotServingWrites"
                },
                message: match roles.serving_writes {
                    Truth::Unknown => "It is not known whether a primary serves writes.".to_owned(),
                    _ => "No primary serves writes.".to_owned(),
                },
            };
            // Which pod leads is not known: replacing one could take the primary, or a quorum.
            let why = "which pod may be replaced is known from the topology alone".to_owned();
            Sight {
                roles,
                gates: vec![gate],
                rollout_awaits: Some(("AwaitingTopology", why)),
                ..Sight::default()
            }
        })
    }

    fn observed(&self, survey: &Survey, sight: &Sight, said: Said) -> Self::Status {
        let name = names::Shard {
            cluster: &self.spec.cluster,
            database: &self.spec.database,
            table_group: &self.spec.table_group,
            shard: &self.spec.shard,
        };
        let pool = |pool: &ShardPool| {
            let workload = survey.workload(&name.pool(&pool.name));
            let ready_instances = workload.ready.min(pool.replicas);
            (pool.name.clone(), PoolStatus { desired_instances: pool.replicas, ready_instances })
        };
        let waiting_for = sight.rollout_awaits.as_ref().map(|(_, why)| why.clone());
        MultiShardStatus {
            observed_generation: said.observed_generation,
            conditions: said.conditions,
            desired_instances: survey.desired(),
            ready_instances: survey.ready(),
            serving_writes: sight.roles.serving_writes,
            primary: sight.roles.primary.clone(),
            pools: self.spec.pools.iter().map(pool).collect(),
            rollout: survey.rollout(waiting_for),
        }
    }
}
