//! The kinds of this API, as values.

use std::borrow::Cow;

use kube::Resource;
use kube::core::ApiResource;

use crate::GROUP;
use crate::v1alpha1::{MultiAdmin, MultiCell, MultiOrch, MultiShard, MultigresCluster, TopoServer};

/// A kind of this API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `MultigresCluster`, which people write.
    Cluster,
    /// A child of a cluster.
    Child(ChildKind),
}

/// A kind that a cluster is made into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are the kinds' own")]
pub enum ChildKind {
    TopoServer,
    MultiAdmin,
    MultiOrch,
    MultiCell,
    MultiShard,
}

impl Kind {
    /// The kind that a resource of the API holds.
    pub fn of(group: &str, resource: &str) -> Option<Self> {
        let mut kinds = std::iter::once(Self::Cluster).chain(ChildKind::ALL.map(Self::Child));
        kinds.find(|kind| group == GROUP && kind.plural() == resource)
    }

    /// The name of the resource, as in a URL.
    pub fn plural(self) -> Cow<'static, str> {
        match self {
            Self::Cluster => MultigresCluster::plural(&()),
            Self::Child(kind) => kind.plural(),
        }
    }

    /// The name of the kind, as in a manifest.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cluster => "MultigresCluster",
            Self::Child(kind) => kind.as_str(),
        }
    }
}

impl ChildKind {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::TopoServer, Self::MultiAdmin, Self::MultiOrch, Self::MultiCell, Self::MultiShard];

    /// The name of the kind, as in a manifest.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TopoServer => "TopoServer",
            Self::MultiAdmin => "MultiAdmin",
            Self::MultiOrch => "MultiOrch",
            Self::MultiCell => "MultiCell",
            Self::MultiShard => "MultiShard",
        }
    }

    /// The kind of that name, as in a manifest.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// The name of the resource, as in a URL.
    pub fn plural(self) -> Cow<'static, str> {
        match self {
            Self::TopoServer => TopoServer::plural(&()),
            Self::MultiAdmin => MultiAdmin::plural(&()),
            Self::MultiOrch => MultiOrch::plural(&()),
            Self::MultiCell => MultiCell::plural(&()),
            Self::MultiShard => MultiShard::plural(&()),
        }
    }

    /// The kind's API resource: group, version, kind and plural.
    pub fn resource(self) -> ApiResource {
        match self {
            Self::TopoServer => ApiResource::erase::<TopoServer>(&()),
            Self::MultiAdmin => ApiResource::erase::<MultiAdmin>(&()),
            Self::MultiOrch => ApiResource::erase::<MultiOrch>(&()),
            Self::MultiCell => ApiResource::erase::<MultiCell>(&()),
            Self::MultiShard => ApiResource::erase::<MultiShard>(&()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_known_by_its_resource() {
        assert_eq!(Kind::of(GROUP, "multigresclusters"), Some(Kind::Cluster));
        for kind in ChildKind::ALL {
            assert_eq!(Kind::of(GROUP, &kind.plural()), Some(Kind::Child(kind)));
            assert_eq!(ChildKind::named(&kind.resource().kind), Some(kind));
        }
        assert_eq!(ChildKind::named("MultigresCluster"), None);
        assert_eq!(Kind::of(GROUP, "multigres"), None);
        assert_eq!(Kind::of("", "multicells"), None);
    }
}
