//! The workloads that a child became, as far as they were observed.

use std::collections::BTreeMap;

use multigres_crds::v1alpha1::{RolloutStatus, Truth};

use crate::build::Manifest;
use crate::observe::{ObjectKey, Observed, Workload};

/// Observations of the objects that a child asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// Objects that are not there.
    pub missing: Vec<ObjectKey>,
    /// The workloads, those that are not there included, with the number of pods that are wanted.
    pub workloads: BTreeMap<ObjectKey, Workload>,
}

impl Survey {
    /// Looks each object up.
    pub fn of(manifests: &[Manifest], observed: impl Fn(&ObjectKey) -> Option<Observed>) -> Self {
        let mut survey = Self::default();
        for manifest in manifests {
            let key = manifest.key();
            let observed = observed(&key).filter(|observed| !observed.deleting);
            if matches!(key.kind.as_str(), "Deployment" | "StatefulSet") {
                let desired = manifest.body["spec"]["replicas"].as_i64().and_then(|n| i32::try_from(n).ok());
                let workload = observed.as_ref().map(|observed| observed.workload).unwrap_or_default();
                let wanted = Workload { desired: desired.unwrap_or(1), ..workload };
                survey.workloads.insert(key.clone(), wanted);
            }
            if observed.is_none() {
                survey.missing.push(key);
            }
        }
        survey
    }

    /// The workload of a name.
    pub fn workload(&self, name: &str) -> Workload {
        let found = self.workloads.iter().find(|(key, _)| key.name == name);
        found.map(|(_, workload)| *workload).unwrap_or_default()
    }

    /// Pods that are wanted.
    pub fn desired(&self) -> i32 {
        self.workloads.values().map(|workload| workload.desired).sum()
    }

    /// Pods that are ready, never more than are wanted.
    pub fn ready(&self) -> i32 {
        self.workloads.values().map(|workload| workload.ready.min(workload.desired)).sum()
    }

    /// True if each workload has a ready pod; unknown where none is wanted.
    pub fn available(&self) -> Truth {
        if self.desired() == 0 {
            return Truth::Unknown;
        }
        let wanted = self.workloads.values().filter(|workload| workload.desired > 0);
        wanted.map(|workload| workload.ready).all(|ready| ready > 0).into()
    }

    /// The first workload whose pods are not all ready, in words.
    pub fn not_ready(&self) -> Option<String> {
        let (key, workload) =
            self.workloads.iter().find(|(_, workload)| workload.ready < workload.desired)?;
        Some(format!("{} of {} pods of {key} are ready", workload.ready, workload.desired))
    }

    /// The first workload whose pods are not all of its current template, in words.
    pub fn not_rolled_out(&self) -> Option<String> {
        let (key, workload) = self.workloads.iter().find(|(_, workload)| !workload.rolled_out())?;
        Some(if workload.current {
            let updated = workload.updated.min(workload.desired);
            format!("{updated} of {} pods of {key} are up to date", workload.desired)
        } else {
            format!("{key} was changed and not looked at yet")
        })
    }

    /// Progress of a change of the pods; none if no change is under way.
    pub fn rollout(&self, waiting_for: Option<String>) -> Option<RolloutStatus> {
        if self.workloads.values().all(Workload::rolled_out) {
            return None;
        }
        let of_current = self.workloads.values().filter(|workload| workload.current);
        let updated = of_current.map(|workload| workload.updated.min(workload.desired)).sum();
        Some(RolloutStatus { updated, total: self.desired(), waiting_for })
    }
}
