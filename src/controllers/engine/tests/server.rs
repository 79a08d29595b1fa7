//! As much of an API server as the controllers need: objects by name, lists, watches, apply, and statuses.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use futures::{StreamExt, stream};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use hyper::{Method, Request, Response, StatusCode};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

type Key = (String, String, String);

/// An API server without anything behind it.
#[derive(Clone, Default)]
pub struct Server(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    version: u64,
    /// By resource, namespace and name.
    objects: BTreeMap<Key, Value>,
    /// Changes of objects since they were listed, by resource.
    events: HashMap<String, (UnboundedSender<Bytes>, Option<UnboundedReceiver<Bytes>>)>,
}

/// Target of a request.
struct Target {
    resource: String,
    namespace: String,
    name: Option<String>,
    subresource: Option<String>,
}

impl Target {
    fn of(path: &str) -> Self {
        let mut parts = path.trim_matches('/').split('/').map(str::to_owned);
        // The group, or none, and the version.
        let group = parts.next();
        parts.next();
        if group.as_deref() == Some("apis") {
            parts.next();
        }
        let mut parts = parts.peekable();
        let mut namespace = String::new();
        if parts.next_if_eq("namespaces").is_some() {
            namespace = parts.next().unwrap_or_default();
        }
        let resource = parts.next().unwrap_or_default();
        Self { resource, namespace, name: parts.next(), subresource: parts.next() }
    }

    fn key(&self, name: &str) -> Key {
        (self.resource.clone(), self.namespace.clone(), name.to_owned())
    }
}

type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

impl Server {
    /// A client of it.
    pub fn client(&self) -> Client {
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let server = server.clone();
            async move { Ok::<_, Infallible>(server.answer(request).await) }
        });
        Client::new(service, "default")
    }

    /// Creates an object, as a user does.
    pub fn create(&self, resource: &str, object: Value) {
        let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
        let key = (resource.to_owned(), text("namespace"), text("name"));
        self.state().put(key, object);
    }

    /// Number of objects in a namespace.
    pub fn count(&self, resource: &str, namespace: &str) -> usize {
        let state = self.state();
        state.objects.keys().filter(|key| key.0 == resource && key.1 == namespace).count()
    }

    /// Deletes all objects of a namespace, and takes no more.
    pub fn delete_namespace(&self, namespace: &str) {
        let mut state = self.state();
        let keys: Vec<Key> = state.objects.keys().filter(|key| key.1 == namespace).cloned().collect();
        for key in keys {
            state.remove(&key);
        }
        state.objects.insert(("namespaces".to_owned(), namespace.to_owned(), "gone".to_owned()), json!({}));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    async fn answer(&self, request: Request<Body>) -> Answer {
        let (head, body) = request.into_parts();
        let body = body.collect_bytes().await.unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        let target = Target::of(head.uri.path());
        let query = head.uri.query().unwrap_or_default();
        if target.resource == "events" {
            return json_of(StatusCode::CREATED, &body);
        }
        let Some(name) = &target.name else {
            return match head.method {
                Method::GET if query.contains("watch=true") => self.state().watch(&target.resource),
                Method::GET => json_of(StatusCode::OK, &self.state().list(&target)),
                _ => {
                    let name = body["metadata"]["name"].as_str().unwrap().to_owned();
                    self.state().make(target.key(&name), body)
                }
            };
        };
        let mut state = self.state();
        let key = target.key(name);
        match head.method {
            Method::GET => {
                state.objects.get(&key).map_or_else(missing, |object| json_of(StatusCode::OK, object))
            }
            Method::DELETE => match state.remove(&key) {
                Some(object) => json_of(StatusCode::OK, &object),
                None => missing(),
            },
            _ if target.subresource.is_some() => state.say(&key, &body),
            _ => state.apply(key, body),
        }
    }
}

impl State {
    fn list(&self, target: &Target) -> Value {
        let of = |key: &&Key| {
            key.0 == target.resource && (target.namespace.is_empty() || key.1 == target.namespace)
        };
        let keys = self.objects.keys().filter(of);
        let items: Vec<&Value> = keys.map(|key| &self.objects[key]).collect();
        json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": self.version.to_string()}, "items": items})
    }

    /// There is one watch of each resource, which misses nothing.
    fn watch(&mut self, resource: &str) -> Answer {
        let (_, receiver) = self.events(resource);
        let events = receiver.take().map_or_else(|| stream::pending().boxed(), StreamExt::boxed);
        let frames = events.map(|event| Ok::<_, Infallible>(Frame::data(event)));
        Response::new(StreamBody::new(frames).boxed_unsync())
    }

    fn events(&mut self, resource: &str) -> &mut (UnboundedSender<Bytes>, Option<UnboundedReceiver<Bytes>>) {
        self.events.entry(resource.to_owned()).or_insert_with(|| {
            let (sender, receiver) = unbounded();
            (sender, Some(receiver))
        })
    }

    fn tell(&mut self, type_: &str, key: &Key, object: &Value) {
        let event = format!("{}\n", json!({"type": type_, "object": object}));
        // Nobody listens to what is not watched.
        if key.0 != "secrets" {
            self.events(&key.0).0.unbounded_send(event.into()).unwrap();
        }
    }

    fn put(&mut self, key: Key, mut object: Value) -> Value {
        self.version += 1;
        let type_ = if self.objects.contains_key(&key) { "MODIFIED" } else { "ADDED" };
        let metadata = &mut object["metadata"];
        metadata["resourceVersion"] = self.version.to_string().into();
        if type_ == "ADDED" {
            metadata["uid"] = format!("uid-{}", self.version).into();
            metadata["generation"] = 1.into();
            metadata["creationTimestamp"] = "2026-01-01T00:00:00Z".into();
        }
        self.tell(type_, &key, &object);
        self.objects.insert(key, object.clone());
        object
    }

    fn remove(&mut self, key: &Key) -> Option<Value> {
        let object = self.objects.remove(key)?;
        self.tell("DELETED", key, &object);
        Some(object)
    }

    fn make(&mut self, key: Key, object: Value) -> Answer {
        if self.objects.contains_key(&key) {
            return refused(StatusCode::CONFLICT, "AlreadyExists");
        }
        if self.objects.contains_key(&("namespaces".to_owned(), key.1.clone(), "gone".to_owned())) {
            return refused(StatusCode::FORBIDDEN, "Forbidden");
        }
        json_of(StatusCode::CREATED, &self.put(key, object))
    }

    fn apply(&mut self, key: Key, mut object: Value) -> Answer {
        let version = object["metadata"]["resourceVersion"].take();
        let Some(before) = self.objects.get(&key) else { return self.make(key, object) };
        if version == "1" {
            return refused(StatusCode::CONFLICT, "Conflict");
        }
        let mut after = before.clone();
        json_patch::merge(&mut after, &object);
        let generation = before["metadata"]["generation"].as_u64().unwrap_or(1);
        after["metadata"]["generation"] = (generation + u64::from(after["spec"] != before["spec"])).into();
        json_of(StatusCode::OK, &self.put(key, after))
    }

    fn say(&mut self, key: &Key, object: &Value) -> Answer {
        let Some(before) = self.objects.get(key) else { return missing() };
        if before["metadata"]["uid"] != object["metadata"]["uid"] {
            return refused(StatusCode::CONFLICT, "Conflict");
        }
        let mut after = before.clone();
        after["status"] = object["status"].clone();
        json_of(StatusCode::OK, &self.put(key.clone(), after))
    }
}

fn missing() -> Answer {
    refused(StatusCode::NOT_FOUND, "NotFound")
}

fn refused(code: StatusCode, reason: &str) -> Answer {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "code": code.as_u16(),
        "message": reason, "metadata": {},
    });
    json_of(code, &status)
}

fn json_of(code: StatusCode, value: &Value) -> Answer {
    let body = Full::new(Bytes::from(value.to_string())).boxed_unsync();
    Response::builder().status(code).header("content-type", "application/json").body(body).unwrap()
}
