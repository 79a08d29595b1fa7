//! Faults of single requests.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::Request;

/// Answer to a request that a fault applies to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The API server's own: the fault only counts.
    Pass,
    /// A `Status` with this code; the request does not reach the API server.
    Status(u16),
    /// 429 with `Retry-After` in seconds; the request does not reach the API server.
    TooManyRequests(u64),
    /// The API server's own, after a while.
    Delay(Duration),
    /// None while the fault lasts. [`Fault::release`] passes the request on; dropping the fault breaks its connection.
    Stall,
    /// The connection breaks before the request reaches the API server.
    Cut,
    /// The connection breaks after the API server has done what was asked.
    Lose,
}

/// A fault that is injected until it is dropped.
pub struct Fault(Arc<Rule>);

/// A request that is held by [`Answer::Stall`] follows this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hold {
    Held,
    Released,
    Broken,
}

struct Rule {
    answer: Answer,
    applies: Box<dyn Fn(&Request) -> bool + Send + Sync>,
    /// Requests that it still applies to, or any number.
    left: Option<AtomicUsize>,
    hits: watch::Sender<usize>,
    hold: watch::Sender<Hold>,
}

/// All faults of a proxy.
pub(super) struct Faults {
    rules: Mutex<Vec<Arc<Rule>>>,
    /// Increased to end all watches.
    dropped_watches: watch::Sender<u64>,
}

/// A fault that is about to happen to a request.
pub(super) struct Decision(Option<Arc<Rule>>);

impl Fault {
    /// Number of requests it applied to so far.
    pub fn hits(&self) -> usize {
        *self.0.hits.borrow()
    }

    /// Waits until it has applied to so many requests.
    pub async fn hit(&self, times: usize) {
        // The sender is held by the rule.
        let _ = self.0.hits.subscribe().wait_for(|hits| *hits >= times).await;
    }

    /// Lets requests that are held go on, and applies to no further ones.
    pub fn release(&self) {
        self.0.hold.send_replace(Hold::Released);
    }
}

impl Drop for Fault {
    fn drop(&mut self) {
        self.0.hold.send_if_modified(|hold| {
            let held = *hold == Hold::Held;
            if held {
                *hold = Hold::Broken;
            }
            held
        });
    }
}

impl Rule {
    fn is_over(&self) -> bool {
        *self.hold.borrow() != Hold::Held
    }

    /// Counts the request if it is to have the fault.
    fn takes(&self, request: &Request) -> bool {
        let wanted = !self.is_over() && (self.applies)(request);
        let one_less = |left: &AtomicUsize| {
            left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
        };
        let taken = wanted && self.left.as_ref().is_none_or(one_less);
        if taken {
            self.hits.send_modify(|hits| *hits += 1);
        }
        taken
    }
}

impl Default for Faults {
    fn default() -> Self {
        Self { rules: Mutex::default(), dropped_watches: watch::Sender::new(0) }
    }
}

impl Faults {
    pub fn inject(
        &self,
        answer: Answer,
        times: Option<usize>,
        applies: impl Fn(&Request) -> bool + Send + Sync + 'static,
    ) -> Fault {
        let rule = Arc::new(Rule {
            answer,
            applies: Box::new(applies),
            left: times.map(AtomicUsize::new),
            hits: watch::Sender::new(0),
            hold: watch::Sender::new(Hold::Held),
        });
        let mut rules = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
        rules.retain(|rule| !rule.is_over());
        rules.push(Arc::clone(&rule));
        Fault(rule)
    }

    /// The fault of a request: the first that applies. Those that only count do not keep others from applying.
    pub fn decide(&self, request: &Request) -> Decision {
        let rules = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
        let applying = rules.iter().find(|rule| rule.takes(request) && rule.answer != Answer::Pass);
        Decision(applying.cloned())
    }

    pub fn drop_watches(&self) {
        self.dropped_watches.send_modify(|dropped| *dropped += 1);
    }

    /// Ends when watches that have begun are to be dropped.
    pub fn watches_dropped(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut dropped = self.dropped_watches.subscribe();
        async move {
            if dropped.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

impl Decision {
    pub fn answer(&self) -> Answer {
        self.0.as_ref().map_or(Answer::Pass, |rule| rule.answer)
    }

    /// Waits until a held request is let go; true if it is to be passed on.
    pub async fn released(&self) -> bool {
        let Some(rule) = &self.0 else { return true };
        let mut hold = rule.hold.subscribe();
        hold.wait_for(|hold| *hold != Hold::Held).await.is_ok_and(|hold| *hold == Hold::Released)
    }
}
