//! Settings with which an etcd that finds no data starts. One that has data does not read them.

use std::collections::BTreeMap;

use super::Peer;
use crate::topology::EtcdMember;

/// Variable, and key of the ConfigMap, with the members that etcd starts with.
pub const INITIAL_CLUSTER: &str = "ETCD_INITIAL_CLUSTER";
/// Variable, and key of the ConfigMap, that says whether etcd makes a cluster or joins one.
pub const INITIAL_CLUSTER_STATE: &str = "ETCD_INITIAL_CLUSTER_STATE";

/// Settings with which an etcd that finds no data starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bootstrap {
    state: &'static str,
    cluster: String,
}

impl Bootstrap {
    /// Settings of a cluster that was never formed: its members form it.
    pub fn forming(peers: &[Peer]) -> Self {
        let members = peers.iter().map(|peer| (peer.name.clone(), peer.url.as_str()));
        Self { state: "new", cluster: list(members) }
    }

    /// Settings of a cluster that is formed. A member that has no vote and has never started may join; every other one is
    /// listed under another name, so that etcd refuses to start it without data.
    ///
    /// `members` is the cluster's own list, none where it is not known; then nobody joins. The list in the settings has
    /// all of its URLs: etcd compares both.
    pub fn formed(peers: &[Peer], members: Option<&[EtcdMember]>) -> Self {
        let entry = |peer: &Peer| members.map(|members| peer.entry(members));
        let listed = peers.iter().filter_map(|peer| match entry(peer) {
            None => Some((absent(&peer.name), peer.url.as_str())),
            Some(entry) => entry.map(|entry| {
                let joins = entry.learner && !entry.started;
                let name = if joins { peer.name.clone() } else { absent(&peer.name) };
                (name, peer.url.as_str())
            }),
        });
        let is_peer = |member: &&EtcdMember| peers.iter().any(|peer| member.peer_urls.contains(&peer.url));
        let others = members.unwrap_or_default().iter().filter(|member| !is_peer(member));
        let others = others.flat_map(|member| {
            member.peer_urls.iter().map(move |url| (absent(&format!("{:x}", member.id)), url.as_str()))
        });
        Self { state: "existing", cluster: list(listed.chain(others)) }
    }

    /// Content of the ConfigMap.
    pub fn data(&self) -> BTreeMap<String, String> {
        [(INITIAL_CLUSTER, self.cluster.as_str()), (INITIAL_CLUSTER_STATE, self.state)]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into()
    }
}

/// A name that no pod has.
fn absent(name: &str) -> String {
    format!("no:{name}")
}

fn list<'a>(members: impl Iterator<Item = (String, &'a str)>) -> String {
    members.map(|(name, url)| format!("{name}={url}")).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peers() -> Vec<Peer> {
        ["a", "b"].map(|name| Peer { name: name.to_owned(), url: format!("http://{name}") }).into()
    }

    fn member(id: u64, name: &str, started: bool) -> EtcdMember {
        EtcdMember { id, peer_urls: vec![format!("http://{name}")], started, learner: false }
    }

    fn cluster(members: Option<&[EtcdMember]>) -> String {
        let data = Bootstrap::formed(&peers(), members).data();
        assert_eq!(data[INITIAL_CLUSTER_STATE], "existing");
        data[INITIAL_CLUSTER].clone()
    }

    #[test]
    fn members_form_a_cluster_together() {
        let data = Bootstrap::forming(&peers()).data();
        assert_eq!(data[INITIAL_CLUSTER_STATE], "new");
        assert_eq!(data[INITIAL_CLUSTER], "a=http://a,b=http://b");
    }

    #[test]
    fn only_a_member_without_a_past_may_join_without_data() {
        let closed = "no:a=http://a,no:b=http://b";
        assert_eq!(cluster(None), closed);
        assert_eq!(cluster(Some(&[member(2, "b", true), member(1, "a", true)])), closed);
        let mut joins = [member(1, "a", true), member(2, "b", false)];
        assert_eq!(cluster(Some(&joins)), closed, "it has a vote");
        joins[1].learner = true;
        assert_eq!(cluster(Some(&joins)), "no:a=http://a,b=http://b");
        joins[1].started = true;
        assert_eq!(cluster(Some(&joins)), closed, "it has joined");
        // Removed, and not added again.
        assert_eq!(cluster(Some(&[member(1, "a", true)])), "no:a=http://a");
        let other = [member(1, "a", true), member(2, "b", true), member(10, "x", true)];
        assert_eq!(cluster(Some(&other)), format!("{closed},no:a=http://x"));
    }
}
