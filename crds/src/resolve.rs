//! From an admitted cluster to its children: every default applied, everything inherited filled in.
//!
//! Pure and total: admission, the controllers, `validate` and `render` call the same functions, on manifests of any
//! content.

mod children;
mod objects;
mod pools;

pub use children::{
    Children, cell_root, children, children_without_shards, global_members, global_topology,
    section_is_managed, shards, topology_is_managed,
};
pub use objects::{Source, each_child, each_object};
pub use pools::{ContainerRef, MemberRef, Origin, PoolSource, TableGroupSource, key_ranges, table_groups};
