//! Connections: accepted up to a bound, read within limits, ended when the agent drains.

use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware::from_fn;
use axum::serve::Listener;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::host::only_loopback;
use super::listen::{SocketFile, listen_on};
use super::routes::{public, router};
use super::{ListenError, LoopbackAddr, Source};

/// Connections served at once, per listener; more wait in the kernel's queue.
const CONNECTIONS: usize = 64;
/// How long a client may take to send the head of a request, and to send the next one.
const HEAD_TIME: Duration = Duration::from_secs(5);
/// Bytes of a request's head.
const HEAD_SIZE: usize = 16 * 1024;
/// Headers of a request.
const HEADERS: usize = 64;
/// How long connections may take to end once the agent drains.
const DRAIN_TIME: Duration = Duration::from_secs(2);

/// The API, listening and not yet answering.
#[derive(Debug)]
pub struct Server {
    unix: UnixListener,
    tcp: Option<TcpListener>,
    public: Option<TcpListener>,
    /// Goes away last, with the socket file.
    _file: SocketFile,
}

impl Server {
    /// Listens on the unix socket `socket` for root alone, on `api` where given, and with metrics and health alone on
    /// `metrics` where given. Needs a tokio runtime.
    ///
    /// # Errors
    /// [`ListenError`] where a place is taken or the system refuses.
    pub async fn bind(
        socket: &Path,
        api: Option<LoopbackAddr>,
        metrics: Option<SocketAddr>,
    ) -> Result<Self, ListenError> {
        let tcp = bound(api.map(LoopbackAddr::get)).await?;
        let public = bound(metrics).await?;
        let (unix, file) = listen_on(socket)?;
        Ok(Self { unix, tcp, public, _file: file })
    }

    /// The TCP address that is listened on; it tells the port where 0 was asked for.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.tcp.as_ref().and_then(|tcp| tcp.local_addr().ok())
    }

    /// Where metrics and health are told; as above.
    #[must_use]
    pub fn metrics(&self) -> Option<SocketAddr> {
        self.public.as_ref().and_then(|tcp| tcp.local_addr().ok())
    }

    /// Answers from `source` until `drain` ends, and then for no longer than two seconds: streams end at once,
    /// requests that are being answered are completed. The socket file is removed.
    pub async fn run(self, source: Arc<dyn Source>, drain: impl Future<Output = ()>) {
        let (start_draining, draining) = watch::channel(false);
        let app = router(source.clone(), draining.clone());
        let metrics = public(source, draining.clone());
        let unix = accept(self.unix, app.clone(), draining.clone());
        let tcp = async {
            if let Some(tcp) = self.tcp {
                accept(tcp, app.layer(from_fn(only_loopback)), draining.clone()).await;
            }
        };
        let public = async {
            if let Some(tcp) = self.public {
                accept(tcp, metrics, draining.clone()).await;
            }
        };
        let drain = async {
            drain.await;
            start_draining.send_replace(true);
        };
        tokio::join!(unix, tcp, public, drain);
    }
}

async fn bound(address: Option<SocketAddr>) -> Result<Option<TcpListener>, ListenError> {
    let Some(address) = address else { return Ok(None) };
    let listener = TcpListener::bind(address).await;
    listener.map(Some).map_err(|source| ListenError::Refused { place: address.to_string(), source })
}

/// Answers the requests of one connection over `io` from `source`, with the limits of a listener; as the one on TCP
/// does where `tcp` is set. For whoever has a stream and no socket, as the fuzz target.
pub async fn converse<L>(io: L, source: Arc<dyn Source>, tcp: bool)
where
    L: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (_never, draining) = watch::channel(false);
    let app = router(source, draining.clone());
    let app = if tcp { app.layer(from_fn(only_loopback)) } else { app };
    answer(io, app, draining).await;
}

async fn accept<L: Listener>(mut listener: L, app: Router, mut draining: watch::Receiver<bool>) {
    let mut open = JoinSet::new();
    loop {
        tokio::select! {
            () = until(&mut draining) => break,
            Some(_) = open.join_next() => {}
            (io, _) = listener.accept(), if open.len() < CONNECTIONS => {
                open.spawn(answer(io, app.clone(), draining.clone()));
            }
        }
    }
    drop(listener);
    // What has not ended by then is cut with the set.
    let _ = tokio::time::timeout(DRAIN_TIME, async { while open.join_next().await.is_some() {} }).await;
}

/// Answers the requests of one connection. A client that breaks off or sends no HTTP ends only itself.
async fn answer<L>(io: L, app: Router, mut draining: watch::Receiver<bool>)
where
    L: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(HEAD_SIZE)
        .max_headers(HEADERS)
        .serve_connection(TokioIo::new(io), TowerToHyperService::new(app));
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = until(&mut draining) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "an API client broke off");
    }
}

/// Waits until the agent drains, which a server that is gone means too.
pub(super) async fn until(draining: &mut watch::Receiver<bool>) {
    let _ = draining.wait_for(|draining| *draining).await;
}
