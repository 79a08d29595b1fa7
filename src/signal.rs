//! Signals that ask the process to end.

use std::io;

use tokio::signal::unix::{SignalKind, signal};

/// Waits for SIGTERM, which the kubelet sends, or SIGINT, which a terminal does. From the call on neither ends the
/// process by itself.
pub fn termination() -> io::Result<impl Future<Output = ()> + Send> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

#[cfg(test)]
mod tests {
    use std::process::{Command, id};

    use super::*;

    #[tokio::test]
    async fn the_kubelet_and_a_terminal_can_end_the_process() {
        for name in ["-TERM", "-INT"] {
            let asked = termination().unwrap();
            assert!(Command::new("kill").args([name, &id().to_string()]).status().unwrap().success());
            asked.await;
        }
    }
}
