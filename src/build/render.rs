//! Everything that a cluster becomes, without one.

use kube::Resource;
use multigres_crds::resolve::{self, Children};
use multigres_crds::v1alpha1::MultigresCluster;
use serde::Serialize;

use super::{Build, Environment, Manifest};

/// The children of a cluster, each followed by what it becomes: topology, admin server, orchestrators, cells, shards.
pub fn render(cluster: &MultigresCluster, env: &Environment) -> Vec<Manifest> {
    render_children(&resolve::children(cluster), env)
}

/// Children, each followed by what it becomes.
pub fn render_children(children: &Children, env: &Environment) -> Vec<Manifest> {
    let mut manifests = Vec::new();
    manifests.extend(children.topo_server.iter().flat_map(|child| with_objects(child, env)));
    manifests.extend(children.admin.iter().flat_map(|child| with_objects(child, env)));
    manifests.extend(children.orch.iter().flat_map(|child| with_objects(child, env)));
    manifests.extend(children.cells.iter().flat_map(|child| with_objects(child, env)));
    manifests.extend(children.shards.iter().flat_map(|child| with_objects(child, env)));
    manifests
}

/// The children themselves.
pub fn manifests(children: &Children) -> Vec<Manifest> {
    let mut manifests = Vec::new();
    manifests.extend(children.topo_server.iter().map(Manifest::new));
    manifests.extend(children.admin.iter().map(Manifest::new));
    manifests.extend(children.orch.iter().map(Manifest::new));
    manifests.extend(children.cells.iter().map(Manifest::new));
    manifests.extend(children.shards.iter().map(Manifest::new));
    manifests
}

fn with_objects<K>(child: &K, env: &Environment) -> Vec<Manifest>
where
    K: Build + Resource<DynamicType = ()> + Serialize,
{
    let mut manifests = vec![Manifest::new(child)];
    manifests.extend(child.build(env));
    manifests
}
