//! The watches that keep [`Objects`] up to date.
//!
//! Each watch has a backoff of its own and swallows its errors after logging them: one that fails must not starve
//! the others.

use std::collections::HashSet;
use std::sync::Arc;

use futures::channel::mpsc::UnboundedSender;
use futures::{Stream, StreamExt};
use kube::api::{Api, ApiResource, DynamicObject};
use kube::runtime::reflector::{self, Store};
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt, watcher as watch};
use kube::{Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;

use super::{Change, ObjectKey, Objects, Observed};
use crate::api_error;

/// Namespaces that are watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All of them.
    All,
    /// One.
    Namespace(String),
}

impl Scope {
    fn api(&self, client: Client, resource: &ApiResource) -> Api<DynamicObject> {
        match self {
            Self::All => Api::all_with(client, resource),
            Self::Namespace(namespace) => Api::namespaced_with(client, namespace, resource),
        }
    }
}

/// Objects that are listed at a time. All kinds are listed at once when the operator starts, and an object that is being
/// read takes many times the memory of what is kept of it.
const PAGE: u32 = 50;

/// The server is asked to end a watch after this time, and the client gives up on it 5 s later. A connection that goes
/// black without an end is noticed so soon, and load balancers, which cut idle connections at 240 s, cut none of these.
/// The next watch continues where this one ended: nothing is listed again.
pub(super) const WATCH_SECONDS: u32 = 60;

/// Watches the objects of a kind that a selector selects and tells what becomes of them. Never ends.
pub async fn observe_objects(
    client: Client,
    scope: Scope,
    (resource, selector): (ApiResource, String),
    objects: Arc<Objects>,
    changes: UnboundedSender<Change>,
    synced: impl FnOnce() + Send,
) {
    let labelled = watcher::Config::default().labels(&selector);
    let kind = resource.kind.clone();
    let mut events = noted(scope.api(client, &resource), kind, labelled, objects, changes, Some).boxed();
    let mut synced = Some(synced);
    while let Some(event) = events.next().await {
        if matches!(event, Event::InitDone)
            && let Some(synced) = synced.take()
        {
            synced();
        }
    }
}

/// Watches the custom resources of a kind: keeps them whole in a store, their projections in `objects`, and yields
/// those that were created or changed. `seen` is told first.
pub fn observe_resources<K>(
    client: Client,
    scope: &Scope,
    objects: Arc<Objects>,
    changes: UnboundedSender<Change>,
    mut seen: impl FnMut(&Event<K>) + Send + 'static,
) -> (Store<K>, impl Stream<Item = Result<K, watcher::Error>> + Send + 'static)
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Send + Sync + 'static,
{
    let (store, mut writer) = reflector::store();
    let resource = ApiResource::erase::<K>(&());
    let config = watcher::Config::default();
    let keep = move |event| {
        let event = typed(event)?;
        seen(&event);
        writer.apply_watcher_event(&event);
        Some(event)
    };
    let kind = resource.kind.clone();
    let stream =
        noted(scope.api(client, &resource), kind, config, objects, changes, keep).map(Ok).applied_objects();
    (store, stream)
}

/// The events of a watch as `keep` has them, each noted in `objects`. Others are told of what became of an object only
/// once it is noted and kept: whoever is woken by it finds all of it.
fn noted<T: Send + 'static>(
    api: Api<DynamicObject>,
    kind: String,
    config: watcher::Config,
    objects: Arc<Objects>,
    changes: UnboundedSender<Change>,
    mut keep: impl FnMut(Event<DynamicObject>) -> Option<T> + Send + 'static,
) -> impl Stream<Item = T> + Send + 'static {
    let mut notes = Notes { kind: kind.clone(), objects, listed: HashSet::new() };
    let events = watch(api, config.timeout(WATCH_SECONDS).page_size(PAGE)).default_backoff();
    events.filter_map(move |event| {
        let event = event.inspect_err(|error| tell_of_failure(&kind, error)).ok();
        let told: Vec<Change> = event.iter().flat_map(|event| notes.take(event)).collect();
        let is_complete = matches!(event, Some(Event::InitDone));
        let kept = event.and_then(&mut keep);
        if is_complete {
            notes.objects.mark_complete(&notes.kind);
        }
        for change in told {
            // The receiver ends only with the process.
            let _ = changes.unbounded_send(change);
        }
        std::future::ready(kept)
    })
}

fn tell_of_failure(kind: &str, error: &watcher::Error) {
    let error = api_error::watch_message(error);
    tracing::warn!(kind, %error, "watch failed; it is tried again");
}

/// The same event of the type. One object that cannot be read must not hide the others.
fn typed<K: Resource + DeserializeOwned>(event: Event<DynamicObject>) -> Option<Event<K>> {
    let parse = |object: DynamicObject| {
        let name = object.name_any();
        let mut object = object;
        object.managed_fields_mut().clear();
        object.try_parse().inspect_err(|error| tracing::warn!(name, %error, "an object cannot be read")).ok()
    };
    Some(match event {
        Event::Apply(object) => Event::Apply(parse(object)?),
        Event::Delete(object) => Event::Delete(parse(object)?),
        Event::InitApply(object) => Event::InitApply(parse(object)?),
        Event::Init => Event::Init,
        Event::InitDone => Event::InitDone,
    })
}

/// Takes the events of one watch down.
struct Notes {
    kind: String,
    objects: Arc<Objects>,
    /// Objects that the current list has named so far.
    listed: HashSet<ObjectKey>,
}

impl Notes {
    fn take(&mut self, event: &Event<DynamicObject>) -> Vec<Change> {
        match event {
            Event::Init => {
                self.listed.clear();
                Vec::new()
            }
            Event::InitApply(object) => {
                self.listed.insert(self.key(object));
                vec![self.put(object)]
            }
            Event::Apply(object) => vec![self.put(object)],
            Event::Delete(object) => vec![self.objects.remove(self.key(object))],
            Event::InitDone => {
                let gone =
                    self.objects.keys_of(&self.kind).into_iter().filter(|key| !self.listed.contains(key));
                let changes = gone.map(|key| self.objects.remove(key)).collect();
                self.listed.clear();
                changes
            }
        }
    }

    fn put(&self, object: &DynamicObject) -> Change {
        // Read from JSON, it is JSON again.
        let mut value = serde_json::to_value(object).unwrap_or_default();
        // The items of a list do not say of what kind they are.
        value["kind"] = self.kind.as_str().into();
        self.objects.put(self.key(object), Observed::project(&value))
    }

    fn key(&self, object: &DynamicObject) -> ObjectKey {
        ObjectKey::new(&self.kind, &object.namespace().unwrap_or_default(), &object.name_any())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(name: &str) -> DynamicObject {
        let resource = ApiResource::erase::<k8s_openapi::api::core::v1::ConfigMap>(&());
        DynamicObject::new(name, &resource).within("n")
    }

    #[test]
    fn the_items_of_a_list_are_of_its_kind() {
        let objects = Arc::new(Objects::default());
        let mut notes = Notes { kind: "Pod".to_owned(), objects: objects.clone(), listed: HashSet::new() };
        let mut listed = object("a");
        listed.types = None;
        notes.take(&Event::InitApply(listed));
        assert!(objects.get(&ObjectKey::new("Pod", "n", "a")).is_some_and(|pod| pod.instance.is_some()));
    }

    #[test]
    fn a_new_list_removes_what_it_does_not_name() {
        let objects = Arc::new(Objects::default());
        let mut notes =
            Notes { kind: "ConfigMap".to_owned(), objects: objects.clone(), listed: HashSet::new() };
        for name in ["a", "b"] {
            notes.take(&Event::Apply(object(name)));
        }
        notes.take(&Event::Init);
        notes.take(&Event::InitApply(object("b")));
        let changes = notes.take(&Event::InitDone);
        assert_eq!(changes.len(), 1);
        assert!(changes[0].after.is_none() && changes[0].before.is_some());
        assert!(objects.get(&ObjectKey::new("ConfigMap", "n", "a")).is_none());
        assert!(objects.get(&ObjectKey::new("ConfigMap", "n", "b")).is_some());
    }
}
