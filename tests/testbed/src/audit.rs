//! Requests to the API server, read from its audit log.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::PathBuf;

use anyhow::Context;
use serde::Deserialize;
use serde_json::Value;

/// Its name among the logs of a control plane.
pub(crate) const AUDIT_LOG: &str = "audit";

/// The API server's audit log. Every request that was answered is in it, except probes.
#[derive(Debug, Clone)]
pub struct AuditLog {
    path: PathBuf,
}

/// A place in the log; what is answered later comes after it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Marker(u64);

/// One request.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "Event")]
pub struct AuditEntry {
    /// The user.
    pub user: String,
    /// With what program.
    pub user_agent: String,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete` or `deletecollection`.
    pub verb: String,
    /// The API group, empty for the core group and for paths that are no resources.
    pub group: String,
    /// The plural name of the resource, empty for paths that are none.
    pub resource: String,
    /// `status`, `scale` and the like, or empty.
    pub subresource: String,
    /// The namespace, or empty.
    pub namespace: String,
    /// The name, empty for collections and for objects the API server was to name.
    pub name: String,
    /// The HTTP status code of the answer.
    pub code: u16,
    /// When it was answered, as RFC 3339.
    pub stage_timestamp: String,
    /// The body, for Events and statuses of custom resources; null for others.
    pub request: Value,
}

impl AuditLog {
    /// The log that an API server writes, or wrote, to a file.
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// The end of the log as it is now. A request is entered when its answer is on the way, so one that is just being
    /// answered to somebody else may come after the marker.
    pub fn marker(&self) -> io::Result<Marker> {
        Ok(Marker(std::fs::metadata(&self.path)?.len()))
    }

    /// Everything since the control plane was started.
    pub fn entries(&self) -> anyhow::Result<Vec<AuditEntry>> {
        self.since(Marker::default())
    }

    /// Everything after a marker.
    pub fn since(&self, marker: Marker) -> anyhow::Result<Vec<AuditEntry>> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(marker.0))?;
        let mut log = String::new();
        file.read_to_string(&mut log)?;
        // The last line may still be in the making.
        let complete = log.rfind('\n').map_or("", |end| &log[..end]);
        complete.lines().map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
    }

    /// Writes of a user after a marker, refused ones included.
    pub fn writes_since(&self, marker: Marker, user: &str) -> anyhow::Result<Vec<AuditEntry>> {
        let mut entries = self.since(marker)?;
        entries.retain(|entry| entry.is_write() && entry.user == user);
        Ok(entries)
    }
}

impl AuditEntry {
    /// True if it was a request to change something.
    pub fn is_write(&self) -> bool {
        !matches!(self.verb.as_str(), "get" | "list" | "watch")
    }
}

/// The part of `audit.k8s.io/v1` `Event` that is read.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    verb: String,
    user: User,
    #[serde(default)]
    user_agent: String,
    #[serde(default)]
    object_ref: ObjectReference,
    #[serde(default)]
    response_status: ResponseStatus,
    stage_timestamp: String,
    #[serde(default)]
    request_object: Value,
}

#[derive(Deserialize)]
struct User {
    #[serde(default)]
    username: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ObjectReference {
    api_group: String,
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
}

#[derive(Default, Deserialize)]
struct ResponseStatus {
    #[serde(default)]
    code: u16,
}

impl From<Event> for AuditEntry {
    fn from(event: Event) -> Self {
        Self {
            user: event.user.username,
            user_agent: event.user_agent,
            verb: event.verb,
            group: event.object_ref.api_group,
            resource: event.object_ref.resource,
            subresource: event.object_ref.subresource,
            namespace: event.object_ref.namespace,
            name: event.object_ref.name,
            code: event.response_status.code,
            stage_timestamp: event.stage_timestamp,
            request: event.request_object,
        }
    }
}
