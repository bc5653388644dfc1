//! What surrounds every request: its connection hears when a handler has it and when
//! it is answered, and a handler that panics answers 500 instead of nothing.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use actix_web::body::MessageBody;
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::error::PayloadError;
use actix_web::middleware::Next;
use actix_web::{HttpMessage, web};
use bytes::Bytes;
use futures_util::{FutureExt, Stream};

use crate::routes::Api;
use crate::routes::problem::{Kind, Problem};

use super::room::Connection;

/// Middleware: see the module.
pub async fn attended<B: MessageBody>(
    mut request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, actix_web::Error> {
    let _work = request.conn_data::<Connection>().cloned().map(|connection| {
        let payload = request.take_payload();
        let has_body = !matches!(payload, Payload::None);
        if has_body {
            request
                .set_payload(Payload::Stream { payload: Box::pin(Body { payload, connection: connection.clone() }) });
        }
        connection.works(has_body)
    });
    let metrics = request.app_data::<web::Data<Api>>().map(|api| api.metrics.clone());
    match AssertUnwindSafe(next.call(request)).catch_unwind().await {
        Ok(answer) => answer,
        // What it said and where it happened, the panic's hook has printed. Nothing is
        // shared with other requests but what the journal and the store hold, which
        // are not left half changed by it.
        Err(_) => {
            log::error!("a handler panicked, which is a bug of posthaste's: please report it");
            if let Some(metrics) = metrics {
                metrics.request_panics.inc();
            }
            let problem = Problem::new(Kind::Internal, "look whether it took effect before you send it again");
            Err(problem.into())
        }
    }
}

/// A request's body, of which the connection hears when it ends.
struct Body {
    payload: Payload,
    connection: Connection,
}

impl Stream for Body {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let piece = Pin::new(&mut self.payload).poll_next(context);
        if matches!(piece, Poll::Ready(None | Some(Err(_)))) {
            self.connection.has_body();
        }
        piece
    }
}

impl Drop for Body {
    /// Whoever had no use for it may have left it unread although all of it had come.
    fn drop(&mut self) {
        let mut context = Context::from_waker(Waker::noop());
        // What has come and was not read is little: more is not taken before.
        while let Poll::Ready(piece) = Pin::new(&mut self.payload).poll_next(&mut context) {
            if !matches!(piece, Some(Ok(_))) {
                self.connection.has_body();
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use actix_web::middleware::from_fn;
    use actix_web::test::{TestRequest, call_service, init_service};
    use actix_web::{App, HttpResponse, ResponseError};

    use super::*;

    #[actix_rt::test]
    async fn a_panic_is_answered() {
        async fn broken() -> HttpResponse {
            panic!("this handler is broken")
        }
        let routes = App::new().wrap(from_fn(attended)).route("/", web::get().to(broken));
        let server = init_service(routes).await;
        let answered = actix_web::dev::Service::call(&server, TestRequest::get().uri("/").to_request()).await;
        let error = answered.expect_err("no handler has answered");
        let answer = error.as_error::<Problem>().expect("it is a problem").error_response();
        assert_eq!(answer.status(), 500);
        // And the next one is served as before.
        let next = call_service(&server, TestRequest::get().uri("/nowhere").to_request()).await;
        assert_eq!(next.status(), 404);
    }
}
