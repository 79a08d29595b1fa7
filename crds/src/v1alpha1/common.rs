//! Building blocks that several kinds share.

use std::collections::BTreeMap;

use compact_str::CompactString;
use k8s_openapi::api::core::v1::{Affinity, Toleration};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use litemap::LiteMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::defaults;
use crate::quantity::Quantity;

/// Labels or annotations.
pub type StringMap = BTreeMap<String, String>;

/// Amounts by the name of the resource, for example `cpu` or `example.com/gpu`. A large cluster has thousands of such
/// maps, and each holds two or three: in a sorted list they take a third of the memory of a tree.
pub type Amounts = LiteMap<CompactString, Quantity>;

/// CPU and memory of one container, as in a pod.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResourceRequirements {
    /// Amounts that the container is guaranteed, by resource name (`cpu`, `memory`, …).
    #[serde(default, skip_serializing_if = "LiteMap::is_empty")]
    #[schemars(with = "BTreeMap<String, Quantity>", extend("maxProperties" = 32))]
    pub requests: Amounts,
    /// Amounts that the container may use at most, by resource name; never below the request.
    #[serde(default, skip_serializing_if = "LiteMap::is_empty")]
    #[schemars(with = "BTreeMap<String, Quantity>", extend("maxProperties" = 32))]
    pub limits: Amounts,
}

impl ResourceRequirements {
    /// True if a request or limit is set for the resource.
    pub fn names(&self, resource: &str) -> bool {
        self.requests.contains_key(resource) || self.limits.contains_key(resource)
    }
}

/// Access modes of a volume. Stored inline: Kubernetes knows four.
pub type AccessModes = SmallVec<[AccessMode; 4]>;

/// A volume claim that is made for each pod (or once for a shard's backups).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct VolumeClaimTemplate {
    /// Access modes of the volume, for example `ReadWriteOnce`.
    #[serde(default, skip_serializing_if = "SmallVec::is_empty")]
    #[schemars(with = "Vec<AccessMode>", length(max = 4))]
    pub access_modes: AccessModes,
    /// The storage class; the cluster's default class when absent. Cannot be changed later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub storage_class_name: Option<String>,
    /// The size of the volume.
    #[serde(default)]
    pub resources: VolumeResources,
}

/// Access mode of a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "variant docs would replace the enum by a `oneOf` in the schema")]
#[expect(clippy::enum_variant_names, reason = "the names are Kubernetes' own")]
pub enum AccessMode {
    ReadWriteOnce,
    ReadOnlyMany,
    ReadWriteMany,
    ReadWriteOncePod,
}

impl AccessMode {
    /// The Kubernetes spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ReadWriteOnce => "ReadWriteOnce",
            Self::ReadOnlyMany => "ReadOnlyMany",
            Self::ReadWriteMany => "ReadWriteMany",
            Self::ReadWriteOncePod => "ReadWriteOncePod",
        }
    }
}

/// The size of a volume.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct VolumeResources {
    /// Requested amounts.
    #[serde(default)]
    pub requests: VolumeRequests,
}

/// Requested amounts of a volume.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct VolumeRequests {
    /// Bytes of storage, for example `100Gi`. It may grow later, never shrink.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<Quantity>,
}

/// Constraints on the nodes that pods may run on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Placement {
    /// Run only on nodes of this zone (label `topology.kubernetes.io/zone`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub zone: Option<String>,
    /// Run only on nodes with all of these labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    pub node_selector: StringMap,
    /// Node taints that the pods tolerate.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub tolerations: Vec<Toleration>,
    /// Affinity of the pods, beside the spread over nodes that they always have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affinity: Option<Affinity>,
    /// The priority class of the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub priority_class_name: Option<String>,
}

/// Settings that all pods of a cluster share.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PodSettings {
    /// Secrets with registry credentials, in the same namespace.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub image_pull_secrets: Vec<LocalObjectReference>,
    /// When the kubelet pulls images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_pull_policy: Option<ImagePullPolicy>,
    /// A new value replaces every pod, safely and one at a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restarted_at: Option<Time>,
    /// Revision of the pod templates. 1 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub workload_revision: Option<i32>,
}

impl PodSettings {
    /// Revision of the pod templates.
    pub fn revision(&self) -> i32 {
        self.workload_revision.unwrap_or(defaults::FIRST_WORKLOAD_REVISION)
    }
}

/// An object of the same namespace, by name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LocalObjectReference {
    /// Name of the object.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// One key of a Secret of the same namespace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SecretKeyReference {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Key in the Secret's data.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

/// When the kubelet pulls an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "variant docs would replace the enum by a `oneOf` in the schema")]
pub enum ImagePullPolicy {
    Always,
    IfNotPresent,
    Never,
}

impl ImagePullPolicy {
    /// The Kubernetes spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Always => "Always",
            Self::IfNotPresent => "IfNotPresent",
            Self::Never => "Never",
        }
    }
}

/// Retention of volume claims.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RetentionPolicy {
    /// When the cluster, the database or the pool is deleted. `Retain` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when_deleted: Option<Retention>,
    /// When a pool is scaled down. `Retain` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when_scaled: Option<Retention>,
}

impl RetentionPolicy {
    /// Retention on deletion, with the default applied.
    pub fn deleted(self) -> Retention {
        self.when_deleted.unwrap_or_default()
    }

    /// Retention on a scale-down, with the default applied.
    pub fn scaled(self) -> Retention {
        self.when_scaled.unwrap_or_default()
    }
}

/// Keep a volume claim or delete it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "variant docs would replace the enum by a `oneOf` in the schema")]
pub enum Retention {
    #[default]
    Retain,
    Delete,
}

impl Retention {
    /// The Kubernetes spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Retain => "Retain",
            Self::Delete => "Delete",
        }
    }
}

/// Copies of a commit that are needed before it is acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "variant docs would replace the enum by a `oneOf` in the schema")]
pub enum DurabilityPolicy {
    #[default]
    #[serde(rename = "AT_LEAST_2")]
    AtLeast2,
    #[serde(rename = "MULTI_CELL_AT_LEAST_2")]
    MultiCellAtLeast2,
}

impl DurabilityPolicy {
    /// The name that Multigres knows it by.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AtLeast2 => "AT_LEAST_2",
            Self::MultiCellAtLeast2 => "MULTI_CELL_AT_LEAST_2",
        }
    }
}

/// Client certificates for an etcd.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TopologyTls {
    /// Secret with key `ca.crt`: the authority of etcd's certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_secret_ref: Option<LocalObjectReference>,
    /// Secret with keys `tls.crt` and `tls.key`: the certificate that identifies the client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_cert_secret_ref: Option<LocalObjectReference>,
}

/// Location of a topology.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TopologyReference {
    /// `host:port` of each etcd endpoint, separated by commas.
    #[schemars(length(min = 1, max = 2048))]
    pub address: String,
    /// The key prefix of the topology.
    #[schemars(length(min = 1, max = 200))]
    pub root_path: String,
    /// Client certificates, where etcd wants them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TopologyTls>,
}

/// Location of pgBackRest's repository. Exactly one of the fields is set.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Backup {
    /// A volume that all poolers of a shard share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filesystem: Option<FilesystemBackup>,
    /// An S3 bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub s3: Option<S3Backup>,
}

/// Backups on a shared volume, one per shard.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FilesystemBackup {
    /// The claim of the volume. `ReadWriteMany`, unless all poolers of a shard share a node.
    #[serde(default)]
    pub volume_claim_template: VolumeClaimTemplate,
}

/// Backups in an S3 bucket.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct S3Backup {
    /// Name of the bucket.
    #[schemars(length(max = 63))]
    pub bucket: String,
    /// Region of the bucket.
    #[schemars(length(max = 63))]
    pub region: String,
    /// URL of an S3-compatible service, without a path. AWS when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub endpoint: Option<String>,
    /// Prefix of all keys, without leading or trailing `/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 200))]
    pub key_prefix: Option<String>,
    /// Secret with keys `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`. The pod's own identity when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_secret_ref: Option<LocalObjectReference>,
}

/// An image and the resources of its container.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Container {
    /// Image of the container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub image: Option<String>,
    /// CPU and memory of the container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,
}

/// A container, every value resolved.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ResolvedContainer {
    /// Image of the container.
    #[schemars(length(min = 1, max = 512))]
    pub image: String,
    /// CPU and memory of the container.
    #[serde(default)]
    pub resources: ResourceRequirements,
}

/// Exposure of a cell's gateway to clients.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct GatewayService {
    /// Type of the Service. `LoadBalancer` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "type")]
    pub type_: Option<ServiceType>,
    /// Port on which PostgreSQL clients connect. 5432 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i32>,
    /// Annotations of the Service, for the cloud's load balancer.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64))]
    pub annotations: StringMap,
    /// CIDR ranges from which the load balancer accepts connections.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub load_balancer_source_ranges: Vec<String>,
}

/// Type of a Service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "variant docs would replace the enum by a `oneOf` in the schema")]
pub enum ServiceType {
    ClusterIP,
    NodePort,
    #[default]
    LoadBalancer,
}

impl ServiceType {
    /// The Kubernetes spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ClusterIP => "ClusterIP",
            Self::NodePort => "NodePort",
            Self::LoadBalancer => "LoadBalancer",
        }
    }
}

/// The certificate that PostgreSQL clients see.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GatewayTls {
    /// Secret with keys `tls.crt` and `tls.key`. Clients must then use TLS.
    pub secret_ref: LocalObjectReference,
}
