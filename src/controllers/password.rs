//! A database's password: which one is right, from what Secrets, claims and poolers say. The data was initialized with one
//! password, and no other one ever opens it.

use std::hash::{DefaultHasher, Hash, Hasher};

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;

use crate::apply::MANAGER;
use crate::memory::{Memories, PerObject};
use crate::topology::Roles;

/// The key of the password in a connection Secret.
const PASSWORD: &str = "password";

/// The passwords that were found to be right, by shard, as digests: what was found once is not looked for again.
pub struct Passwords(PerObject<u64>);

impl Passwords {
    /// None was found yet.
    pub fn new(memories: &Memories) -> Self {
        Self(PerObject::new(memories, "passwords"))
    }

    /// True if this is the one that was found last.
    pub fn is_right(&self, shard: &str, password: &str) -> bool {
        self.0.get(shard) == Some(digest(password))
    }

    /// This one was found to be right.
    pub fn note(&self, shard: &str, password: &str) {
        self.0.insert(shard, digest(password));
    }
}

fn digest(password: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    password.hash(&mut hasher);
    hasher.finish()
}

/// Content of the password Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Held {
    /// It does not exist.
    Nothing,
    /// It exists without a readable password.
    Unreadable,
    /// A password.
    Password(String),
}

impl Held {
    /// Reads a Secret.
    pub fn of(secret: Option<&Secret>, key: &str) -> Self {
        match secret {
            None => Self::Nothing,
            Some(secret) => text(secret, key).map_or(Self::Unreadable, Self::Password),
        }
    }
}

/// Evidence from the poolers on a password that differs from the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opinion {
    /// None was started with it and has answered.
    None,
    /// One that was started with it works with it, and none is refused.
    Accepted,
    /// One that was started with it is refused.
    Refused,
}

/// Decision about a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Make one: nothing was initialized yet.
    Make,
    /// Make the password Secret again, with this one.
    Restore(String),
    /// The password Secret has the right one.
    Right(String),
    /// The password Secret was changed. Until PostgreSQL accepts that, clients keep this one.
    Changed(String),
    /// Nobody has it.
    Missing,
    /// The password Secret has none.
    Unreadable,
}

/// Judges what is held and what clients were told. `has_data` says whether anything was initialized with a password.
pub fn judge(held: Held, told: Option<String>, has_data: bool, opinion: Opinion) -> Verdict {
    match (held, told) {
        (Held::Nothing, _) if !has_data => Verdict::Make,
        (Held::Nothing, Some(told)) => Verdict::Restore(told),
        (Held::Nothing, None) => Verdict::Missing,
        (Held::Unreadable, _) => Verdict::Unreadable,
        (Held::Password(held), Some(told)) if has_data && held != told && opinion != Opinion::Accepted => {
            Verdict::Changed(told)
        }
        (Held::Password(held), _) => Verdict::Right(held),
    }
}

/// The password that a connection Secret has, where the operator wrote it and nobody has changed it since. The API server
/// knows that: who changes a field owns it.
pub fn told(connection: &Secret) -> Option<String> {
    let path = |fields: &serde_json::Value| fields["f:data"].get(format!("f:{PASSWORD}")).is_some();
    let managed = connection.metadata.managed_fields.iter().flatten();
    let is_ours = managed
        .filter(|entry| entry.manager.as_deref() == Some(MANAGER))
        .any(|entry| entry.fields_v1.as_ref().is_some_and(|fields| path(&fields.0)));
    text(connection, PASSWORD).filter(|_| is_ours)
}

fn text(secret: &Secret, key: &str) -> Option<String> {
    let value = secret.data.as_ref()?.get(key)?;
    String::from_utf8(value.0.clone()).ok()
}

/// When a Secret was changed last, by the API server's account.
pub fn changed(secret: &Secret) -> Option<Timestamp> {
    let managed = secret.metadata.managed_fields.iter().flatten();
    let times = managed.filter_map(|entry| entry.time.as_ref()).chain(&secret.metadata.creation_timestamp);
    times.map(|time| time.0).max().filter(|_| !secret.managed_fields().is_empty())
}

/// Evidence of the pods that were made after the password was changed. Older pods may run with either password.
pub fn opinion(roles: &Roles, pods: &[(String, Timestamp)], changed: Option<Timestamp>) -> Opinion {
    let Some(changed) = changed else { return Opinion::None };
    let younger = pods.iter().filter(|(_, made)| *made > changed);
    let members: Vec<_> = younger.filter_map(|(pod, _)| roles.members.get(pod)).collect();
    if members.iter().any(|member| member.locked_out) {
        Opinion::Refused
    } else if members.iter().any(|member| member.role.is_some()) {
        Opinion::Accepted
    } else {
        Opinion::None
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::topology::{Id, Member, Role};

    #[test]
    fn the_password_of_data_is_never_guessed() {
        let password = |text: &str| Held::Password(text.to_owned());
        let (old, new) = (|| "old".to_owned(), || "new".to_owned());
        let told = || Some(old());
        let (some, none) = (true, false);
        for (what, held, told, has_data, opinion, expected) in [
            ("the first time", Held::Nothing, None, none, Opinion::None, Verdict::Make),
            ("lost", Held::Nothing, told(), some, Opinion::None, Verdict::Restore(old())),
            ("lost by all", Held::Nothing, None, some, Opinion::None, Verdict::Missing),
            ("lost before anything ran", Held::Nothing, told(), none, Opinion::None, Verdict::Make),
            ("without its key", Held::Unreadable, told(), some, Opinion::None, Verdict::Unreadable),
            ("as before", password("old"), told(), some, Opinion::Refused, Verdict::Right(old())),
            ("no client was told", password("old"), None, some, Opinion::None, Verdict::Right(old())),
            ("changed", password("new"), told(), some, Opinion::None, Verdict::Changed(old())),
            ("refused", password("new"), told(), some, Opinion::Refused, Verdict::Changed(old())),
            ("accepted", password("new"), told(), some, Opinion::Accepted, Verdict::Right(new())),
            ("changed before data", password("new"), told(), none, Opinion::None, Verdict::Right(new())),
        ] {
            assert_eq!(judge(held, told, has_data, opinion), expected, "{what}");
        }
    }

    fn connection(owners: &[(&str, &str)]) -> Secret {
        let entry = |(manager, field): &(&str, &str)| {
            json!({"manager": manager, "operation": "Apply", "fieldsType": "FieldsV1", "time": "2026-01-01T00:00:05Z",
                   "fieldsV1": {"f:data": {*field: {}}}})
        };
        let entries: Vec<_> = owners.iter().map(entry).collect();
        serde_json::from_value(json!({
            "metadata": {"managedFields": entries, "creationTimestamp": "2026-01-01T00:00:00Z"},
            "data": {"password": "b2xk"},
        }))
        .unwrap()
    }

    #[test]
    fn only_what_the_operator_wrote_is_told() {
        assert_eq!(told(&connection(&[(MANAGER, "f:password")])).as_deref(), Some("old"));
        for edited in
            [&[][..], &[(MANAGER, "f:host"), ("kubectl-edit", "f:password")], &[("velero", "f:password")]]
        {
            assert_eq!(told(&connection(edited)), None, "{edited:?}");
        }
    }

    #[test]
    fn only_pods_that_were_started_with_it_say_anything() {
        let at = |second: i64| Timestamp::from_second(second).unwrap();
        let member = |pod: &str, role: Option<Role>, locked_out: bool| {
            let id = Id { cell: "a".to_owned(), name: pod.to_owned(), ..Id::default() };
            (pod.to_owned(), Member { id, role, locked_out, ..Member::default() })
        };
        let roles = |members: &[(String, Member)]| Roles {
            members: members.iter().cloned().collect(),
            ..Roles::default()
        };
        let standby = Some(Role::Standby);
        let (works, refused) = (member("p-0", standby, false), member("p-1", None, true));
        let silent = member("p-2", None, false);
        let pods = |first: i64, second: i64| {
            vec![("p-0".to_owned(), at(first)), ("p-1".to_owned(), at(second)), ("p-2".to_owned(), at(9))]
        };
        for (what, members, pods, changed, expected) in [
            ("all are older", vec![works.clone(), refused.clone()], pods(1, 1), Some(at(5)), Opinion::None),
            ("in the same second", vec![works.clone()], pods(5, 5), Some(at(5)), Opinion::None),
            (
                "one works with it",
                vec![works.clone(), silent.clone()],
                pods(6, 1),
                Some(at(5)),
                Opinion::Accepted,
            ),
            (
                "one is refused",
                vec![works.clone(), refused.clone()],
                pods(6, 6),
                Some(at(5)),
                Opinion::Refused,
            ),
            (
                "an older one is refused",
                vec![works.clone(), refused],
                pods(6, 1),
                Some(at(5)),
                Opinion::Accepted,
            ),
            ("none has answered", vec![silent], pods(1, 1), Some(at(5)), Opinion::None),
            ("nobody knows when", vec![works], pods(6, 6), None, Opinion::None),
        ] {
            assert_eq!(opinion(&roles(&members), &pods, changed), expected, "{what}");
        }
        let owned = connection(&[(MANAGER, "f:password")]);
        assert_eq!(changed(&owned), Some("2026-01-01T00:00:05Z".parse().unwrap()));
        assert_eq!(changed(&connection(&[])), None);
    }
}
