//! Connections that fall silent.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// A stream that cannot be read any more once nothing has arrived for a while.
///
/// Its timer is moved only when it goes off: to move one wakes the runtime by a system call, which at each read, as
/// `tokio-io-timeout` does it, costs more than a small review.
#[derive(Debug)]
pub(super) struct Listened<S> {
    stream: S,
    idle: Duration,
    heard: Instant,
    alarm: Pin<Box<Sleep>>,
}

impl<S> Listened<S> {
    /// Gives the other side that long to say something, again and again.
    pub(super) fn new(stream: S, idle: Duration) -> Self {
        Self { stream, idle, heard: Instant::now(), alarm: Box::pin(sleep(idle)) }
    }

    fn fell_silent(&mut self, cx: &mut Context<'_>) -> bool {
        while self.alarm.as_mut().poll(cx).is_ready() {
            let end = self.heard + self.idle;
            if end <= Instant::now() {
                return true;
            }
            self.alarm.as_mut().reset(end);
        }
        false
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Listened<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if read.is_ready() {
            self.heard = Instant::now();
        } else if self.fell_silent(cx) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Listened<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, data)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, data)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::time::advance;

    use super::*;

    const IDLE: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn who_goes_on_talking_is_listened_to() {
        let (mut client, server) = duplex(8);
        let mut server = Listened::new(server, IDLE);
        for _ in 0..5 {
            let begun = Instant::now();
            let later = async {
                tokio::time::sleep(IDLE * 9 / 10).await;
                client.write_u8(1).await.unwrap();
            };
            let (read, ()) = tokio::join!(server.read_u8(), later);
            assert_eq!((read.unwrap(), begun.elapsed()), (1, IDLE * 9 / 10));
        }
        let begun = Instant::now();
        assert_eq!(server.read_u8().await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(begun.elapsed(), IDLE);
    }

    /// Bytes that have arrived are read, however long nobody asked for them.
    #[tokio::test(start_paused = true)]
    async fn what_was_said_is_heard() {
        let (mut client, server) = duplex(8);
        let mut server = Listened::new(server, IDLE);
        client.write_u8(1).await.unwrap();
        advance(IDLE * 2).await;
        assert_eq!(server.read_u8().await.unwrap(), 1);
        server.write_u8(2).await.unwrap();
        assert_eq!(client.read_u8().await.unwrap(), 2);
    }
}
