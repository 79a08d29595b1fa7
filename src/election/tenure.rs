//! The time for which a replica leads, judged on its own monotonic clock.

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::DEADLINE;

/// The leader's account of its time; it closes the fence when it is dropped.
#[derive(Debug)]
pub(super) struct Tenure(watch::Sender<Option<Instant>>);

impl Tenure {
    pub(super) fn none() -> Self {
        Self(watch::Sender::new(None))
    }

    /// The Lease was written by a request that was begun at this time. Others count from later: from when they see what
    /// was written.
    pub(super) fn renewed(&self, begun: Instant) {
        self.0.send_replace(Some(begun + DEADLINE));
    }

    /// The end of leadership, unless the Lease is renewed before; nothing without leadership.
    pub(super) fn until(&self) -> Option<Instant> {
        *self.0.borrow()
    }

    /// Leadership is over.
    pub(super) fn end(&self) {
        self.0.send_replace(None);
    }

    pub(super) fn fence(&self) -> Fence {
        Fence(self.0.subscribe())
    }
}

/// Tells those who write when leadership ends. It closes by the clock alone, whatever else is stuck.
#[derive(Clone, Debug)]
pub struct Fence(watch::Receiver<Option<Instant>>);

impl Fence {
    /// True if this replica leads now.
    pub fn is_open(&self) -> bool {
        self.0.has_changed().is_ok() && self.0.borrow().is_some_and(|until| Instant::now() < until)
    }

    /// Waits until this replica does not lead.
    pub async fn closed(mut self) {
        loop {
            let until = *self.0.borrow_and_update();
            let Some(until) = until.filter(|until| Instant::now() < *until) else { return };
            tokio::select! {
                () = sleep_until(until) => {}
                changed = self.0.changed() => if changed.is_err() { return },
            }
        }
    }
}

/// Opens and closes a fence in tests of those who use it.
#[cfg(test)]
pub(crate) struct FenceGate(Tenure);

#[cfg(test)]
impl FenceGate {
    pub(crate) fn open(&self) {
        self.0.renewed(Instant::now());
    }

    pub(crate) fn close(&self) {
        self.0.end();
    }
}

#[cfg(test)]
impl Fence {
    pub(crate) fn for_tests() -> (Self, FenceGate) {
        let tenure = Tenure::none();
        (tenure.fence(), FenceGate(tenure))
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_fence_closes_by_the_clock_alone() {
        let tenure = Tenure::none();
        let fence = tenure.fence();
        assert!(!fence.is_open());
        let begun = Instant::now();
        tenure.renewed(begun);
        advance(DEADLINE / 2).await;
        assert!(fence.is_open());
        fence.clone().closed().await;
        assert_eq!(begun.elapsed(), DEADLINE);
        assert!(!fence.is_open());
    }

    #[tokio::test(start_paused = true)]
    async fn a_renewal_keeps_the_fence_open_and_an_end_closes_it_at_once() {
        let tenure = Tenure::none();
        let begun = Instant::now();
        tenure.renewed(begun);
        let closed = tenure.fence().closed();
        tokio::pin!(closed);
        advance(DEADLINE * 9 / 10).await;
        tenure.renewed(Instant::now());
        advance(DEADLINE * 9 / 10).await;
        assert!(closed.as_mut().now_or_never().is_none());
        tenure.end();
        closed.await;
        assert_eq!(begun.elapsed(), DEADLINE * 9 / 10 * 2);
    }

    #[tokio::test]
    async fn without_a_leader_to_renew_it_the_fence_is_closed() {
        let tenure = Tenure::none();
        tenure.renewed(Instant::now());
        let fence = tenure.fence();
        assert!(fence.is_open());
        drop(tenure);
        assert!(!fence.is_open());
        fence.closed().await;
    }
}
