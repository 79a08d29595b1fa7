//! Reconciliation of a child of any kind: build, apply, prune, observe, write the status.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::ApiResource;
use kube::core::NamespaceResourceScope;
use kube::runtime::controller::Action;
use kube::{Resource, ResourceExt};
use multigres_crds::labels::{self, Component};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::context::{Context, Error};
use super::records::{self, Parting, RecordOf};
use super::rollout::Course;
use super::volumes;
use crate::apply::{Applied, ApplyError, Outcome, OwnerReference};
use crate::build::{Build, Manifest};
use crate::observe::ObjectKey;
use crate::reason::Reason;
use crate::status::{Circumstances, Fact, Gate, Survey, Trouble, conditions, facts};
use crate::topology::{self, Access};

/// A child of a cluster.
pub trait Child:
    Build
    + Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Clone
    + Debug
    + DeserializeOwned
    + Serialize
    + Send
    + Sync
    + 'static
{
    /// The kind's status.
    type Status: PartialEq + Serialize + Send + Sync;

    /// True if the operator writes nothing.
    fn paused(&self) -> bool;

    /// The status that was written last.
    fn status(&self) -> Option<&Self::Status>;

    /// The conditions of what was said of it last.
    fn conditions(&self) -> &[Condition];

    /// Computes the status from the observations.
    fn observed(&self, survey: &Survey, sight: &Sight, said: Said) -> Self::Status;

    /// Makes what pods need and no manifest says.
    fn prepare<'a>(
        &'a self,
        _cx: &'a Context,
        _owner: &'a OwnerReference,
        _course: &'a Course,
    ) -> BoxFuture<'a, Prepared> {
        Box::pin(std::future::ready(Prepared::default()))
    }

    /// The record that the topology has of it, where it writes one.
    fn record_of(&self) -> Option<RecordOf<'_>> {
        None
    }

    /// Removes that record.
    fn erase<'a>(
        &'a self,
        _cx: &'a Context,
        _global: &'a Access,
    ) -> BoxFuture<'a, Result<(), topology::Error>> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// Sees to what the topology must know of it, once its objects are applied. Returns what was done, if anything.
    fn record<'a>(&'a self, _cx: &'a Context) -> BoxFuture<'a, Result<Option<&'static str>, Trouble>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    /// Plans which objects may be applied now, and the further steps.
    fn steer<'a>(&'a self, _cx: &'a Context, manifests: &'a [Manifest]) -> BoxFuture<'a, Course> {
        Box::pin(std::future::ready(Course::straight(manifests)))
    }

    /// Does what is to be done beside applying, once everything is applied.
    fn advance<'a>(&'a self, _cx: &'a Context, _course: &'a Course) -> BoxFuture<'a, Result<(), Trouble>> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// Observes the facts that its workloads do not show.
    fn look<'a>(&'a self, _cx: &'a Context, _course: &'a Course) -> BoxFuture<'a, Sight> {
        Box::pin(std::future::ready(Sight::default()))
    }
}

/// Result of preparing the objects that pods need.
#[derive(Debug)]
pub struct Prepared {
    /// Problems that occurred.
    pub troubles: Vec<Trouble>,
    /// True if `StatefulSet`s may be applied.
    pub may_start: bool,
    /// True if pods that run may be replaced.
    pub may_replace: bool,
}

impl Default for Prepared {
    fn default() -> Self {
        Self { troubles: Vec::new(), may_start: true, may_replace: true }
    }
}

/// Observations of a child beside its workloads.
#[derive(Debug, Default)]
pub struct Sight {
    /// The roles in a shard.
    pub roles: crate::topology::Roles,
    /// True if a shard ever had data.
    pub initialized: multigres_crds::v1alpha1::Truth,
    /// True if a cell's own topology server answers.
    pub topology: Option<multigres_crds::v1alpha1::Truth>,
    /// True if all members of an etcd have started before.
    pub formed: bool,
    /// Problems that applying does not show.
    pub troubles: Vec<Trouble>,
    /// Conditions that must hold for the child to be ready.
    pub gates: Vec<Gate>,
    /// The pending work on its pods or volumes, and the reason why it waits.
    pub awaits: Option<(Reason, String)>,
    /// Further facts for the status.
    pub facts: Vec<Fact>,
    /// When to look again at what Kubernetes does not tell of.
    pub look_again: Option<Duration>,
}

/// Parts of the status that all children share.
#[derive(Debug)]
pub struct Said {
    /// The generation that it is about.
    pub observed_generation: Option<i64>,
    /// The conditions.
    pub conditions: Vec<Condition>,
}

/// Makes a child's objects what they should be and says what became of them.
pub async fn reconcile<K: Child>(child: Arc<K>, cx: Arc<Context>) -> Result<Action, Error> {
    let uid = child.uid().unwrap_or_default();
    if child.meta().deletion_timestamp.is_some() {
        // Garbage collection does the rest, also without the operator.
        return part(child.as_ref(), &cx).await;
    }
    let manifests = child.build(&cx.environment);
    let mut course = Course::straight(&manifests);
    let (mut troubles, mut immutable) = (Vec::new(), Vec::new());
    if !child.paused() {
        course = child.steer(&cx, &manifests).await;
        (troubles, immutable) = look_after(child.as_ref(), &cx, &course).await;
    }
    // What is paused is others' to write.
    let survey =
        Survey::of(&manifests, |key| if child.paused() { cx.objects.get(key) } else { cx.observed(key) });
    let sight = child.look(&cx, &course).await;
    let look_again = sight.look_again;
    say(child.as_ref(), &cx, &survey, sight, &troubles, &immutable).await?;
    Ok(match look_again {
        Some(interval) if troubles.is_empty() => {
            cx.failures.reset(&uid);
            Action::requeue(interval)
        }
        _ => cx.next_look(&uid, &troubles),
    })
}

/// Looks after everything that a child has. A failure about one part keeps from being looked after only what depends on
/// it.
async fn look_after<K: Child>(child: &K, cx: &Context, course: &Course) -> (Vec<Trouble>, Vec<String>) {
    let owner = OwnerReference::to(child);
    let Prepared { mut troubles, may_start, may_replace } = child.prepare(cx, &owner, course).await;
    let may_be_applied = |manifest: &&Manifest| may_start || manifest.resource.kind != "StatefulSet";
    let Application { troubles: refused, immutable, failed } =
        apply(child, cx, course.manifests.iter().filter(may_be_applied)).await;
    troubles.extend(refused);
    troubles.extend(prune(cx, course, &owner.uid).await);
    // A record that nothing holds the child for would be left behind.
    match records::hold(child, cx).await {
        Ok(()) => troubles.extend(record(child, cx).await),
        Err(trouble) => troubles.push(trouble),
    }
    if may_start && may_replace && !failed.iter().any(makes_pods) {
        troubles.extend(child.advance(cx, course).await.err());
    }
    (troubles, immutable)
}

/// True if pods are made from an object, or protected by it: one that is not as it should be is no time to replace
/// them.
fn makes_pods(key: &ObjectKey) -> bool {
    ["StatefulSet", "ConfigMap", "PersistentVolumeClaim", "PodDisruptionBudget"].contains(&key.kind.as_str())
}

/// Lets a child go that is being deleted. Garbage collection does the rest, also without the operator.
async fn part<K: Child>(child: &K, cx: &Context) -> Result<Action, Error> {
    match records::let_go(child, cx).await {
        Parting::Done => Ok(Action::await_change()),
        Parting::Again => Ok(Action::requeue(records::AGAIN)),
        Parting::Waits(trouble) => {
            let manifests = child.build(&cx.environment);
            let survey = Survey::of(&manifests, |key| cx.objects.get(key));
            say(child, cx, &survey, Sight::default(), &[trouble], &[]).await?;
            Ok(Action::requeue(records::AGAIN))
        }
    }
}

/// Sees to the topology's records and tells of it.
async fn record<K: Child>(child: &K, cx: &Context) -> Option<Trouble> {
    match child.record(cx).await {
        Ok(None) => None,
        Ok(Some(done)) => {
            let note = format!("The topology record of {} was {done}", child.name_any());
            cx.events.normal(&child.object_ref(&()), "TopologyRecordWritten", "Reconcile", note).await;
            None
        }
        Err(trouble) => Some(trouble),
    }
}

/// Result of applying the manifests of an owner.
#[derive(Debug, Default)]
pub struct Application {
    /// Problems that occurred.
    pub troubles: Vec<Trouble>,
    /// Fields that should be otherwise and cannot be changed.
    pub immutable: Vec<String>,
    /// The objects that are not as they should be because of that.
    pub failed: Vec<ObjectKey>,
}

impl Application {
    fn failed(&mut self, key: &ObjectKey, trouble: Trouble) {
        self.troubles.push(trouble);
        self.failed.push(key.clone());
    }
}

/// Applies every manifest of an owner. One that fails does not keep the others from being applied.
pub async fn apply<'a, K>(
    owner: &K,
    cx: &Context,
    manifests: impl IntoIterator<Item = &'a Manifest>,
) -> Application
where
    K: Resource<DynamicType = ()>,
{
    let reference = OwnerReference::to(owner);
    let (mut result, mut created, mut count) = (Application::default(), 0, 0);
    for manifest in manifests {
        count += 1;
        let key = manifest.key();
        let seen = cx.objects.get(&key);
        match cx.applier.ensure(manifest, &reference, seen.as_ref().into()).await {
            Ok(Applied { outcome, immutable: pinned }) => {
                if !pinned.is_empty() {
                    match volumes::grow(cx, manifest).await {
                        Ok(true) => {}
                        Ok(false) => {
                            result.immutable.extend(pinned.iter().map(|field| format!("{key}: {field}")));
                        }
                        Err(trouble) => result.failed(&key, trouble),
                    }
                }
                outcome.count(&cx.metrics, &key.kind);
                match outcome {
                    Outcome::Created => created += 1,
                    Outcome::PutBack(fields) => tell_put_back(owner, cx, &key, &fields).await,
                    Outcome::Unchanged | Outcome::Updated => {}
                }
            }
            // Nothing else can be created there either, and all of it goes with the namespace.
            Err(error @ ApplyError::NamespaceTerminating(_)) => {
                tracing::debug!(object = %key, "not created: its namespace is being deleted");
                result.failed(&key, Trouble::from(&error));
                break;
            }
            Err(error) => {
                tracing::warn!(object = %key, %error, "not applied");
                result.failed(&key, Trouble::from(&error));
            }
        }
    }
    if created > 0 {
        let note = format!("Created {created} of {count} objects");
        cx.events.normal(&owner.object_ref(&()), "Created", "Reconcile", note).await;
    }
    result
}

/// Tells that an edit was undone, and of what.
async fn tell_put_back<K>(about: &K, cx: &Context, key: &ObjectKey, fields: &str)
where
    K: Resource<DynamicType = ()>,
{
    tracing::info!(object = %key, fields, "put back");
    let note = format!("{key} was edited by somebody else and put back: {fields}");
    cx.events.warning(&about.object_ref(&()), "DriftReverted", "Reconcile", note).await;
}

/// Deletes what an owner controls and no longer asks for.
async fn prune(cx: &Context, course: &Course, uid: &str) -> Vec<Trouble> {
    let mut troubles = Vec::new();
    let is_wanted = |key: &ObjectKey| {
        course.kept.contains(key) || course.manifests.iter().any(|manifest| manifest.key() == *key)
    };
    // A Secret has no manifest.
    cx.applier.keep_only(uid, |key| key.kind == "Secret" || is_wanted(key));
    for (key, observed) in cx.objects.controlled_by(uid) {
        let wanted = is_wanted(&key);
        let Some(resource) = workload_kinds().into_iter().find(|resource| resource.kind == key.kind) else {
            continue;
        };
        if wanted || observed.deleting {
            continue;
        }
        tracing::info!(object = %key, "no longer asked for; deleted");
        if let Err(error) = cx.applier.delete(&resource, &key, &observed).await {
            troubles.push(Trouble::from(&error));
        }
    }
    troubles
}

/// Kinds that are watched for children, with their selectors: their objects, and the instances of shards.
pub fn watched_kinds() -> Vec<(ApiResource, String)> {
    let objects = workload_kinds().into_iter().map(|kind| (kind, labels::CLUSTER.to_owned()));
    let instances = format!("{},{}={}", labels::CLUSTER, labels::COMPONENT, Component::MultiPooler.as_str());
    objects.chain([(ApiResource::erase::<Pod>(&()), instances)]).collect()
}

/// The kinds of objects that children become.
pub fn workload_kinds() -> Vec<ApiResource> {
    use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
    use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Service};
    use k8s_openapi::api::policy::v1::PodDisruptionBudget;
    vec![
        ApiResource::erase::<Deployment>(&()),
        ApiResource::erase::<StatefulSet>(&()),
        ApiResource::erase::<Service>(&()),
        ApiResource::erase::<ConfigMap>(&()),
        ApiResource::erase::<PodDisruptionBudget>(&()),
        ApiResource::erase::<PersistentVolumeClaim>(&()),
    ]
}

async fn say<K: Child>(
    child: &K,
    cx: &Context,
    survey: &Survey,
    sight: Sight,
    troubles: &[Trouble],
    immutable: &[String],
) -> Result<(), Error> {
    // Of two that have one reason, what was seen says more.
    let is_seen = |trouble: &&Trouble| sight.troubles.iter().any(|seen| seen.reason == trouble.reason);
    let others = troubles.iter().filter(|trouble| !is_seen(trouble));
    let circumstances = Circumstances {
        troubles: others.chain(&sight.troubles).cloned().collect(),
        gates: sight.gates.clone(),
        awaits: sight.awaits.clone(),
        paused: child.paused(),
    };
    let mut facts = facts(survey, &circumstances);
    facts.extend(sight.facts.iter().cloned());
    if let Some(field) = immutable.first() {
        let message = format!("{field} cannot be changed in place; it stays as it is for now.");
        facts.push(Fact::new("ImmutableField", true, Reason::ImmutableField, message));
    }
    let generation = child.meta().generation;
    let said = Said {
        observed_generation: generation,
        conditions: conditions(child.conditions(), generation, &cx.clock.now(), facts),
    };
    let status = child.observed(survey, &sight, said);
    cx.write_status(child, child.status(), &status).await
}
