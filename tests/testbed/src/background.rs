//! Work that goes on beside the tests.
//!
//! It has a thread and a runtime of its own: what is started for one test may be shared with others, each of which has
//! its own runtime, and the one that started it may be over first.

use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use anyhow::Context;
use tokio::sync::oneshot;

/// Goes on until it is dropped.
pub struct Background {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Background {
    /// Begins `work` on a thread of its own, and waits until it is prepared: until there is a future to run.
    pub fn start<F: Future<Output = ()>>(
        name: &str,
        work: impl FnOnce() -> anyhow::Result<F> + Send + 'static,
    ) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel::<()>();
        let (prepared, preparation) = mpsc::channel();
        let thread = thread::Builder::new().name(name.into()).spawn(move || {
            runtime.block_on(async {
                match work() {
                    Ok(work) => {
                        let _ = prepared.send(Ok(()));
                        tokio::select! {
                            () = work => {}
                            _ = stopped => {}
                        }
                    }
                    Err(error) => drop(prepared.send(Err(error))),
                }
            });
        })?;
        preparation.recv().context("the thread ended")??;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_ends_when_dropped_and_reports_what_prevents_it() {
        let (ended, end) = mpsc::channel::<()>();
        let background = Background::start("works", move || {
            Ok(async move {
                let _held_until_the_end = ended;
                std::future::pending::<()>().await;
            })
        });
        assert_eq!(end.try_recv(), Err(mpsc::TryRecvError::Empty));
        drop(background.unwrap());
        assert_eq!(end.try_recv(), Err(mpsc::TryRecvError::Disconnected));

        let refused = Background::start("fails", || -> anyhow::Result<std::future::Ready<()>> {
            anyhow::bail!("no rights")
        });
        assert_eq!(refused.err().unwrap().to_string(), "no rights");
    }
}
