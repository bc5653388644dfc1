//! The API, asked from inside: the same routes that are served outside, called without
//! a socket. So what a page may show and what a form may do is decided where it is for
//! everybody, with the same limits, the same answers and the same audit entries.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;

use actix_http::Request;
use actix_service::{IntoServiceFactory as _, Service as _, ServiceFactory as _};
use actix_web::body::{BoxBody, to_bytes};
use actix_web::dev::{AppConfig, Payload, ServiceResponse};
use actix_web::http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue};
use actix_web::http::{Method, Uri};
use actix_web::{App, HttpMessage as _, web};
use bytes::Bytes;
use futures_util::stream;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::auth::Pass;
use crate::routes::{self, Api};

type Answered = Pin<Box<dyn Future<Output = Result<ServiceResponse<BoxBody>, actix_web::Error>>>>;

/// The routes of one thread.
#[derive(Clone)]
pub struct Inside(Rc<dyn Fn(Request) -> Answered>);

/// Whatever the API did not do, in its own words.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Trouble {
    /// The HTTP status.
    pub status: u16,
    /// Its kind, for people.
    pub title: String,
    /// How to mend it.
    pub detail: String,
    /// Where in what was sent.
    #[serde(default)]
    pub errors: Vec<FieldTrouble>,
}

/// One field that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct FieldTrouble {
    /// Where in the body.
    pub pointer: String,
    /// What was expected.
    pub detail: String,
}

impl Trouble {
    /// A fault of the dashboard's own.
    pub fn internal(detail: impl Into<String>) -> Self {
        let title = "Something went wrong on our side".to_owned();
        Self { status: 500, title, detail: detail.into(), errors: Vec::new() }
    }

    /// What a role may not do; `who` says which may.
    pub fn not_allowed(who: impl Into<String>) -> Self {
        Self { status: 403, title: "Not allowed".to_owned(), detail: who.into(), errors: Vec::new() }
    }

    /// A page that is not there.
    pub fn not_found(detail: impl Into<String>) -> Self {
        let title = "There is no such thing".to_owned();
        Self { status: 404, title, detail: detail.into(), errors: Vec::new() }
    }
}

/// What is asked of the API.
pub struct Call<'a> {
    /// How.
    pub method: Method,
    /// Where, encoded, with its query.
    pub uri: &'a str,
    /// A JSON body.
    pub body: Option<Bytes>,
    /// By whom.
    pub pass: Pass,
    /// What makes it the same when it comes again.
    pub once: Option<&'a str>,
    /// From where: the audit log names it.
    pub peer: Option<SocketAddr>,
}

impl Inside {
    /// The routes, ready to be asked on this thread.
    pub async fn build(api: web::Data<Api>) -> Result<Self, String> {
        let app = App::new().app_data(api).wrap(routes::all_errors_are_problems()).configure(routes::configure);
        let built = app.into_factory().new_service(AppConfig::default()).await;
        let service = built.map_err(|()| "the routes cannot be built".to_owned())?;
        Ok(Self(Rc::new(move |request| Box::pin(service.call(request)))))
    }

    /// Asks, and reads the answer's body.
    pub async fn call(&self, call: Call<'_>) -> Result<Bytes, Trouble> {
        let unreadable = |error: String| {
            log::error!("the dashboard cannot ask for `{}`: {error}", call.method);
            Trouble::internal("the dashboard could not ask the API for this; the log says more")
        };
        let uri: Uri = call.uri.parse().map_err(|_| Trouble::not_found("this is not the address of anything"))?;
        let payload: Payload = match &call.body {
            None => Payload::None,
            Some(body) => {
                let body = body.clone();
                Payload::Stream { payload: Box::pin(stream::once(async move { Ok(body) })) }
            }
        };
        let mut request = Request::with_payload(payload);
        {
            let head = request.head_mut();
            head.method = call.method.clone();
            head.uri = uri;
            head.peer_addr = call.peer;
            if let Some(body) = &call.body {
                head.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                head.headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
            }
            if let Some(once) = call.once.and_then(|once| HeaderValue::from_str(once).ok()) {
                head.headers.insert(HeaderName::from_static("idempotency-key"), once);
            }
        }
        request.extensions_mut().insert(call.pass);
        let answer = (self.0)(request).await.map_err(|error| unreadable(error.to_string()))?;
        let status = answer.status();
        let body = to_bytes(answer.into_body()).await.map_err(|error| unreadable(error.to_string()))?;
        if status.is_success() {
            return Ok(body);
        }
        Err(serde_json::from_slice(&body).unwrap_or_else(|_| Trouble {
            status: status.as_u16(),
            title: status.canonical_reason().unwrap_or("An error").to_owned(),
            detail: "the API said no more than that".to_owned(),
            errors: Vec::new(),
        }))
    }
}

/// Reads what the API answered.
pub fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Trouble> {
    serde_json::from_slice(body).map_err(|error| {
        log::error!("the dashboard does not understand the API: {error}");
        Trouble::internal("the dashboard does not understand what the API answered; the log says more")
    })
}
