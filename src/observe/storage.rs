//! The classes of volumes, for what admission says of them.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};

use futures::StreamExt;
use k8s_openapi::api::storage::v1::StorageClass as Resource;
use kube::api::Api;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Client, ResourceExt};
use multigres_webhooks::lookup::{Known, StorageClass};
use tokio_util::sync::CancellationToken;

use super::watch::WATCH_SECONDS;
use crate::api_error;

/// Marks the class that a claim gets which names none.
const DEFAULT: &str = "storageclass.kubernetes.io/is-default-class";

/// The classes of volumes, by name.
#[derive(Debug, Default)]
pub struct StorageClasses {
    /// Nothing until the first list is complete.
    known: RwLock<Option<BTreeMap<String, StorageClass>>>,
    complete: CancellationToken,
}

impl StorageClasses {
    /// The classes, as far as they are known.
    pub fn known(&self) -> Known<Vec<StorageClass>> {
        let classes = self.known.read().unwrap_or_else(PoisonError::into_inner);
        classes.as_ref().map_or(Known::NotYet, |classes| Known::Yes(classes.values().cloned().collect()))
    }

    /// Waits for the first list.
    pub async fn are_complete(&self) {
        self.complete.cancelled().await;
    }

    /// Keeps them up to date. Never ends.
    pub async fn observe(&self, client: Client) {
        let config = watcher::Config::default().timeout(WATCH_SECONDS);
        let mut events = watcher(Api::all(client), config).default_backoff().boxed();
        let mut listed = BTreeMap::new();
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => self.take(event, &mut listed),
                Err(error) => {
                    let error = api_error::watch_message(&error);
                    tracing::warn!(%error, "the watch of StorageClasses failed; it is tried again");
                }
            }
        }
    }

    fn take(&self, event: Event<Resource>, listed: &mut BTreeMap<String, StorageClass>) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Init => listed.clear(),
            Event::InitApply(class) => drop(listed.insert(class.name_any(), project(&class))),
            Event::InitDone => {
                *known = Some(std::mem::take(listed));
                self.complete.cancel();
            }
            Event::Apply(class) => {
                known.get_or_insert_default().insert(class.name_any(), project(&class));
            }
            Event::Delete(class) => drop(known.as_mut().and_then(|known| known.remove(&class.name_any()))),
        }
    }
}

fn project(class: &Resource) -> StorageClass {
    StorageClass {
        name: class.name_any(),
        default: class.annotations().get(DEFAULT).is_some_and(|value| value == "true"),
        expandable: class.allow_volume_expansion == Some(true),
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use serde_json::json;

    use super::*;

    fn class(name: &str, default: &str) -> Resource {
        serde_json::from_value(json!({
            "metadata": {"name": name, "annotations": {DEFAULT: default}}, "provisioner": "p", "allowVolumeExpansion": true,
        }))
        .unwrap()
    }

    #[test]
    fn nothing_is_known_until_the_list_is_complete() {
        let (classes, mut listed) = (StorageClasses::default(), BTreeMap::new());
        let mut take = |event| classes.take(event, &mut listed);
        take(Event::Init);
        take(Event::InitApply(class("a", "true")));
        assert_eq!(classes.known(), Known::NotYet);
        assert!(classes.are_complete().now_or_never().is_none());
        take(Event::InitDone);
        assert!(classes.are_complete().now_or_never().is_some());
        let a = StorageClass { name: "a".to_owned(), default: true, expandable: true };
        assert_eq!(classes.known(), Known::Yes(vec![a]));
        take(Event::Apply(class("b", "false")));
        take(Event::Delete(class("a", "true")));
        let b = StorageClass { name: "b".to_owned(), default: false, expandable: true };
        assert_eq!(classes.known(), Known::Yes(vec![b]));
    }
}
