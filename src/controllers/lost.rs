//! Repair of instances that do not follow their primary any more, and the memory of them.
//!
//! A pure function (`src/rollout/lost.rs`) plans the steps from observations and times of this process. The memory need
//! not outlive the process: a successor waits again.

mod memory;

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::api::ApiResource;
use kube::{Resource, ResourceExt};
use multigres_crds::v1alpha1::{MultiShard, Truth};
use tokio::time::Instant;

use super::context::Context;
use super::rollout::{self, Course};
use super::{topology, volumes};
use crate::metrics::Repair;
use crate::observe::ObjectKey;
use crate::rollout::lost::{Instance, Remedy, Situation};
use crate::status::Trouble;
use crate::topology::{Access, Id, Member, Role, Roles};

pub use memory::LostInstances;
use memory::Outcome;

/// An instance that something is to be done about.
struct Lost {
    pod: String,
    uid: String,
    id: Id,
}

/// Looks for an instance of a shard that is lost, and takes one step for it at most. What fails is tried again.
pub async fn see_to(
    shard: &MultiShard,
    cx: &Context,
    course: &Course,
    roles: &Roles,
    expected: &BTreeSet<String>,
) {
    let uid = shard.uid().unwrap_or_default();
    let situation = situation(shard, cx, course, roles, expected);
    let Some(remedy) = cx.lost.plan(&uid, situation, Instant::now()) else { return };
    let (Remedy::Restart(pod_uid) | Remedy::Rewind(pod_uid) | Remedy::Replace(pod_uid)) = &remedy;
    let Some(lost) = find(shard, cx, roles, pod_uid) else { return };
    let namespace = shard.namespace().unwrap_or_default();
    let global = match topology::access(cx, &namespace, &shard.spec.global_topology).await {
        Ok(global) => global,
        Err(trouble) => return tracing::warn!(trouble.message, pod = lost.pod, "a lost instance waits"),
    };
    match &remedy {
        Remedy::Restart(_) => restart(shard, cx, &lost).await,
        Remedy::Rewind(_) => rewind(shard, cx, global, lost),
        Remedy::Replace(_) => {
            if !is_restorable(shard, cx, &global, &lost).await {
                // All conditions have to hold anew for as long.
                cx.lost.spare(&uid);
                return;
            }
            // A list of backups takes long enough for others to be lost meanwhile.
            let roles = cx.topology.roles(&global, &shard.spec).await;
            let situation = self::situation(shard, cx, course, &roles, expected);
            if cx.lost.plan(&uid, situation, Instant::now()).as_ref() == Some(&remedy) {
                replace(shard, cx, &global, &lost).await;
            }
        }
    }
}

/// A shard as the planner is to see it, but for what is remembered.
fn situation(
    shard: &MultiShard,
    cx: &Context,
    course: &Course,
    roles: &Roles,
    expected: &BTreeSet<String>,
) -> Situation {
    let pods = living_pods(shard, cx, expected);
    let instance = |(pod, member): (&String, &Member)| {
        let uid = pods.get(pod.as_str());
        Instance {
            leads: member.role == Some(Role::Primary),
            streams: member.streaming,
            in_cohort: member.in_cohort,
            // Others are freed by other means.
            is_member: member.has_taken_part && !member.locked_out && !member.abandoned && uid.is_some(),
            cell: member.id.cell.clone(),
            is_silent: uid.is_some_and(|uid| !accepts_connections(shard, cx, pod, uid)),
            restarted: cx.lost.restarted(&shard.uid().unwrap_or_default(), pod),
            uid: uid.unwrap_or(pod).clone(),
            ..Instance::default()
        }
    };
    Situation {
        serving: roles.primary.is_some() && roles.serving_writes == Truth::True,
        complete: roles.unseen.is_empty(),
        quiet: course.plan.action.is_none()
            && pods.len() == expected.len()
            && volumes::growing(shard, cx).is_none()
            && cx.lost.under_repair(&shard.uid().unwrap_or_default()).is_none(),
        may_replace: shard.spec.replace_lost_instances,
        durability: shard.spec.durability_policy,
        instances: roles.members.iter().map(instance).collect(),
        doomed: None,
    }
}

/// The pods of a shard that live, with their identities.
fn living_pods<'e>(
    shard: &MultiShard,
    cx: &Context,
    expected: &'e BTreeSet<String>,
) -> BTreeMap<&'e str, String> {
    let namespace = shard.namespace().unwrap_or_default();
    let living = |name: &'e String| {
        let pod = cx.objects.get(&ObjectKey::new("Pod", &namespace, name))?;
        let lives = !pod.deleting && !cx.ended.contains(&pod.uid);
        lives.then_some((name.as_str(), pod.uid))
    };
    expected.iter().filter_map(living).collect()
}

fn find(shard: &MultiShard, cx: &Context, roles: &Roles, uid: &str) -> Option<Lost> {
    let namespace = shard.namespace().unwrap_or_default();
    let is_meant = |pod: &String| {
        let observed = cx.objects.get(&ObjectKey::new("Pod", &namespace, pod));
        observed.is_some_and(|observed| observed.uid == uid)
    };
    let (pod, member) = roles.members.iter().find(|(pod, _)| is_meant(pod))?;
    Some(Lost { pod: pod.clone(), uid: uid.to_owned(), id: member.id.clone() })
}

/// True if the pod is ready, or if another one of its name exists by now.
fn accepts_connections(shard: &MultiShard, cx: &Context, pod: &str, uid: &str) -> bool {
    let key = ObjectKey::new("Pod", &shard.namespace().unwrap_or_default(), pod);
    let observed = cx.objects.get(&key).filter(|observed| observed.uid == uid);
    observed.is_none_or(|observed| observed.instance.is_some_and(|instance| instance.ready))
}

/// Evicts the pod of an instance. Its successor starts with a new pooler, on the same volume.
async fn restart(shard: &MultiShard, cx: &Context, lost: &Lost) {
    let about = shard.object_ref(&());
    match rollout::evict(shard, cx, &lost.pod, &lost.uid).await {
        Ok(true) => {
            cx.lost.note_restart(&shard.uid().unwrap_or_default(), &lost.pod);
            cx.metrics.repaired(Repair::Restarted);
            tracing::info!(pod = lost.pod, "its PostgreSQL accepts no connections; the pod is evicted");
            let note = format!(
                "Evicted pod {}: its PostgreSQL has accepted no connections for a minute, while all other instances do",
                lost.pod
            );
            cx.events.of_pod(&about, &lost.pod, "PodEvicted", "Repair", note).await;
        }
        Ok(false) => {}
        Err(trouble) => tracing::warn!(trouble.message, pod = lost.pod, "a lost instance waits"),
    }
}

/// Has an instance rewound in the background: that takes as long as comparing its data takes.
fn rewind(shard: &MultiShard, cx: &Context, global: Access, lost: Lost) {
    let Some(repair) = cx.lost.begin(shard, &lost.pod, &lost.uid) else { return };
    let (topology, events, metrics) = (cx.topology.clone(), cx.events.clone(), cx.metrics.clone());
    let (spec, about) = (shard.spec.clone(), shard.object_ref(&()));
    tracing::info!(pod = lost.pod, "it does not follow the primary; it is rewound");
    tokio::spawn(async move {
        let Lost { pod, id, .. } = &lost;
        let result = topology.rewind_pooler(&global, &spec, id).await;
        match result {
            Ok(()) => {
                repair.end(Outcome::Ended);
                metrics.repaired(Repair::Rewound);
                let note = format!("Pod {pod} did not follow the primary and was rewound to it");
                events.of_pod(&about, pod, "InstanceRewound", "Repair", note).await;
            }
            // It sees to itself.
            Err(error) if error.is_unimplemented() => repair.end(Outcome::Unknown),
            Err(error) => {
                repair.end(Outcome::Ended);
                let note = format!("Pod {pod} does not follow the primary and could not be rewound: {error}");
                events.warning(&about, "RewindFailed", "Repair", note).await;
            }
        }
    });
}

/// True if a volume could be filled anew.
async fn is_restorable(shard: &MultiShard, cx: &Context, global: &Access, lost: &Lost) -> bool {
    let why = match cx.topology.has_backup(global, &shard.spec).await {
        Ok(true) => return true,
        Ok(false) => "no backup of its shard is complete".to_owned(),
        Err(error) => format!("the backups of its shard cannot be listed: {error}"),
    };
    let note = format!("Pod {} is lost and its volume is kept, because {why}", lost.pod);
    cx.events.warning(&shard.object_ref(&()), "InstanceNotReplaced", "Repair", note).await;
    false
}

/// Gives up the volume of an instance. Each step may be the last one that this process takes: its successor finds an
/// instance that is still lost, or one that is being filled, and steps that were taken change nothing when repeated.
async fn replace(shard: &MultiShard, cx: &Context, global: &Access, lost: &Lost) {
    let about = shard.object_ref(&());
    if let Err(trouble) = give_up(shard, cx, global, lost).await {
        let note = format!("Pod {} is lost and was not replaced: {}", lost.pod, trouble.message);
        cx.events.warning(&about, "InstanceNotReplaced", "Repair", note).await;
        return;
    }
    cx.metrics.repaired(Repair::Replaced);
    tracing::warn!(pod = lost.pod, "a lost instance is made anew");
    let note = format!(
        "Pod {} did not follow the primary after a rewind; its volume is made anew from the backup",
        lost.pod
    );
    cx.events.warning(&about, "InstanceReplaced", "Repair", note).await;
}

/// The primary stops to count on the instance first, so that nothing depends on it when its data goes.
async fn give_up(shard: &MultiShard, cx: &Context, global: &Access, lost: &Lost) -> Result<(), Trouble> {
    cx.topology.remove_from_cohort(global, &shard.spec, &lost.id).await.map_err(|error| Trouble {
        reason: error.reason(),
        message: error.to_string(),
        lasting: false,
    })?;
    if let Some((key, claim)) = volumes::data_claim(shard, cx, &lost.pod) {
        let kind = ApiResource::erase::<PersistentVolumeClaim>(&());
        cx.applier.delete(&kind, &key, &claim).await.map_err(|error| Trouble::from(&error))?;
    }
    rollout::delete(shard, cx, &lost.pod, &lost.uid).await.map(drop)
}
