//! Shards: their password comes before their pods, and whether they serve is known from the topology alone.

use std::collections::BTreeSet;

use futures::future::BoxFuture;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt;
use multigres_crds::names;
use multigres_crds::v1alpha1::*;

use super::{LOOK_AGAIN, LOOK_SOON, own_fields};
use crate::apply::OwnerReference;
use crate::build::Manifest;
use crate::controllers::child::{Child, Prepared, Said, Sight};
use crate::controllers::context::Context;
use crate::controllers::records::RecordOf;
use crate::controllers::rollout::{self, Course};
use crate::controllers::{failover, initialized, lost, secrets, stranded, topology, volumes};
use crate::reason::Reason;
use crate::status::{Fact, Gate, Survey, Trouble};
use crate::topology::{Access, Error, Roles};

/// Copies of a commit by every durability policy: with as many instances one may lead.
const QUORUM: usize = 2;

impl Child for MultiShard {
    own_fields!(MultiShardStatus);

    fn prepare<'a>(
        &'a self,
        cx: &'a Context,
        owner: &'a OwnerReference,
        course: &'a Course,
    ) -> BoxFuture<'a, Prepared> {
        Box::pin(secrets::ensure(self, cx, owner, course))
    }

    fn record_of(&self) -> Option<RecordOf<'_>> {
        let record = RecordOf { global: &self.spec.global_topology, cluster: &self.spec.cluster };
        self.spec.database_record.is_some().then_some(record)
    }

    fn erase<'a>(&'a self, cx: &'a Context, global: &'a Access) -> BoxFuture<'a, Result<(), Error>> {
        cx.topology.remove_database(global, &self.spec)
    }

    fn record<'a>(&'a self, cx: &'a Context) -> BoxFuture<'a, Result<Option<&'static str>, Trouble>> {
        Box::pin(async move {
            let namespace = self.namespace().unwrap_or_default();
            let global = topology::access(cx, &namespace, &self.spec.global_topology).await?;
            topology::outcome(cx.topology.ensure_database(&global, &self.spec).await)
        })
    }

    fn steer<'a>(&'a self, cx: &'a Context, manifests: &'a [Manifest]) -> BoxFuture<'a, Course> {
        Box::pin(rollout::steer(self, cx, manifests))
    }

    fn advance<'a>(&'a self, cx: &'a Context, course: &'a Course) -> BoxFuture<'a, Result<(), Trouble>> {
        Box::pin(rollout::take(self, cx, course))
    }

    fn look<'a>(&'a self, cx: &'a Context, course: &'a Course) -> BoxFuture<'a, Sight> {
        Box::pin(async move {
            let roles = match &course.roles {
                Some(roles) => roles.clone(),
                None => rollout::roles(self, cx).await,
            };
            failover::note(cx, self, &roles);
            let expected = rollout::Expected::of(self, cx);
            if !self.spec.paused {
                rollout::part_with_departed(self, cx, &roles, &expected.names).await;
                stranded::free(self, cx, &roles, course).await;
                lost::see_to(self, cx, course, &roles, &expected.names).await;
            }
            // Without a topology client there is nothing to look at.
            let asked = !(roles.members.is_empty() && roles.unseen.is_empty());
            let awaits =
                rollout::stuck(self, cx).or_else(|| course.awaits()).or_else(|| volumes::growing(self, cx));
            let (serving, following) = (serving(&roles), following(&roles, &expected.names));
            let troubles: Vec<Trouble> =
                locked_out(&self.spec, &roles, &expected.names).into_iter().collect();
            let is_passing = troubles.is_empty() && is_passing(&serving, &following, &expected, &roles);
            let interval = if course.awaits().is_some() || is_passing { LOOK_SOON } else { LOOK_AGAIN };
            Sight {
                initialized: initialized::of(self, cx, &roles, &expected, &course.manifests),
                troubles,
                gates: vec![serving, following],
                awaits,
                facts: rewritten(&course.rewritten).into_iter().collect(),
                look_again: asked.then_some(interval),
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
        let waiting_for = sight.awaits.as_ref().map(|(_, why)| why.clone());
        MultiShardStatus {
            observed_generation: said.observed_generation,
            conditions: said.conditions,
            desired_instances: survey.desired(),
            ready_instances: survey.ready(),
            serving_writes: sight.roles.serving_writes,
            initialized: sight.initialized,
            primary: sight.roles.primary.clone(),
            pools: self.spec.pools.iter().map(pool).collect(),
            rollout: survey.rollout(waiting_for),
        }
    }
}

/// True if it is about to change who leads, or who follows: pods say nothing of it.
fn is_passing(serving: &Gate, following: &Gate, expected: &rollout::Expected, roles: &Roles) -> bool {
    match (serving.open, following.open) {
        (Truth::True, Truth::True) => false,
        (Truth::True, _) => expected.ready == expected.names.len(),
        (Truth::Unknown, _) if roles.unseen.is_empty() => true,
        _ => expected.ready >= QUORUM,
    }
}

/// True if everybody who should follow the primary does: copies that are missing are missed when it fails.
fn following(roles: &Roles, expected: &BTreeSet<String>) -> Gate {
    let behind = expected.iter().find(|pod| !roles.has_joined(pod)).filter(|_| roles.primary.is_some());
    let message = behind.map(|pod| format!("Pod {pod} does not follow the primary.")).unwrap_or_default();
    Gate { open: behind.is_none().into(), reason: Reason::NotReplicating, message }
}

/// The password belongs to the data and is never written over: which of the two is right, only a person knows.
fn locked_out(spec: &MultiShardSpec, roles: &Roles, expected: &BTreeSet<String>) -> Option<Trouble> {
    let is_locked_out = |pod: &&String| roles.members.get(*pod).is_some_and(|member| member.locked_out);
    let pods: Vec<&str> = expected.iter().filter(is_locked_out).map(String::as_str).collect();
    if pods.is_empty() {
        return None;
    }
    let secret = &spec.password.secret_key_ref;
    let message = format!(
        "PostgreSQL refuses the password that it was started with: {}. Restore the one that the data has to key {} of \
         Secret {}, and delete the pods.",
        pods.join(", "),
        secret.key,
        secret.name
    );
    Some(Trouble { reason: Reason::PasswordMismatch, message, lasting: true })
}

/// Reports images that the platform rewrites: replacing such pods would change nothing.
fn rewritten(containers: &[String]) -> Option<Fact> {
    let first = containers.first()?;
    let message = match containers.len() - 1 {
        0 => format!("Container {first}, which is not what was asked for."),
        more => format!("Container {first}, which is not what was asked for; {more} more do so."),
    };
    Some(Fact::new("ImageRewritten", true, Reason::ImageRewritten, message))
}

/// True if the shard takes writes: known from the poolers alone.
fn serving(roles: &Roles) -> Gate {
    let (reason, message) = match roles.serving_writes {
        Truth::Unknown if roles.unseen.is_empty() => {
            (Reason::TopologyUnknown, "No primary is seen whose writes somebody acknowledges.".to_owned())
        }
        Truth::Unknown => (Reason::TopologyUnknown, format!("Does not answer: {}.", roles.unseen.join(", "))),
        _ => (Reason::NotServingWrites, "No primary serves writes.".to_owned()),
    };
    Gate { open: roles.serving_writes, reason, message }
}
