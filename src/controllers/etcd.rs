//! Managed etcds: what is seen of their members, and the replacement of those that lost their volumes.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::api::{Api, ApiResource, ListParams};
use kube::{Resource, ResourceExt};
use multigres_crds::address;
use multigres_crds::labels::{Component, Labels};
use multigres_crds::names;
use multigres_crds::v1alpha1::TopoServer;

use super::child::Sight;
use super::children::{LOOK_AGAIN, LOOK_SOON};
use super::context::Context;
use super::rollout::Course;
use super::topology;
use crate::build::{self, Manifest};
use crate::etcd::{Action, Bootstrap, Peer, Plan, PodState, Step, plan, quorum};
use crate::observe::ObjectKey;
use crate::reason::Reason;
use crate::status::Trouble;
use crate::topology::{Access, EtcdState, MemberChange};

const ETCD: &str = "etcd";
/// Interval of observation while some pods are not ready.
const LOOK_AT_PODS: Duration = Duration::from_secs(5);
/// Claims of a StatefulSet are made together. One that is this much younger than the first was made in place of another.
const YOUNGER: SignedDuration = SignedDuration::from_mins(1);

/// Observations of an etcd.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Members that are ready.
    ready: i32,
    /// State as a quorum reports it; none without a quorum, or if etcd was not asked.
    state: Option<EtcdState>,
    /// Its members, and the states of their pods. Empty while all are ready, and pods need not be looked at.
    pods: Vec<SeenPod>,
    /// True if all members have started before.
    formed: bool,
    /// The next step of a replacement.
    plan: Plan,
}

#[derive(Clone, Debug)]
struct SeenPod {
    peer: Peer,
    uid: Option<String>,
    state: PodState,
    /// It has ended at least once and does not run.
    crashes: bool,
}

impl Seen {
    fn empty(&self) -> impl Iterator<Item = &str> {
        self.pods.iter().filter(|pod| pod.state == PodState::Empty).map(|pod| pod.peer.name.as_str())
    }
}

/// Looks at etcd and at its pods, and puts the settings for members that find no data into what is to be applied.
pub async fn steer(server: &TopoServer, cx: &Context, manifests: &[Manifest]) -> Course {
    let peers = build::peers(server, &cx.environment);
    let seen = see(server, cx, &peers).await;
    let mut manifests = manifests.to_vec();
    if server.spec.replaces_members() && server.spec.replicas > 1 && seen.formed {
        let members = seen.state.as_ref().map(|state| state.members.as_slice());
        let bootstrap = Bootstrap::formed(&peers, members);
        let settings = build::etcd_settings(server, &cx.environment, &bootstrap);
        for manifest in manifests.iter_mut().filter(|manifest| manifest.key() == settings.key()) {
            *manifest = settings.clone();
        }
    }
    Course { manifests, etcd: seen, ..Course::default() }
}

async fn see(server: &TopoServer, cx: &Context, peers: &[Peer]) -> Seen {
    let namespace = server.namespace().unwrap_or_default();
    let set = ObjectKey::new("StatefulSet", &namespace, &names::etcd(&server.spec.cluster));
    let ready = cx.observed(&set).map_or(0, |set| set.workload.ready);
    // A member is ready only where it sees a quorum.
    let state = if ready > 0 { ask(cx, server, &namespace).await } else { None };
    let pods = if ready < server.spec.replicas { pods(server, cx, peers).await } else { Vec::new() };
    let started = |state: &EtcdState| {
        peers.iter().all(|peer| peer.entry(&state.members).is_some_and(|entry| entry.started))
    };
    let before = server.status.as_ref().is_some_and(|status| status.formed);
    let formed = is_formed(before || state.as_ref().is_some_and(started), &pods, peers.len());
    let mut seen = Seen { ready, state, pods, formed, plan: Plan::default() };
    if server.spec.replaces_members()
        && seen.formed
        && let Some(state) = &seen.state
    {
        let pods: Vec<_> = seen.pods.iter().map(|pod| (pod.peer.clone(), pod.state)).collect();
        seen.plan = plan(&pods, &state.members);
    }
    seen
}

/// If all volumes are empty, nothing is left of the etcd that was formed, and the members form it again.
fn is_formed(formed: bool, pods: &[SeenPod], members: usize) -> bool {
    let empty = pods.iter().filter(|pod| pod.state == PodState::Empty).count();
    formed && empty < members
}

fn access(server: &TopoServer, namespace: &str) -> Access {
    let address = address::managed_etcd(&server.spec.cluster, namespace);
    Access { address, root: String::new(), credentials: None }
}

async fn ask(cx: &Context, server: &TopoServer, namespace: &str) -> Option<EtcdState> {
    let answer = cx.topology.etcd(&access(server, namespace)).await;
    answer.inspect_err(|error| tracing::debug!(%error, "the members of etcd are not known")).ok()
}

async fn pods(server: &TopoServer, cx: &Context, peers: &[Peer]) -> Vec<SeenPod> {
    let labels = Labels::new(&server.spec.cluster, Component::Etcd).selector();
    let selector: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let api: Api<Pod> = Api::namespaced(cx.client.clone(), &server.namespace().unwrap_or_default());
    let listed = api.list(&ListParams::default().labels(&selector.join(","))).await;
    let pods = match listed {
        Ok(pods) => pods.items,
        Err(error) => {
            tracing::debug!(%error, "the pods of etcd are not known");
            return Vec::new();
        }
    };
    let seen = |peer: &Peer| {
        let pod = pods.iter().find(|pod| pod.name_any() == peer.name);
        let (state, crashes) = pod.map(observe).unwrap_or_default();
        SeenPod { peer: peer.clone(), uid: pod.and_then(ResourceExt::uid), state, crashes }
    };
    peers.iter().map(seen).collect()
}

/// The state of a pod, and whether its etcd has ended before and does not run.
fn observe(pod: &Pod) -> (PodState, bool) {
    let Some(status) = pod.status.as_ref().filter(|_| pod.metadata.deletion_timestamp.is_none()) else {
        return Default::default();
    };
    let mut conditions = status.conditions.iter().flatten();
    let ready = conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True");
    let mut containers = status.container_statuses.iter().flatten();
    let container = containers.find(|container| container.name == ETCD);
    let state = container.and_then(|container| container.state.as_ref());
    let running = state.is_some_and(|state| state.running.is_some());
    let last = container.and_then(|container| container.last_state.as_ref());
    let ended = [state, last].into_iter().flatten().find_map(|state| state.terminated.as_ref());
    let words = ended.and_then(|ended| ended.message.as_deref()).unwrap_or_default();
    (PodState::of(ready, running, words), !running && ended.is_some())
}

/// Does the next step of a replacement.
pub async fn advance(server: &TopoServer, cx: &Context, course: &Course) -> Result<(), Trouble> {
    let Some(step) = &course.etcd.plan.step else { return Ok(()) };
    let namespace = server.namespace().unwrap_or_default();
    let etcd = access(server, &namespace);
    let pod = &step.pod;
    let (reason, note) = match &step.action {
        Action::Change(change) => {
            topology::erased(cx.topology.change_members(&etcd, change).await)?;
            match change {
                MemberChange::Remove(id) => {
                    let note = format!("Member {id:x} of {pod} was removed from etcd: its volume is empty");
                    ("EtcdMemberRemoved", note)
                }
                MemberChange::AddLearner(_) => (
                    "EtcdMemberAdded",
                    format!("{pod} was added to etcd as a new member, without a vote yet"),
                ),
                MemberChange::Promote(_) => ("EtcdMemberPromoted", format!("{pod} votes in etcd again")),
            }
        }
        Action::Restart => {
            restart(cx, &namespace, course.etcd.pods.iter().find(|seen| seen.peer.name == *pod)).await?;
            ("PodDeleted", format!("Pod {pod} was deleted: its etcd may join now"))
        }
    };
    tracing::info!(server = server.name_any(), note, "etcd");
    cx.events.normal(&server.object_ref(&()), reason, "ReplaceMember", note).await;
    Ok(())
}

/// Deletes a pod that serves nothing, so that the kubelet does not wait before it starts etcd again.
async fn restart(cx: &Context, namespace: &str, pod: Option<&SeenPod>) -> Result<(), Trouble> {
    let Some((pod, uid)) = pod.and_then(|pod| Some((pod, pod.uid.as_ref()?))) else { return Ok(()) };
    let key = ObjectKey::new("Pod", namespace, &pod.peer.name);
    let resource = ApiResource::erase::<Pod>(&());
    cx.applier.delete_identified(&resource, &key, uid).await.map_err(|error| Trouble::from(&error))
}

/// Facts about an etcd for the status, and the time of the next observation.
pub fn look(server: &TopoServer, cx: &Context, seen: &Seen) -> Sight {
    if server.spec.paused {
        let formed = server.status.as_ref().is_some_and(|status| status.formed);
        return Sight { formed, ..Sight::default() };
    }
    let look_again = match (&seen.plan, seen.pods.is_empty()) {
        (plan, _) if *plan != Plan::default() => LOOK_SOON,
        (_, false) if seen.formed => LOOK_AT_PODS,
        _ => LOOK_AGAIN,
    };
    Sight {
        formed: seen.formed,
        troubles: troubles(server, cx, seen),
        awaits: awaits(seen),
        look_again: Some(look_again),
        ..Sight::default()
    }
}

fn troubles(server: &TopoServer, cx: &Context, seen: &Seen) -> Vec<Trouble> {
    let mut troubles = Vec::new();
    if seen.state.as_ref().is_some_and(|state| state.out_of_space) {
        troubles.push(out_of_space(server));
    }
    troubles.extend(quorum_lost(server, seen));
    if !server.spec.replaces_members() && seen.formed {
        troubles.extend(member_lost(server, cx, seen));
    }
    troubles
}

fn out_of_space(server: &TopoServer) -> Trouble {
    let set = names::etcd(&server.spec.cluster);
    let room = if server.spec.replaces_members() {
        "The quota is half of a volume: raise the storage of dataVolumeClaimTemplate, then set spec.restartedAt"
    } else {
        "Free space"
    };
    let message = format!(
        "etcd has reached the quota of its database and refuses every write. {room}, or delete keys that do not \
         belong there; then run `kubectl exec {set}-0 -- etcdctl defrag --cluster` and `kubectl exec {set}-0 -- \
         etcdctl alarm disarm`."
    );
    Trouble { reason: Reason::TopologyOutOfSpace, message, lasting: true }
}

fn quorum_lost(server: &TopoServer, seen: &Seen) -> Option<Trouble> {
    let members = usize::try_from(server.spec.replicas).unwrap_or_default();
    let serve = usize::try_from(seen.ready).unwrap_or_default();
    // A single member starts anew on an empty volume.
    if !seen.formed || serve >= quorum(members) || members == 1 {
        return None;
    }
    let away = seen.pods.iter().filter(|pod| pod.state != PodState::Ready);
    let away: Vec<&str> = away.map(|pod| pod.peer.name.as_str()).collect();
    let empty: Vec<&str> = seen.empty().collect();
    let lasting = members - empty.len() < quorum(members);
    let what = format!(
        "{serve} of {members} members of etcd serve and {} must: nothing can be read from or written to the \
         topology, and no failover happens. Not ready: {}.",
        quorum(members),
        away.join(", "),
    );
    let what_to_do = if lasting {
        let empty = empty.join(", ");
        format!(
            "The volumes of {empty} are empty: restore them. Where they cannot be restored, delete the claims and \
             pods of all members of etcd; the topology is then written anew"
        )
    } else {
        "Bring these pods back on their volumes (`kubectl describe pod` tells what keeps them); delete no claim"
            .to_owned()
    };
    Some(Trouble { reason: Reason::TopologyQuorumLost, message: format!("{what} {what_to_do}."), lasting })
}

/// A member that does not start on a volume that was made long after that of another. Without the newer pod template
/// etcd's own word for it is not seen.
fn member_lost(server: &TopoServer, cx: &Context, seen: &Seen) -> Option<Trouble> {
    let namespace = server.namespace().unwrap_or_default();
    let labels = Labels::new(&server.spec.cluster, Component::Etcd).selector();
    let claims = cx.objects.labelled(&namespace, "PersistentVolumeClaim", &labels);
    let claims: Vec<(&str, Timestamp)> = claims
        .iter()
        .filter_map(|(key, claim)| Some((key.name.as_str(), claim.claim.as_ref()?.created?)))
        .collect();
    let crashing = seen.pods.iter().filter(|pod| pod.crashes).map(|pod| pod.peer.name.as_str());
    let pod = crashing.into_iter().find(|pod| is_younger(&claims, pod))?;
    let message = format!(
        "Member {pod} does not start, and its volume is newer than those of the other members. If it lost its volume, \
         etcd does not let it in again by itself: set spec.workloadRevision to {} or more, then it is replaced.",
        multigres_crds::v1alpha1::TopoServerSpec::REPLACES_MEMBERS
    );
    Some(Trouble { reason: Reason::TopologyMemberLost, message, lasting: true })
}

/// True if a pod's claim is much younger than the first of all claims.
fn is_younger(claims: &[(&str, Timestamp)], pod: &str) -> bool {
    let first = claims.iter().map(|(_, created)| *created).min();
    let own = claims.iter().find(|(name, _)| name.strip_prefix("data-") == Some(pod));
    own.zip(first).is_some_and(|((_, own), first)| own.duration_since(first) > YOUNGER)
}

/// The pending work on a member, as a message.
fn awaits(seen: &Seen) -> Option<(Reason, String)> {
    let Plan { step, wait } = &seen.plan;
    let step = step.as_ref().map(|Step { pod, action }| match action {
        Action::Change(MemberChange::Remove(_)) => {
            format!("member {pod} lost its volume and is being removed")
        }
        Action::Change(MemberChange::AddLearner(_)) => format!("member {pod} is being added"),
        Action::Change(MemberChange::Promote(_)) => format!("member {pod} is catching up"),
        Action::Restart => format!("member {pod} is being started"),
    });
    let message = step.or_else(|| wait.clone())?;
    Some((Reason::ReplacingMember, message))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(status: &serde_json::Value) -> Pod {
        serde_json::from_value(json!({ "metadata": { "name": "c-etcd-1" }, "status": status })).unwrap()
    }

    #[test]
    fn a_pod_is_known_by_how_its_etcd_ended() {
        let ended = json!({ "terminated": {
            "exitCode": 1, "message": "{\"error\":\"couldn't find local name \\\"c-etcd-1\\\" in the initial\"}",
        }});
        let (waiting, running) =
            (json!({ "waiting": { "reason": "CrashLoopBackOff" } }), json!({ "running": {} }));
        let etcd = |state, last| {
            let image = json!({ "image": "i", "imageID": "i", "ready": false, "restartCount": 1 });
            let mut container = json!({ "name": "etcd", "state": state, "lastState": last });
            container.as_object_mut().unwrap().extend(image.as_object().unwrap().clone());
            json!({ "containerStatuses": [container] })
        };
        for (status, expected) in [
            (json!({}), (PodState::Down, false)),
            (json!({ "conditions": [{ "type": "Ready", "status": "True" }] }), (PodState::Ready, false)),
            (etcd(waiting.clone(), ended.clone()), (PodState::Empty, true)),
            (etcd(ended.clone(), json!({})), (PodState::Empty, true)),
            (etcd(running, ended.clone()), (PodState::Down, false)),
            (etcd(waiting.clone(), json!({})), (PodState::Down, false)),
            // The last run counts, not the one before.
            (etcd(json!({ "terminated": { "exitCode": 1 } }), ended.clone()), (PodState::Down, true)),
        ] {
            assert_eq!(observe(&pod(&status)), expected, "{status}");
        }
        let mut deleted = pod(&etcd(waiting, ended));
        deleted.metadata.deletion_timestamp = serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
        assert_eq!(observe(&deleted), (PodState::Down, false));
    }

    #[test]
    fn a_claim_made_in_place_of_another_is_younger() {
        let at = |time: &str| format!("2026-01-01T{time}Z").parse::<Timestamp>().unwrap();
        let claims = [
            ("data-c-etcd-0", at("10:00:00")),
            ("data-c-etcd-1", at("10:00:20")),
            ("data-c-etcd-2", at("11:00:00")),
        ];
        let younger = |pod: &str| is_younger(&claims, pod);
        assert!(!younger("c-etcd-0") && !younger("c-etcd-1") && younger("c-etcd-2") && !younger("c-etcd-3"));
    }

    fn server(revision: i32) -> TopoServer {
        let mut cluster: multigres_crds::v1alpha1::MultigresCluster =
            serde_saphyr::from_str(include_str!("../../tests/samples/proposal-cluster.yaml")).unwrap();
        cluster.spec.workload_revision = Some(revision);
        multigres_crds::resolve::children(&cluster).topo_server.unwrap()
    }

    fn seen(states: [PodState; 3]) -> Seen {
        let pod = |(index, state): (usize, PodState)| {
            let peer = Peer { name: format!("m-{index}"), url: format!("http://m-{index}") };
            SeenPod { peer, uid: None, state, crashes: state == PodState::Empty }
        };
        let pods: Vec<_> = states.into_iter().enumerate().map(pod).collect();
        let ready = pods.iter().filter(|pod| pod.state == PodState::Ready).count();
        let ready = i32::try_from(ready).unwrap();
        Seen { ready, formed: is_formed(true, &pods, 3), pods, ..Seen::default() }
    }

    #[test]
    fn a_lost_quorum_says_whether_waiting_helps() {
        use PodState::{Down, Empty, Ready};
        let lost = |states| quorum_lost(&server(2), &seen(states));
        assert_eq!(lost([Ready, Ready, Down]), None);
        let down = lost([Down, Ready, Down]).unwrap();
        assert!(
            !down.lasting && down.message.contains("Not ready: m-0, m-2. Bring these pods back"),
            "{down:?}"
        );
        let empty = lost([Empty, Down, Empty]).unwrap();
        assert!(empty.lasting && empty.message.contains("The volumes of m-0, m-2 are empty"), "{empty:?}");
        // Nothing is left: the members form a new cluster.
        assert_eq!(lost([Empty, Empty, Empty]), None);
        let never = Seen { formed: false, ..seen([Down, Down, Down]) };
        assert_eq!(quorum_lost(&server(2), &never), None);
    }

    #[test]
    fn without_space_the_message_says_how_to_get_some() {
        let says = |revision| out_of_space(&server(revision)).message;
        assert!(says(2).contains("The quota is half of a volume"), "{}", says(2));
        assert!(
            !says(1).contains("half of a volume") && says(1).contains("etcdctl alarm disarm"),
            "{}",
            says(1)
        );
    }
}
