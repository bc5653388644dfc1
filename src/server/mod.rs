//! The way in from the network: who may connect, how long they may take, and TLS.
//! What is asked is the routes' affair. actix-web's own server would do for friendly
//! clients, but it times only the first head of a connection, and so each connection
//! goes through [`stream`] here.

mod progress;
mod requests;
mod room;
mod stream;
mod tls;

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use actix_http::body::MessageBody;
use actix_http::error::DispatchError;
use actix_http::{HttpService, KeepAlive, Protocol, Request, Response};
use actix_rt::net::TcpStream;
use actix_rt::time::timeout;
use actix_server::{GracefulShutdownSignal, Server, ServerBuilder};
use actix_service::{IntoServiceFactory, Service, ServiceFactory, ServiceFactoryExt, fn_service, map_config};
use actix_web::dev::AppConfig;
use futures_util::future::{Either, poll_fn, select};
use tokio_rustls::TlsAcceptor;

use crate::clock::Clock;
use crate::metrics::Metrics;

pub use progress::ConnectionLimits;
pub use requests::attended;
pub use room::Connection;
use room::{Room, Stay};
use stream::{LINGER, Socket, Watched};
pub use tls::{CertificateError, Certificates, read_certificates};

/// Threads that actix-server has at most.
const MOST_WORKERS: usize = 512;
/// Of a thread's connections, one in so many is kept free for who comes next.
const KEPT_FREE: usize = 16;

/// How connections are taken.
#[derive(Clone)]
pub struct ServerOptions {
    /// Threads that serve.
    pub workers: usize,
    /// Connections over all of them. Beyond it, new ones wait until one ends.
    pub max_connections: usize,
    /// What each may take.
    pub limits: ConnectionLimits,
    /// How long open requests get when the server stops.
    pub shutdown_timeout: Duration,
    /// Certificates, where connections are encrypted.
    pub certificates: Option<Certificates>,
    /// The time.
    pub clock: Clock,
    /// The counters.
    pub metrics: Arc<Metrics>,
}

/// Serves an application on a listener. To be called on an actix system; the server
/// runs while the answer is polled.
pub fn serve<F, I, S, B>(listener: TcpListener, options: ServerOptions, application: F) -> io::Result<Server>
where
    F: Fn() -> I + Send + Clone + 'static,
    I: IntoServiceFactory<S, Request>,
    S: ServiceFactory<Request, Config = AppConfig> + 'static,
    S::Error: Into<actix_web::Error> + 'static,
    S::InitError: fmt::Debug,
    S::Response: Into<Response<B>> + 'static,
    S::Service: 'static,
    <S::Service as Service<Request>>::Future: 'static,
    B: MessageBody + 'static,
{
    let address = listener.local_addr()?;
    let workers = options.workers.clamp(1, MOST_WORKERS);
    // Each thread has its share, since connections do not move between threads.
    let share = options.max_connections.div_ceil(workers).max(2);
    let builder = ServerBuilder::new()
        .workers(workers)
        .max_concurrent_connections(share)
        .disable_signals()
        .shutdown_timeout(options.shutdown_timeout.as_secs());
    let stopping = builder.graceful_shutdown_signal();
    let builder = builder.listen("api", listener, move || {
        let stopping = stopping.clone();
        let door = Rc::new(Door::new(&options, share - (share / KEPT_FREE).max(1), stopping.clone()));
        let routes = application().into_factory().map_err(|error| error.into().error_response());
        let http = HttpService::build()
            .graceful_shutdown_signal(move || {
                let stopping = stopping.clone();
                async move { stopping.notified().await }
            })
            // Heads and idle connections are timed by the stream.
            .keep_alive(KeepAlive::Os)
            .client_request_timeout(Duration::ZERO)
            .client_disconnect_timeout(LINGER)
            .local_addr(address)
            .on_connect_ext(|stream: &Watched, data| {
                data.insert(stream.connection());
            })
            .finish(map_config(routes, |()| AppConfig::default()));
        fn_service(move |socket: TcpStream| {
            let door = Rc::clone(&door);
            async move { door.admit(socket).await.map_err(DispatchError::Io) }
        })
        .and_then(http)
    })?;
    Ok(builder.run())
}

/// Where the connections of one thread come in.
struct Door {
    room: Room,
    tls: Option<TlsAcceptor>,
    handshake_timeout: Duration,
    /// Whoever has asked for nothing yet is not waited for.
    stopping: GracefulShutdownSignal,
    metrics: Arc<Metrics>,
}

impl Door {
    fn new(options: &ServerOptions, most: usize, stopping: GracefulShutdownSignal) -> Self {
        Self {
            room: Room::new(options.limits.clone(), most, options.clock.clone(), Arc::clone(&options.metrics)),
            tls: options.certificates.as_ref().map(|certificates| TlsAcceptor::from(certificates.config())),
            handshake_timeout: options.limits.head_timeout,
            stopping,
            metrics: Arc::clone(&options.metrics),
        }
    }

    async fn admit(&self, socket: TcpStream) -> io::Result<(Watched, Protocol, Option<SocketAddr>)> {
        let stay = self.room.enter();
        let peer = socket.peer_addr().ok();
        if let Err(error) = socket.set_nodelay(true) {
            log::debug!("a connection has gone before it came in: {error}");
        }
        let socket = match &self.tls {
            None => Socket::Plain(socket),
            Some(tls) => self.shake_hands(tls, socket, &stay).await?,
        };
        Ok((Watched::new(socket, stay), Protocol::Http1, peer))
    }

    async fn shake_hands(&self, tls: &TlsAcceptor, socket: TcpStream, stay: &Stay) -> io::Result<Socket> {
        let connection = stay.connection();
        let is_to_go = poll_fn(|context| {
            connection.wakes(context);
            if connection.is_gone() { Poll::Ready(()) } else { Poll::Pending }
        });
        let stopping = self.stopping.clone();
        let stops = std::pin::pin!(async move { stopping.notified().await });
        let shaken = timeout(self.handshake_timeout, tls.accept(socket));
        match select(std::pin::pin!(shaken), select(is_to_go, stops)).await {
            Either::Left((Ok(Ok(stream)), _)) => Ok(Socket::Tls(Box::new(stream))),
            Either::Left((Ok(Err(error)), _)) => {
                self.metrics.count_closed("handshake");
                log::debug!("a TLS handshake failed: {error}");
                Err(error)
            }
            Either::Left((Err(_), _)) => {
                self.metrics.count_closed("slow_handshake");
                Err(io::ErrorKind::TimedOut.into())
            }
            Either::Right(_) => Err(io::ErrorKind::ConnectionAborted.into()),
        }
    }
}
