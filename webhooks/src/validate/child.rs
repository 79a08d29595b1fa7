//! Children of a cluster, as rules read them.

use multigres_crds::v1alpha1::{
    MultiAdmin, MultiAdminSpec, MultiCell, MultiCellSpec, MultiOrch, MultiOrchSpec, MultiShard,
    MultiShardSpec, PodSettings, TopoServer, TopoServerSpec, TopologyReference, Truth,
};

use crate::document::Document;
use crate::path::{FieldPath, PathSet};

/// The spec of a child, of whatever kind.
#[derive(Clone, Copy)]
#[expect(missing_docs, reason = "the names are the kinds' own")]
pub enum ChildSpec<'a> {
    TopoServer(&'a TopoServerSpec),
    MultiAdmin(&'a MultiAdminSpec),
    MultiOrch(&'a MultiOrchSpec),
    MultiCell(&'a MultiCellSpec),
    MultiShard(&'a MultiShardSpec),
}

/// A kind that a cluster is made into.
pub trait Child: kube::Resource<DynamicType = ()> + serde::de::DeserializeOwned {
    /// The spec.
    fn as_spec(&self) -> ChildSpec<'_>;

    /// The child's word on having had data of a database.
    fn initialized(&self) -> Truth {
        Truth::Unknown
    }
}

macro_rules! child {
    ($($kind:ident),+) => {
        $(impl Child for $kind {
            fn as_spec(&self) -> ChildSpec<'_> {
                ChildSpec::$kind(&self.spec)
            }
        })+
    };
}
child!(TopoServer, MultiAdmin, MultiOrch, MultiCell);

impl Child for MultiShard {
    fn as_spec(&self) -> ChildSpec<'_> {
        ChildSpec::MultiShard(&self.spec)
    }

    fn initialized(&self) -> Truth {
        self.status.as_ref().map_or(Truth::Unknown, |status| status.initialized)
    }
}

impl<'a> ChildSpec<'a> {
    /// The cluster that it belongs to.
    pub(super) fn cluster(&self) -> &'a str {
        match self {
            Self::TopoServer(spec) => &spec.cluster,
            Self::MultiAdmin(spec) => &spec.cluster,
            Self::MultiOrch(spec) => &spec.cluster,
            Self::MultiCell(spec) => &spec.cluster,
            Self::MultiShard(spec) => &spec.cluster,
        }
    }

    /// Settings that all pods share.
    pub(super) fn pods(&self) -> &'a PodSettings {
        match self {
            Self::TopoServer(spec) => &spec.pods,
            Self::MultiAdmin(spec) => &spec.pods,
            Self::MultiOrch(spec) => &spec.pods,
            Self::MultiCell(spec) => &spec.pods,
            Self::MultiShard(spec) => &spec.pods,
        }
    }

    /// The topologies that it uses, and where they are written.
    pub(super) fn topologies(&self) -> Vec<(&'static str, &'a TopologyReference)> {
        const GLOBAL: &str = "spec.globalTopology";
        match self {
            Self::TopoServer(_) => Vec::new(),
            Self::MultiAdmin(spec) => vec![(GLOBAL, &spec.global_topology)],
            Self::MultiOrch(spec) => vec![(GLOBAL, &spec.global_topology)],
            Self::MultiCell(spec) => vec![(GLOBAL, &spec.global_topology), ("spec.topology", &spec.topology)],
            Self::MultiShard(spec) => vec![(GLOBAL, &spec.global_topology)],
        }
    }
}

/// A child, and what of it is unknown.
pub struct ChildView<'a> {
    /// The spec.
    pub spec: ChildSpec<'a>,
    /// The namespace that it is in.
    pub namespace: &'a str,
    /// The child's word on having had data of a database.
    pub initialized: Truth,
    unknown: &'a PathSet,
}

impl<'a> ChildView<'a> {
    pub(super) fn of<T: Child>(document: &'a Document<'_, T>) -> Self {
        let namespace = document.object.meta().namespace.as_deref().unwrap_or_default();
        let (spec, initialized) = (document.object.as_spec(), document.object.initialized());
        Self { spec, namespace, initialized, unknown: document.unknown() }
    }

    /// True if everything that a rule reads at a path is decodable.
    pub(super) fn knows<P>(&self, path: P) -> bool
    where
        FieldPath: From<P>,
    {
        self.unknown.is_empty() || !self.unknown.touches(&FieldPath::from(path))
    }
}
