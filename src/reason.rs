//! Reasons of conditions: stable names for programs, each explained once.

use strum::{EnumIter, EnumMessage, EnumString, IntoStaticStr};

/// The reason of a condition. `docs/status.md` is generated from the comments here.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, EnumIter, EnumMessage, EnumString, IntoStaticStr,
)]
pub enum Reason {
    /// Everything is ready.
    Ready,
    /// Everything that the spec asks for serves.
    Available,
    /// Nothing is left to do, and nothing blocks it.
    Reconciled,
    /// The operator writes nothing until `spec.paused` is removed or false.
    Paused,
    /// Objects do not exist yet.
    Creating,
    /// An object was changed and has not been reconciled since.
    Reconciling,
    /// Pods are not ready. Run `kubectl describe` on the pod that the message names.
    PodsNotReady,
    /// Something that the spec asks for does not serve; the message names it.
    Unavailable,
    /// The operator cannot observe if something serves; the message names it.
    Unknown,
    /// A child is not ready, for a reason that this version of the operator does not know.
    ChildNotReady,
    /// The cluster has no database, so the orchestrator does not run.
    NoDatabases,
    /// Only one orchestrator runs until all instances of the shards have joined.
    BringingUp,
    /// No primary takes writes.
    NotServingWrites,
    /// An instance does not follow the primary: its copy would be missing if the primary failed.
    NotReplicating,
    /// The primary is unknown: poolers or the topology do not answer, or no standby acknowledges writes.
    TopologyUnknown,
    /// Instances are replaced, one after the other.
    RollingOut,
    /// Instances are removed, one after the other.
    ScalingDown,
    /// A rollout waits until the primary is known. After five minutes the message names a way out.
    AwaitingTopology,
    /// A rollout would leave fewer copies than the durability policy needs. Add instances, or bring back those that are
    /// down; it goes on by itself.
    AwaitingQuorum,
    /// A rollout waits for an eviction that the disruption budget refuses for now.
    AwaitingDisruptionBudget,
    /// Volumes are being grown.
    AwaitingVolumeGrowth,
    /// An object of the same name is being deleted.
    AwaitingDeletion,
    /// The spec no longer asks for something that `deletionProtection` protects. It stays until the spec asks for it again,
    /// or `deletionProtection` is false.
    TurndownBlocked,
    /// A volume cannot grow, because its StorageClass does not allow it. The volume keeps its size.
    VolumeNotExpandable,
    /// A field differs from the spec and cannot be changed in place. It keeps its value.
    ImmutableField,
    /// Something, perhaps an admission webhook, changes the images of pods.
    ImageRewritten,
    /// An object of that name belongs to somebody else, or an older cluster makes one. Rename or delete one of the two.
    NameTaken,
    /// The API server refuses an object, or somebody changes it right after it is applied. The message names the object
    /// and the cause.
    ApplyFailed,
    /// Somebody else wrote an object at the same time. The operator retries.
    Conflict,
    /// The API server does not answer. The operator retries.
    ApiServerUnreachable,
    /// The password Secret does not exist although there is data, or has no such key, and no connection Secret has the
    /// password as the operator wrote it. Restore it: a new password would not open the data. What runs goes on
    /// meanwhile, and no pod is replaced.
    PasswordMissing,
    /// PostgreSQL refuses the password that its pod was started with, or the password Secret was changed and no pod that
    /// was started since shows that PostgreSQL accepts it. The connection Secret keeps the former password: restore it,
    /// then delete the pods that are named. What runs goes on meanwhile, and no pod is replaced.
    PasswordMismatch,
    /// A Secret that a spec names cannot be read, or lacks the expected content.
    SecretUnavailable,
    /// The topology server does not answer.
    TopologyUnreachable,
    /// The topology server, a pooler or an orchestrator refuses a request.
    TopologyRefused,
    /// An older cluster uses the same topology, or somebody writes the same record at the same time.
    TopologyConflict,
    /// A record in the topology cannot have been written by the operator. The operator does not touch it.
    TopologyRecordUnreadable,
    /// An address in the topology or in a spec cannot be used.
    TopologyInvalid,
    /// The database of etcd has reached its quota: nothing can be written to the topology. Free or add space as the
    /// message says.
    TopologyOutOfSpace,
    /// Fewer members of etcd serve than must agree: nothing can be read from or written to the topology. Bring the pods
    /// that are named back on their volumes.
    TopologyQuorumLost,
    /// A member of etcd does not start, and its volume is newer than those of the others. The message says what to do.
    TopologyMemberLost,
    /// A member of etcd that lost its volume is being replaced.
    ReplacingMember,
}

impl Reason {
    /// The reason as it is written in a condition.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// The explanation for people.
    pub fn meaning(self) -> &'static str {
        self.get_documentation().unwrap_or_default()
    }
}
