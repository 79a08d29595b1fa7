//! Shards: their password comes before their pods, and whether they serve is known from the topology alone.

use futures::future::BoxFuture;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt;
use multigres_crds::names;
use multigres_crds::v1alpha1::*;

use super::{LOOK_AGAIN, own_fields};
use crate::apply::OwnerReference;
use crate::controllers::child::{Child, Said, Sight};
use crate::controllers::context::Context;
use crate::controllers::{secrets, topology};
use crate::status::{Gate, Survey, Trouble};
use crate::topology::Roles;

impl Child for MultiShard {
    own_fields!(MultiShardStatus);

    fn prepare<'a>(&'a self, cx: &'a Context, owner: &'a OwnerReference) -> BoxFuture<'a, Vec<Trouble>> {
        Box::pin(async move { secrets::ensure(self, cx, owner).await.err().into_iter().collect() })
    }

    fn record<'a>(&'a self, cx: &'a Context) -> BoxFuture<'a, Result<Option<&'static str>, Trouble>> {
        Box::pin(async move {
            let namespace = self.namespace().unwrap_or_default();
            let global = topology::access(cx, &namespace, &self.spec.global_topology).await?;
            topology::outcome(cx.topology.ensure_database(&global, &self.spec).await)
        })
    }

    fn look<'a>(&'a self, cx: &'a Context) -> BoxFuture<'a, Sight> {
        Box::pin(async move {
            let namespace = self.namespace().unwrap_or_default();
            let roles = match topology::access(cx, &namespace, &self.spec.global_topology).await {
                Ok(global) => cx.topology.roles(&global, &self.spec).await,
                Err(trouble) => Roles { unseen: vec![trouble.message], ..Roles::default() },
            };
            // Without a topology client there is nothing to look at.
            let asked = !(roles.members.is_empty() && roles.unseen.is_empty());
            // Which pod leads is not known: replacing one could take the primary, or a quorum.
            let why = "which pod may be replaced is known from the topology alone".to_owned();
            Sight {
                gates: vec![serving(&roles)],
                rollout_awaits: Some(("AwaitingTopology", why)),
                look_again: asked.then_some(LOOK_AGAIN),
                roles,
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

/// Whether the shard takes writes: known from the poolers alone.
fn serving(roles: &Roles) -> Gate {
    let (reason, message) = match roles.serving_writes {
        Truth::Unknown if roles.unseen.is_empty() => {
            ("TopologyUnknown", "It is not known whether a primary serves writes.".to_owned())
        }
        Truth::Unknown => ("TopologyUnknown", format!("Does not answer: {}.", roles.unseen.join(", "))),
        _ => ("NotServingWrites", "No primary serves writes.".to_owned()),
    };
    Gate { open: roles.serving_writes, reason, message }
}
