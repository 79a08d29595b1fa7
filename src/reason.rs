//! Why conditions are as they are: words for machines that stay, each explained once.

use strum::{EnumIter, EnumMessage, EnumString, IntoStaticStr};

/// Why a condition is as it is. `docs/status.md` is made from what is written here.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, EnumIter, EnumMessage, EnumString, IntoStaticStr,
)]
pub enum Reason {
    /// Everything is ready.
    Ready,
    /// All that was asked for serves.
    Available,
    /// Nothing is left to be done, or nothing is in the way.
    Reconciled,
    /// The operator writes nothing until `spec.paused` is taken back.
    Paused,
    /// Objects do not exist yet.
    Creating,
    /// An object was changed and not looked at since.
    Reconciling,
    /// Pods are not ready. `kubectl describe` of the pod that is named tells why.
    PodsNotReady,
    /// Something that was asked for does not serve; the message names it.
    Unavailable,
    /// It cannot be seen whether something serves; the message names it.
    Unknown,
    /// A child is not ready, for a reason that this version of the operator does not know.
    ChildNotReady,
    /// No database is left for the orchestrator to look after.
    NoDatabases,
    /// One orchestrator runs until all instances of the shards have joined, then all of them do.
    BringingUp,
    /// No primary takes writes.
    NotServingWrites,
    /// An instance does not follow the primary: its copy is missing when the primary fails.
    NotReplicating,
    /// Who leads cannot be seen: poolers or the topology do not answer, or nobody is seen to acknowledge writes.
    TopologyUnknown,
    /// Instances are replaced, one after the other.
    RollingOut,
    /// Instances are removed, one after the other.
    ScalingDown,
    /// A rollout waits until it is known who leads. Where it waits for long, the message names the way out.
    AwaitingTopology,
    /// A rollout would leave fewer copies than the durability policy needs. Add instances, or bring back those that are
    /// down; it goes on by itself.
    AwaitingQuorum,
    /// A rollout waits for an eviction that the disruption budget refuses for now.
    AwaitingDisruptionBudget,
    /// Volumes are being grown.
    AwaitingVolumeGrowth,
    /// Something of the same name is on its way out.
    AwaitingDeletion,
    /// The spec no longer asks for something that `deletionProtection` protects. It stays until the spec asks for it again,
    /// or `deletionProtection` is false.
    TurndownBlocked,
    /// A volume cannot grow: its StorageClass does not allow it. It stays as it is.
    VolumeNotExpandable,
    /// A field differs from the spec and cannot be changed in place. It stays as it is.
    ImmutableField,
    /// Something, an admission webhook perhaps, gives pods other images than they ask for.
    ImageRewritten,
    /// Somebody else has an object of that name, or an older cluster makes one. Rename or remove either.
    NameTaken,
    /// The API server refuses an object, or it does not stay as it was applied. The message says which, and why.
    ApplyFailed,
    /// Somebody wrote an object at the same time; it is tried again.
    Conflict,
    /// The API server does not answer; it is tried again.
    ApiServerUnreachable,
    /// The password Secret does not exist although there is data, or has no such key, and no connection Secret has the
    /// password as the operator wrote it. Restore it: a new password would not open the data. What runs goes on
    /// meanwhile, and no pod is replaced.
    PasswordMissing,
    /// PostgreSQL refuses the password that its pod was started with, or the password Secret was changed and no pod that
    /// was started since shows that PostgreSQL accepts it. The connection Secret keeps the former password: restore it,
    /// then delete the pods that are named. What runs goes on meanwhile, and no pod is replaced.
    PasswordMismatch,
    /// A Secret that a spec names cannot be read, or is not what it should be.
    SecretUnavailable,
    /// The topology server does not answer.
    TopologyUnreachable,
    /// The topology server, a pooler or an orchestrator refuses what it is asked for.
    TopologyRefused,
    /// An older cluster uses the same topology, or somebody writes the same record at the same time.
    TopologyConflict,
    /// A record in the topology is not one that the operator could have written. It is left alone.
    TopologyRecordUnreadable,
    /// What the topology or a spec says of an address cannot be used.
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
    /// As it is written in a condition.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// What it tells people.
    pub fn meaning(self) -> &'static str {
        self.get_documentation().unwrap_or_default()
    }
}
