//! A candidate's judgement of somebody else's Lease.

use tokio::time::Instant;

use super::DURATION;

/// State of the Lease as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// It does not exist.
    Missing,
    /// Its holder gave it up.
    GivenUp,
    /// It has a holder.
    Held {
        /// The holder.
        holder: String,
        /// The version of the object.
        version: Option<String>,
    },
}

/// The Lease as a candidate saw it last, and since when it has not changed.
///
/// A leader is alive as long as its Lease changes while we watch, on our own clock: the clocks of nodes need not agree.
#[derive(Debug, Default)]
pub(super) struct Sighting(Option<(Seen, Instant)>);

impl Sighting {
    /// Takes in what was read, and tells if the Lease may be taken.
    pub(super) fn may_take(&mut self, seen: Seen, own: &str, now: Instant) -> bool {
        let free = match &seen {
            Seen::GivenUp => true,
            Seen::Held { holder, .. } => holder == own,
            // Nobody was seen to lead.
            Seen::Missing if self.0.is_none() => return true,
            // It was deleted under a leader, who needs time to notice.
            Seen::Missing => false,
        };
        match &self.0 {
            Some((before, since)) if *before == seen => free || now.duration_since(*since) >= DURATION,
            _ => {
                self.0 = Some((seen, now));
                free
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn held(holder: &str, version: &str) -> Seen {
        Seen::Held { holder: holder.to_owned(), version: Some(version.to_owned()) }
    }

    /// Readings by seconds, and for each if the Lease may be taken then.
    fn judged(readings: &[(u64, Seen)]) -> Vec<bool> {
        let (mut sighting, begin) = (Sighting::default(), Instant::now());
        let judge = |(after, seen): &(u64, Seen)| {
            sighting.may_take(seen.clone(), "me", begin + Duration::from_secs(*after))
        };
        readings.iter().map(judge).collect()
    }

    #[test]
    fn a_lease_is_taken_once_it_has_not_changed_for_its_duration() {
        let seconds = DURATION.as_secs();
        let cases = [
            (
                "never renewed",
                vec![(0, held("a", "1")), (seconds - 1, held("a", "1")), (seconds, held("a", "1"))],
            ),
            ("renewed late", vec![(0, held("a", "1")), (14, held("a", "2")), (14 + seconds, held("a", "2"))]),
            ("deleted", vec![(0, held("a", "1")), (1, Seen::Missing), (1 + seconds, Seen::Missing)]),
        ];
        for (what, readings) in cases {
            let judged = judged(&readings);
            assert!(judged[..readings.len() - 1].iter().all(|free| !free), "{what}: {judged:?}");
            assert!(judged[readings.len() - 1], "{what}: {judged:?}");
        }
    }

    #[test]
    fn a_free_lease_is_taken_at_once() {
        for (what, readings) in [
            ("the first of all", vec![(0, Seen::Missing)]),
            ("given up", vec![(0, held("a", "1")), (1, Seen::GivenUp)]),
            ("our own, after an answer that was lost", vec![(0, held("a", "1")), (1, held("me", "2"))]),
        ] {
            assert_eq!(judged(&readings).last(), Some(&true), "{what}");
        }
    }
}
