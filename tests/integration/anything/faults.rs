//! Faults of the operator and of its way to the API server.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use strum::{IntoStaticStr, VariantArray};
use testbed::{Answer, Network, Proxy, Request};
use tokio::time::{sleep, timeout};

use super::objects::Requests;
use crate::installation::{Installation, NAMESPACE};

/// Time for which the network fails; shorter than leadership lasts without being renewed.
const OUTAGE: Duration = Duration::from_millis(700);
/// Longest time for which a write is waited for, between which and the one before it the operator is killed.
const WRITE: Duration = Duration::from_millis(1500);

/// One sort of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, VariantArray, IntoStaticStr)]
pub enum Fault {
    KillBetweenWrites,
    Conflict,
    TooManyRequests,
    InternalError,
    GatewayTimeout,
    LostAnswer,
    SlowAnswer,
    CutConnections,
    DroppedWatches,
    ExpiredWatches,
    NetworkStalls,
    ConnectionsRefused,
}

/// The operator and the proxy that it sees the API server through.
pub struct Operator {
    pub installation: Installation,
    pub proxy: Proxy,
    requests: Requests,
    injected: Mutex<Vec<(Fault, testbed::Fault)>>,
    /// Requests that earlier faults applied to.
    applied: Mutex<Vec<(Fault, usize)>>,
}

impl Operator {
    /// Has the operator of an installation go through a proxy from now on.
    pub async fn new(installation: Installation, requests: Requests) -> Self {
        installation.end_operator().await.unwrap();
        let proxy = Proxy::start(installation.operator_kubeconfig()).await.unwrap();
        installation.start_operator_with(proxy.kubeconfig()).await.unwrap();
        Self { installation, proxy, requests, injected: Mutex::default(), applied: Mutex::default() }
    }

    /// Begins a fault, of a strength from 0 to 9. `next` is what a user does meanwhile, so that there is something to
    /// write.
    pub async fn fail(&self, fault: Fault, strength: usize, next: impl Future<Output = ()>) {
        let times = 1 + strength / 2;
        match fault {
            Fault::KillBetweenWrites => {
                let count = AtomicUsize::new(strength);
                // Leadership is not to be lost: it is another test's matter.
                let held = self.proxy.inject(Answer::Stall, move |request| {
                    is_work(request)
                        && count
                            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1))
                            .is_err()
                });
                next.await;
                let _ = timeout(WRITE, held.hit(1)).await;
                self.installation.stop_operator();
                self.injected.lock().unwrap().push((fault, held));
                self.forget_faults();
                self.start().await;
                return;
            }
            Fault::Conflict => self.inject(fault, times, Answer::Status(409), is_work),
            Fault::TooManyRequests => self.inject(fault, times, Answer::TooManyRequests(1), is_work),
            Fault::InternalError => self.inject(fault, times, Answer::Status(500), is_work),
            Fault::GatewayTimeout => self.inject(fault, times, Answer::Status(504), is_any_work),
            Fault::LostAnswer => self.inject(fault, times, Answer::Lose, is_work),
            Fault::SlowAnswer => self.inject(fault, times, Answer::Delay(OUTAGE), is_any_work),
            Fault::ExpiredWatches => {
                self.inject(fault, times, Answer::Status(410), Request::is_watch);
                self.proxy.drop_watches();
            }
            Fault::DroppedWatches => self.proxy.drop_watches(),
            Fault::CutConnections => self.proxy.cut(),
            Fault::NetworkStalls | Fault::ConnectionsRefused => {
                let stalls = fault == Fault::NetworkStalls;
                self.proxy.set(if stalls { Network::Stall } else { Network::Refuse });
                next.await;
                sleep(OUTAGE).await;
                self.proxy.set(Network::Pass);
                self.applied.lock().unwrap().push((fault, 1));
                return;
            }
        }
        next.await;
        if matches!(fault, Fault::DroppedWatches | Fault::CutConnections) {
            self.applied.lock().unwrap().push((fault, 1));
        }
    }

    fn inject(
        &self,
        fault: Fault,
        times: usize,
        answer: Answer,
        applies: impl Fn(&Request) -> bool + Send + Sync + 'static,
    ) {
        self.injected.lock().unwrap().push((fault, self.proxy.inject_times(times, answer, applies)));
    }

    /// Ends all faults.
    pub fn forget_faults(&self) {
        let hits = std::mem::take(&mut *self.injected.lock().unwrap())
            .into_iter()
            .map(|(fault, injected)| (fault, injected.hits()));
        self.applied.lock().unwrap().extend(hits);
    }

    /// Interval at which to each fault applied since this was asked last.
    pub fn applied(&self) -> Vec<(Fault, usize)> {
        self.forget_faults();
        std::mem::take(&mut *self.applied.lock().unwrap())
    }

    /// Starts the operator again, as the kubelet would, if it has ended. True if it had.
    pub async fn revive(&self) -> bool {
        let ended = self.installation.operator_pid().is_none_or(|pid| {
            let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            state.is_empty() || state.contains(") Z ")
        });
        if ended {
            self.installation.stop_operator();
            self.start().await;
        }
        ended
    }

    async fn start(&self) {
        // The one that held it is dead, and nobody is to wait until that is noticed.
        let lease = format!("/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/multigres-operator");
        self.requests.delete(&lease, "Background").await;
        self.installation.start_operator_with(self.proxy.kubeconfig()).await.unwrap();
    }
}

/// A write that is not about leadership.
fn is_work(request: &Request) -> bool {
    request.is_write() && request.resource() != "leases"
}

/// The same, or a read of a single object.
fn is_any_work(request: &Request) -> bool {
    request.resource() != "leases" && !request.is_watch()
}
