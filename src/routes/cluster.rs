//! `POST /cluster/hints`: what other nodes of the cluster tell this one. Nobody's
//! key opens it, only the token that the nodes share; where there is none, there
//! is no such route. What the hints are good for is the engine's affair.

use std::sync::Arc;

use actix_web::http::Method;
use actix_web::http::header::AUTHORIZATION;
use actix_web::{HttpRequest, HttpResponse, web};

use crate::auth::hash_key;
use crate::cluster::{DecodeError, HINTS_BYTES_MAX, Hint, decode};
use crate::metrics::Metrics;
use crate::routes::problem::{Answer, Kind, Problem};
use crate::routes::{Api, extract, no_such_route, not_the_method};

/// Who may bring hints, and where they go.
#[derive(Clone)]
pub struct HintsIn {
    token_hash: [u8; 32],
    deliver: Arc<dyn Fn(Vec<Hint>) + Send + Sync>,
}

impl HintsIn {
    /// Takes hints from whoever knows the token. `deliver` is called on a thread
    /// that serves requests, so it must not wait.
    pub fn new(token: &str, deliver: Arc<dyn Fn(Vec<Hint>) + Send + Sync>) -> Self {
        Self { token_hash: hash_key(token), deliver }
    }
}

/// The route as a node has it, for every method.
pub(super) async fn hints(api: web::Data<Api>, request: HttpRequest, payload: web::Payload) -> Answer {
    receive(api.hints.as_ref(), &api.metrics, &request, payload).await
}

/// What the route does, given all that it needs.
pub async fn receive(
    hints_in: Option<&HintsIn>,
    metrics: &Metrics,
    request: &HttpRequest,
    mut payload: web::Payload,
) -> Answer {
    let Some(hints_in) = hints_in else { return Err(no_such_route(request)) };
    if request.method() != Method::POST {
        return Err(not_the_method(request, "POST"));
    }
    authorize(hints_in, request)?;
    let body =
        extract::body(request, &mut payload, &["application/json"], "cluster_hints_bytes", HINTS_BYTES_MAX).await?;
    let hints = decode(&body)?;
    metrics.node_hints_received.inc_by(hints.len() as u64);
    if !hints.is_empty() {
        (hints_in.deliver)(hints);
    }
    Ok(HttpResponse::NoContent().finish())
}

/// Refuses whoever does not know the token.
pub(super) fn authorize(hints_in: &HintsIn, request: &HttpRequest) -> Result<(), Problem> {
    let header = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = header.and_then(extract::bearer).ok_or_else(|| {
        Problem::new(Kind::Unauthorized, "send the token of the cluster as `Authorization: Bearer TOKEN`")
    })?;
    // Hashes are compared, so that the time it takes tells nothing about how
    // much of a guess was right.
    if hash_key(token) != hints_in.token_hash {
        return Err(Problem::new(
            Kind::Unauthorized,
            "this is not the token of the cluster; every node must be started with the same one",
        ));
    }
    Ok(())
}

impl From<DecodeError> for Problem {
    fn from(error: DecodeError) -> Self {
        match error {
            DecodeError::NotJson(_) => Self::new(Kind::InvalidJson, error.to_string()),
            DecodeError::NotHints(_) => Self::new(Kind::Invalid, error.to_string()),
        }
    }
}
