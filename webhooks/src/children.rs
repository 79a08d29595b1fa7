//! Child protection: what a cluster manages is edited in the cluster.
//!
//! A child is protected while a living MultigresCluster controls it, by UID, and it is labelled so. A cluster that is
//! being deleted still lives: its children are then the garbage collector's, or, with `--cascade=orphan`, are to
//! survive. Metadata that is not the operator's stays everyone's.

pub mod edits;
mod metadata;
pub(crate) mod source;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use multigres_crds::kind::{ChildKind, Kind};
use multigres_crds::v1alpha1::MultigresCluster;
use multigres_crds::{GROUP, labels};
use serde::Deserialize;
use serde_json::Value;

use self::edits::{Steps, changed_fields};
use self::source::Source;
use crate::json::Json;
use crate::lookup::Lookup;
use crate::object::{Metadata, Object};
use crate::report::{Cause, Reason};
use crate::review::{Operation, Request};
use crate::validate::Guard;
use crate::verdict::Denial;

/// Rule K01: managed children are edited in their cluster.
pub(crate) const K01: Guard = Guard::new(
    "K01",
    "0.1.0",
    "An object that a cluster manages is changed and deleted through the cluster; the answer names the field to edit there.",
);

/// Rule K02: only the operator sets the controller of a child.
pub(crate) const K02: Guard = Guard::new(
    "K02",
    "0.1.0",
    "Only the operator decides which cluster controls an object: it alone sets the controller reference and its labels.",
);

/// Rule K05: a paused cluster lets its children be edited.
pub(crate) const K05: Guard = Guard::new(
    "K05",
    "0.1.0",
    "While a cluster is paused, the objects that it manages may be edited, with a warning that unpausing reverts the edit.",
);

/// Fields that a message names; the rest are counted.
const NAMED_FIELDS: usize = 5;

/// Decides if a user who is not exempt may write a child. Returns warnings if they may.
///
/// # Errors
/// The denial, with the field of the cluster to change instead.
pub fn protect(kind: ChildKind, request: &Request<'_>, lookup: &dyn Lookup) -> Result<Vec<String>, Denial> {
    let old = request.old_object.map(|_| Child::read(&request.old_parts())).transpose()?;
    let new = request.object.map(|_| Child::read(&request.parts())).transpose()?;
    let of = Subject { kind, name: request.subject().name };

    if request.sub_resource == "scale" {
        return Err(of.forbids_scale());
    }
    if let Some(cause) = new.as_ref().and_then(|new| new.claims(old.as_ref()).next()) {
        return Err(of.forbid(cause));
    }
    let Some(old) = old else { return Ok(Vec::new()) };
    let Some(owner) = old.owner(request.namespace, lookup) else { return Ok(Vec::new()) };
    if let Some(new) = &new {
        of.keeps_managed_label(&owner, new)?;
    }
    match of.edit(&owner, &old, new.as_ref(), request) {
        Some(_) if owner.is_paused() => Ok(vec![owner.pause_warning()]),
        Some(denial) => Err(denial),
        None => Ok(Vec::new()),
    }
}

/// Finds claims of a child about its controlling cluster that only the operator may make, as an update of `old` if
/// there is one. Needs no knowledge of the cluster.
pub fn claims(new: &Object<'_>, old: Option<&Object<'_>>) -> Vec<Cause> {
    // Of metadata that cannot be read others tell.
    let (Ok(new), Ok(old)) = (Child::read(new), old.map(Child::read).transpose()) else { return Vec::new() };
    new.claims(old.as_ref()).collect()
}

/// A child, as far as protection reads it.
struct Child<'a> {
    metadata: Metadata,
    spec: Option<Json<'a>>,
}

/// The cluster that protects a child.
struct Owner {
    name: String,
    /// Unknown while the caches fill: not synced is not absent.
    cluster: Option<Arc<MultigresCluster>>,
}

/// The child that a request is about, in messages.
struct Subject {
    kind: ChildKind,
    name: String,
}

impl<'a> Child<'a> {
    fn read(object: &Object<'a>) -> Result<Self, Denial> {
        let metadata = object.metadata().map_err(|cause| Denial::Invalid(vec![cause]))?;
        Ok(Self { metadata, spec: object.spec })
    }

    fn label(&self, key: &str) -> Option<&str> {
        self.metadata.labels.as_ref()?.get(key).map(String::as_str)
    }

    /// The reference to the MultigresCluster that controls this.
    fn controller(&self) -> Option<&OwnerReference> {
        self.metadata.owner_references.iter().flatten().find(|owner| {
            owner.controller == Some(true)
                && owner.kind == Kind::Cluster.as_str()
                && owner.api_version.split('/').next() == Some(GROUP)
        })
    }

    fn owner(&self, namespace: &str, lookup: &dyn Lookup) -> Option<Owner> {
        let reference = self.controller().filter(|_| self.label(labels::MANAGED) == Some("true"))?;
        // In this order: between the two, the caches may fill.
        let (synced, cluster) = (lookup.synced(), lookup.cluster(namespace, &reference.name));
        let lives = cluster
            .as_ref()
            .map_or(!synced, |cluster| cluster.metadata.uid.as_deref() == Some(&reference.uid));
        lives.then(|| Owner { name: reference.name.clone(), cluster })
    }

    fn spec(&self) -> Value {
        self.spec.and_then(|json| json.value().ok()).unwrap_or_default()
    }

    /// The cluster that the spec names.
    fn cluster(&self) -> Option<String> {
        #[derive(Deserialize)]
        struct Spec {
            cluster: String,
        }
        let spec: Spec = self.spec?.read().ok()?;
        Some(spec.cluster)
    }

    fn claims(&self, old: Option<&Self>) -> impl Iterator<Item = Cause> {
        [self.claimed_controller(old), self.claimed_cluster(old)].into_iter().flatten()
    }

    /// Only the operator decides what a cluster controls. Other owner references are other tools' business.
    fn claimed_controller(&self, old: Option<&Self>) -> Option<Cause> {
        let (old, new) = (old.and_then(Self::controller), self.controller());
        if old == new {
            return None;
        }
        let cluster = new.or(old).map_or("", |reference| &reference.name);
        Some(reserved(
            "metadata.ownerReferences".to_owned(),
            format!(
                "only the operator may set, change or remove the controller reference to MultigresCluster {cluster:?}; \
                 to release or adopt, change `managed` of its section there"
            ),
        ))
    }

    /// Objects are looked up by this label, so it never says anything else than the spec.
    fn claimed_cluster(&self, old: Option<&Self>) -> Option<Cause> {
        let (label, cluster) = (self.label(labels::CLUSTER)?, self.cluster()?);
        let is_old = old.is_some_and(|old| old.label(labels::CLUSTER) == Some(label));
        (label != cluster && !is_old).then(|| {
            let message =
                format!("must be {cluster:?}, as in spec.cluster; change it, or remove it to have it set");
            reserved(format!("metadata.labels[{}]", labels::CLUSTER), message)
        })
    }
}

impl Owner {
    fn is_paused(&self) -> bool {
        self.cluster.as_ref().is_some_and(|cluster| cluster.spec.paused == Some(true))
    }

    fn pause_warning(&self) -> String {
        format!("MultigresCluster {:?} is paused: unpausing it reverts this change", self.name)
    }
}

impl Subject {
    fn keeps_managed_label(&self, owner: &Owner, new: &Child<'_>) -> Result<(), Denial> {
        if new.label(labels::MANAGED) == Some("true") {
            return Ok(());
        }
        Err(self.forbid(reserved(
            format!("metadata.labels[{}]", labels::MANAGED),
            format!(
                "is reserved while MultigresCluster {:?} manages this object; to release it, set `managed` of its section \
                 to false there",
                owner.name
            ),
        )))
    }

    /// The denial of an edit of what the owner manages; nothing where nothing of it is edited.
    fn edit(
        &self,
        owner: &Owner,
        old: &Child<'_>,
        new: Option<&Child<'_>>,
        request: &Request<'_>,
    ) -> Option<Denial> {
        let spec = old.spec();
        let source = Source { kind: self.kind, spec: &spec, cluster: owner.cluster.as_deref() };
        if request.operation == Operation::Delete {
            return Some(self.managed(owner, &source.removal(), Vec::new()));
        }
        if !request.sub_resource.is_empty() {
            return Some(self.managed(owner, "only the operator writes its status", Vec::new()));
        }
        let new = new?;
        let new_spec = new.spec();
        let own_metadata = metadata::changed(&old.metadata, &new.metadata).into_iter();
        let in_metadata = own_metadata.map(|field| Edit { field, source: None });
        let in_spec = changed_fields(&spec, &new_spec)
            .into_iter()
            .map(|path| Edit { field: format!("spec{}", Steps(&path)), source: source.of(&path) });
        let edits: Vec<Edit> = in_metadata.chain(in_spec).collect();
        let instead = instead(&edits)?;
        Some(self.managed(owner, &instead, edits.into_iter().map(|edit| edit.cause(owner)).collect()))
    }

    fn managed(&self, owner: &Owner, instead: &str, causes: Vec<Cause>) -> Denial {
        let (kind, name) = (self.kind.as_str(), &self.name);
        let message = format!("{kind} {name:?} is managed by MultigresCluster {:?}: {instead}", owner.name);
        Denial::Forbidden { message, causes }
    }

    fn forbid(&self, cause: Cause) -> Denial {
        let message = format!("{} {:?}: {cause}", self.kind.as_str(), self.name);
        Denial::Forbidden { message, causes: vec![cause] }
    }

    /// A scale tells nothing of what it scales, not even whether a cluster manages it.
    fn forbids_scale(&self) -> Denial {
        let (kind, name) = (self.kind.as_str(), &self.name);
        let message = format!(
            "{kind} {name:?} has no scale: change the replicas in its MultigresCluster, or in its spec if it stands alone"
        );
        Denial::Forbidden { message, causes: Vec::new() }
    }
}

/// An edit of a field that the operator writes.
struct Edit {
    field: String,
    /// The field of the cluster that it is made from; nothing where there is none.
    source: Option<String>,
}

impl Edit {
    fn cause(self, owner: &Owner) -> Cause {
        let message = match self.source {
            Some(source) => {
                format!("is managed by MultigresCluster {:?}: change {source} there", owner.name)
            }
            None => "is set only by the operator".to_owned(),
        };
        forbidden(self.field, message)
    }
}

/// Advice on what to change in the cluster instead of these edits, if there are any.
fn instead(edits: &[Edit]) -> Option<String> {
    let first = edits.first()?;
    let mut sources: Vec<&str> = edits.iter().filter_map(|edit| edit.source.as_deref()).collect();
    sources.sort_unstable();
    sources.dedup();
    Some(match sources.as_slice() {
        [] => format!("{} is set only by the operator", first.field),
        sources => format!("change {} there", enumerate(sources)),
    })
}

/// The cause for a field that only the operator may set.
fn reserved(field: String, message: String) -> Cause {
    Cause { rule: Some(K02.id), ..forbidden(field, message) }
}

fn forbidden(field: String, message: String) -> Cause {
    Cause::new(Reason::Forbidden, field, message)
}

fn enumerate(fields: &[&str]) -> String {
    let (named, rest) = fields.split_at(fields.len().min(NAMED_FIELDS));
    match (named, rest.len()) {
        ([.., _], more) if more > 0 => format!("{} and {more} more", named.join(", ")),
        ([first @ .., last], _) if !first.is_empty() => format!("{} and {last}", first.join(", ")),
        _ => named.join(""),
    }
}
