//! The revision of the pod templates.

use multigres_crds::defaults::{FIRST_WORKLOAD_REVISION, WORKLOAD_REVISION};

use super::{ChildContext, ClusterContext, Reporter, rule};
use crate::path::Path;
use crate::report::Reason;

const PATH: Path<'static> = Path::new("spec.workloadRevision");

rule!(
    /// The revision of the pod templates is one that this operator builds.
    C24 since "0.1.0" = cluster: revision_is_built, child: revision_of_child_is_built
);

fn revision_is_built(cx: &ClusterContext<'_>, report: &mut Reporter<'_>) {
    check(&PATH, cx.new.spec().workload_revision, report);
}

fn revision_of_child_is_built(cx: &ChildContext<'_>, report: &mut Reporter<'_>) {
    check(&Path::new("spec.pods.workloadRevision"), cx.new.spec.pods().workload_revision, report);
}

/// The schema refuses what is below the first.
fn check(path: &Path<'_>, revision: Option<i32>, report: &mut Reporter<'_>) {
    if let Some(revision) = revision.filter(|revision| *revision > WORKLOAD_REVISION) {
        let message = format!(
            "this operator builds no revision {revision}; write one of \
             {FIRST_WORKLOAD_REVISION} to {WORKLOAD_REVISION}, or upgrade the operator first"
        );
        report.error(path, Reason::Invalid, revision, message);
    }
}

rule!(
    /// A lower revision takes back what the higher one mends.
    W18 since "0.1.0" = cluster: lowered
);

fn lowered(cx: &ClusterContext<'_>, report: &mut Reporter<'_>) {
    let Some(old) = &cx.old else { return };
    let revision = |revision: Option<i32>| revision.unwrap_or(FIRST_WORKLOAD_REVISION);
    let (new, before) = (revision(cx.new.spec().workload_revision), revision(old.spec().workload_revision));
    if new < before {
        report.warn(format!(
            "workloadRevision {before} → {new} takes back what {before} mends: see docs/revisions.md"
        ));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{Edit, edit};
    use crate::validate::testing::{create, update};

    fn revision(revision: i32) -> Vec<Edit> {
        vec![edit("/spec", "/workloadRevision", json!(revision))]
    }

    #[test]
    fn revision_is_built() {
        let beyond = ["Invalid spec.workloadRevision"];
        create(
            "C24",
            &[
                (vec![], &[]),
                (revision(1), &[]),
                (revision(WORKLOAD_REVISION), &[]),
                (revision(WORKLOAD_REVISION + 1), &beyond),
            ],
        );
    }

    #[test]
    fn lowered() {
        update(
            "W18",
            &[
                (vec![], revision(2), &[]),
                (revision(2), vec![edit("/spec", "/restartedAt", json!("2026-01-02T03:04:05Z"))], &[]),
                (
                    revision(2),
                    revision(1),
                    &["workloadRevision 2 → 1 takes back what 2 mends: see docs/revisions.md"],
                ),
            ],
        );
    }
}
