//! The rollout of a shard: what the planner is shown, and what becomes of its answer.

mod departed;
mod instances;
mod steps;
mod stuck;

use kube::ResourceExt;
use multigres_crds::v1alpha1::MultiShard;
use serde_json::Value;

use self::instances::{Instances, is_led};
use super::context::Context;
use super::{etcd, topology};
use crate::build::{Manifest, disruption_budget};
use crate::memory::{Memories, PerObject};
use crate::observe::{Change, ObjectKey};
use crate::reason::Reason;
use crate::rollout::{Action, Plan, Undecided, plan};
use crate::topology::Roles;

pub use departed::part_with_departed;
pub use instances::Expected;
pub use steps::{delete, evict, take};
pub use stuck::stuck;

/// The objects of a shard as they should be for now, and the further steps.
#[derive(Clone, Debug, Default)]
pub struct Course {
    /// The planner's answer.
    pub plan: Plan,
    /// Manifests to apply.
    pub manifests: Vec<Manifest>,
    /// Objects that are no longer wanted and still needed.
    pub kept: Vec<ObjectKey>,
    /// The roles, if the topology was asked.
    pub roles: Option<Roles>,
    /// Containers that run another image than they should, since they were made.
    pub rewritten: Vec<String>,
    /// Observations of the etcd, for a TopoServer.
    pub etcd: etcd::Seen,
}

/// Pods that the operator has ended and of which the caches do not tell so yet.
pub struct Ended(PerObject<()>);

impl Ended {
    /// None was ended yet.
    pub fn new(memories: &Memories) -> Self {
        Self(PerObject::new(memories, "ended"))
    }

    fn note(&self, uid: &str) {
        self.0.insert(uid, ());
    }

    /// True if the operator has ended a pod.
    pub fn contains(&self, uid: &str) -> bool {
        self.0.contains(uid)
    }

    /// Forgets the pod that has changed, once the caches tell that it ends.
    pub fn notice(&self, change: &Change) {
        let Some(before) = &change.before else { return };
        if change.after.as_ref().is_none_or(|after| after.deleting || after.uid != before.uid) {
            self.0.remove(&before.uid);
        }
    }
}

/// Plans the next step of a shard. The topology is asked only where there is a step to take.
pub async fn steer(shard: &MultiShard, cx: &Context, manifests: &[Manifest]) -> Course {
    let instances = Instances::of(shard, cx, manifests);
    let unknown = instances.seen_by(&Roles::default(), Undecided::Wait);
    let mut course = Course {
        manifests: manifests.to_vec(),
        kept: instances.kept(),
        rewritten: instances.rewritten(),
        ..Course::default()
    };
    if !unknown.has_work() {
        return course;
    }
    let roles = roles(shard, cx).await;
    let mut seen = instances.seen_by(&roles, undecided(shard, cx, &roles));
    seen.under_repair = cx.lost.under_repair(&shard.uid().unwrap_or_default());
    course.plan = plan(&seen);
    course.roles = Some(roles);
    hold_back(shard, &instances, &mut course);
    course
}

/// Roles in a shard, from the topology.
pub async fn roles(shard: &MultiShard, cx: &Context) -> Roles {
    let namespace = shard.namespace().unwrap_or_default();
    let roles = match topology::access(cx, &namespace, &shard.spec.global_topology).await {
        Ok(global) => cx.topology.roles(&global, &shard.spec).await,
        Err(trouble) => Roles { unseen: vec![trouble.message], ..Roles::default() },
    };
    cx.leaderless.note(&shard.uid().unwrap_or_default(), is_led(&roles));
    roles
}

/// Decision on a rollout while no leader is observed.
fn undecided(shard: &MultiShard, cx: &Context, roles: &Roles) -> Undecided {
    let waited = cx.leaderless.note(&shard.uid().unwrap_or_default(), is_led(roles));
    Undecided::of(waited, shard.spec.force_rollout_at.as_ref().map(|time| time.0), cx.clock.now().0)
}

/// Keeps the instances that may not go yet, and the budget that protects them.
fn hold_back(shard: &MultiShard, instances: &Instances, course: &mut Course) {
    let budget = disruption_budget(shard, instances.most());
    for manifest in &mut course.manifests {
        if manifest.resource.kind == "PodDisruptionBudget" {
            *manifest = budget.clone();
        }
        let pool = instances.pool_of(&manifest.key());
        if let Some(replicas) = pool.and_then(|pool| course.plan.replicas.get(pool)) {
            manifest.body["spec"]["replicas"] = Value::from(*replicas);
        }
    }
}

impl Course {
    /// Everything is to be applied as it was built.
    pub fn straight(manifests: &[Manifest]) -> Self {
        Self { manifests: manifests.to_vec(), ..Self::default() }
    }

    /// The pending work, as a reason and a message.
    pub fn awaits(&self) -> Option<(Reason, String)> {
        let wait = self.plan.wait.as_ref().map(|wait| (wait.reason, wait.message.clone()));
        let under_way = || match self.plan.action.as_ref()? {
            Action::Evict { pod, why, .. } => {
                Some((Reason::RollingOut, format!("pod {pod} is being evicted: {why}")))
            }
            Action::Delete { pod, why, .. } => {
                Some((Reason::RollingOut, format!("pod {pod} is being deleted: {why}")))
            }
            Action::Remove { why, .. } => Some((Reason::ScalingDown, why.clone())),
        };
        wait.or_else(under_way)
    }
}
