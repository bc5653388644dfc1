//! What a request says: who asks, for which partner and environment, and the
//! bytes of its body within their limit.

use std::collections::HashMap;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE};
use actix_web::{FromRequest, HttpMessage as _, HttpRequest, web};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;

use crate::auth::{Pass, Permission, Principal, Recognised};
use crate::domain::{Actor, AuditAction, Environment, KeyId, PartnerName, Role};
use crate::routes::Api;
use crate::routes::problem::{Kind, Problem};
use crate::store::{AuditEntry, Scope};

/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// Whoever sent the request, with a key that opens something now, whichever
/// node it was made or revoked through.
pub struct Caller {
    principal: Arc<Principal>,
    query: Query,
    /// The other end of the connection, which may be a proxy.
    address: Option<IpAddr>,
}

/// Whoever posts events, with a key that opens something as far as this node
/// knows: what is told is for the accepting transaction to judge.
pub struct Producer {
    caller: Caller,
    keys_version: i64,
}

impl FromRequest for Caller {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            let (api, shown) = (api_of(&request), Shown::by(&request)?);
            shown.may_be_tried(api, &request)?;
            api.catch_up().await?;
            let caller = recognise(api, &shown, &request).await?.caller;
            shown.may_ask(api, &caller.principal)?;
            Ok(caller)
        })
    }
}

impl FromRequest for Producer {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            let (api, shown) = (api_of(&request), Shown::by(&request)?);
            shown.may_be_tried(api, &request)?;
            let producer = recognise(api, &shown, &request).await?;
            shown.may_ask(api, &producer.caller.principal)?;
            Ok(producer)
        })
    }
}

impl Producer {
    /// What the request says of itself.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// The version of the keys that they were recognised by.
    pub fn keys_version(&self) -> i64 {
        self.keys_version
    }

    /// The same request's sender, recognised once more, after this node has
    /// caught up.
    pub async fn anew(request: &HttpRequest) -> Result<Self, Problem> {
        let (api, shown) = (api_of(request), Shown::by(request)?);
        api.catch_up().await?;
        recognise(api, &shown, request).await
    }
}

/// What somebody is to be recognised by.
enum Shown<'a> {
    Key(&'a str),
    /// Put there by the dashboard, for whoever has shown their key before. Nobody
    /// outside of the process can send one.
    Pass(Pass),
}

impl<'a> Shown<'a> {
    fn by(request: &'a HttpRequest) -> Result<Self, Problem> {
        let pass = request.extensions().get::<Pass>().copied();
        pass.map_or_else(|| key_of(request).map(Self::Key), |pass| Ok(Self::Pass(pass)))
    }

    /// A pass was given for a key that opened something: nobody guesses one.
    fn may_be_tried(&self, api: &Api, request: &HttpRequest) -> Result<(), Problem> {
        match self {
            Self::Key(key) => api.rates.may_try(request, key),
            Self::Pass(_) => Ok(()),
        }
    }

    fn may_ask(&self, api: &Api, principal: &Principal) -> Result<(), Problem> {
        match self {
            Self::Key(key) => api.rates.may_ask(principal, key),
            Self::Pass(pass) => api.rates.may_ask(principal, &pass.to_string()),
        }
    }
}

/// Recognises the key that somebody signs in with to the dashboard: under the same
/// rates, with the same words as anybody who asks with one.
pub async fn sign_in(api: &Api, request: &HttpRequest, key: &str) -> Result<Pass, Problem> {
    api.rates.may_try(request, key)?;
    api.catch_up().await?;
    let principal = recognise_key(api, key, request).await?.principal;
    api.rates.may_ask(&principal, key)?;
    api.auth.pass_of(&principal).ok_or_else(|| Problem::new(Kind::Internal, "this key cannot be signed in with"))
}

/// Who has this pass, and may do what; `None` when its key opens nothing any more.
pub async fn known_by(api: &Api, pass: Pass) -> Result<Option<Arc<Principal>>, Problem> {
    api.catch_up().await?;
    Ok(api.auth.still_known(pass).await?.map(|recognised| recognised.principal))
}

fn api_of(request: &HttpRequest) -> &Api {
    request.app_data::<web::Data<Api>>().expect("the server is built with its state")
}

fn key_of(request: &HttpRequest) -> Result<&str, Problem> {
    let header = request
        .headers()
        .get(AUTHORIZATION)
        .ok_or_else(|| Problem::new(Kind::Unauthorized, "send your key as `Authorization: Bearer KEY`"))?;
    header
        .to_str()
        .ok()
        .and_then(bearer)
        .ok_or_else(|| Problem::new(Kind::Unauthorized, "the `Authorization` header is not of the form `Bearer KEY`"))
}

async fn recognise_key(api: &Api, key: &str, request: &HttpRequest) -> Result<Recognised, Problem> {
    api.auth.authenticate(key).await?.ok_or_else(|| {
        api.rates.failed(request, key);
        Problem::new(Kind::Unauthorized, "the key is unknown, revoked or expired; ask your operator for one")
    })
}

async fn recognise(api: &Api, shown: &Shown<'_>, request: &HttpRequest) -> Result<Producer, Problem> {
    let recognised =
        match shown {
            Shown::Key(key) => recognise_key(api, key, request).await?,
            Shown::Pass(pass) => api.auth.still_known(*pass).await?.ok_or_else(|| {
                Problem::new(Kind::Unauthorized, "the key that you signed in with is revoked or expired")
            })?,
        };
    let Recognised { principal, keys_version } = recognised;
    let address = request.peer_addr().map(|address| address.ip());
    Ok(Producer { caller: Caller { principal, query: Query::parse(request)?, address }, keys_version })
}

/// The key that an `Authorization` header carries.
pub fn bearer(header: &str) -> Option<&str> {
    let (scheme, key) = header.split_once(' ')?;
    let key = key.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !key.is_empty()).then_some(key)
}

impl Caller {
    /// Refuses a role that may not.
    pub fn may(&self, permission: Permission) -> Result<(), Problem> {
        if permission.is_given_to(self.principal.role) {
            return Ok(());
        }
        Err(Problem::new(
            Kind::Forbidden,
            format!("this takes a key of role {}; yours is `{}`", permission.roles(), self.principal.role),
        ))
    }

    /// Whether it is an operator's key.
    pub fn is_operator(&self) -> bool {
        self.principal.role == Role::Operator
    }

    /// The key's id; `None` is the configuration's, which has none.
    pub fn key(&self) -> Option<KeyId> {
        self.principal.key
    }

    /// Whether it is a producer's key.
    pub fn is_producer(&self) -> bool {
        self.principal.role == Role::Producer
    }

    /// What the audit log is to say of something that this request does.
    pub fn did(&self, action: AuditAction) -> AuditEntry {
        let Principal { role, key, .. } = *self.principal.as_ref();
        let actor = if key.is_some() { Actor::Key(role) } else { Actor::Configured };
        AuditEntry { key, address: self.address, ..AuditEntry::new(actor, action) }
    }

    /// What the query says.
    pub fn query(&self) -> &Query {
        &self.query
    }

    /// The environment asked for: the key's own, or an operator's choice.
    pub fn environment(&self) -> Result<Environment, Problem> {
        let asked = self
            .query
            .get("environment")
            .map(|text| text.parse::<Environment>().map_err(|error| Problem::invalid_query("environment", error)))
            .transpose()?;
        match (self.principal.environment, asked) {
            (Some(own), Some(other)) if own != other => Err(Problem::not_found("environment")),
            (Some(own), _) => Ok(own),
            (None, Some(asked)) => Ok(asked),
            (None, None) => Ok(Environment::Production),
        }
    }

    /// The environment whose catalog is meant. A partner changes nothing about that,
    /// but one that is named is still one that the key may name.
    pub fn catalog_environment(&self) -> Result<Environment, Problem> {
        match self.query.get("partner") {
            Some(_) => Ok(self.scope()?.environment),
            None => self.environment(),
        }
    }

    /// The partner and environment asked for; all partners where the query
    /// says `partner=*` and the key may.
    pub fn scope(&self) -> Result<Scope, Problem> {
        let environment = self.environment()?;
        let asked = self.query.get("partner");
        if let Some(own) = &self.principal.partner {
            if asked.is_some_and(|asked| asked != own.as_str()) {
                return Err(Problem::not_found("partner"));
            }
            return Ok(Scope::of(environment, own.clone()));
        }
        match asked {
            Some("*") => Ok(Scope::all(environment)),
            Some(name) => {
                let name: PartnerName = name.parse().map_err(|error| Problem::invalid_query("partner", error))?;
                Ok(Scope::of(environment, name))
            }
            None if self.principal.role == Role::Operator => Ok(Scope::of(environment, PartnerName::default_partner())),
            None => Err(Problem::invalid_query(
                "partner",
                "this key serves all partners: name one, or `*` for an event over all of them",
            )),
        }
    }

    /// One partner's scope: what `*` cannot stand for.
    pub fn partner_scope(&self) -> Result<Scope, Problem> {
        let scope = self.scope()?;
        if scope.partner.is_none() {
            return Err(Problem::invalid_query("partner", "name one partner: `*` cannot be used here"));
        }
        Ok(scope)
    }
}

/// The query, decoded, each name at most once.
#[derive(Debug, Default)]
pub struct Query(HashMap<String, String>);

impl Query {
    fn parse(request: &HttpRequest) -> Result<Self, Problem> {
        let text = request.query_string();
        if text.is_empty() {
            return Ok(Self::default());
        }
        let mut values = HashMap::new();
        for (name, value) in url::form_urlencoded::parse(text.as_bytes()) {
            if values.insert(name.clone().into_owned(), value.into_owned()).is_some() {
                return Err(Problem::invalid_query(&name, "given twice"));
            }
        }
        Ok(Self(values))
    }

    /// A parameter's value.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// A parameter's value, parsed.
    pub fn parsed<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, Problem>
    where
        T::Err: std::fmt::Display,
    {
        self.get(name).map(|text| text.parse().map_err(|error| Problem::invalid_query(name, error))).transpose()
    }

    /// Refuses parameters that a route does not know: a misspelt filter must
    /// not quietly show everything.
    pub fn only(&self, known: &[&str]) -> Result<(), Problem> {
        for name in self.0.keys() {
            if !known.contains(&name.as_str()) && name != "partner" && name != "environment" {
                let list = known.iter().map(|known| format!("`{known}`")).collect::<Vec<_>>().join(", ");
                let detail = if list.is_empty() {
                    "unknown here".to_owned()
                } else {
                    format!("unknown here; there is {list}, `partner` and `environment`")
                };
                return Err(Problem::invalid_query(name, detail));
            }
        }
        Ok(())
    }

    /// The same for a route that is about no partner and no environment: there even
    /// these two would be passed over, and seem to narrow what they do not.
    pub fn only_these(&self, known: &[&str]) -> Result<(), Problem> {
        self.only(known)?;
        let Some(name) = ["partner", "environment"].into_iter().find(|name| self.0.contains_key(*name)) else {
            return Ok(());
        };
        Err(Problem::invalid_query(name, "this is about no single partner or environment; leave it out"))
    }
}

/// Reads a body of one of these media types, at most `limit_bytes` of it.
pub async fn body(
    request: &HttpRequest,
    payload: &mut web::Payload,
    media_types: &[&str],
    limit_name: &str,
    limit_bytes: usize,
) -> Result<Bytes, Problem> {
    let found = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = found.split(';').next().unwrap_or_default().trim();
    if !media_types.iter().any(|known| known.eq_ignore_ascii_case(essence)) {
        return Err(Problem::new(
            Kind::UnsupportedMediaType,
            format!("send `Content-Type: {}`; found `{}`", media_types[0], found.escape_default()),
        ));
    }
    let announced =
        request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()).and_then(|text| text.parse().ok());
    if announced.is_some_and(|bytes: usize| bytes > limit_bytes) {
        return Err(Problem::too_large(limit_name, limit_bytes));
    }
    match actix_rt::time::timeout(BODY_TIMEOUT, collect(payload, limit_name, limit_bytes)).await {
        Ok(read) => read,
        Err(_) => Err(Problem::new(
            Kind::RequestTimeout,
            format!("a body has {} seconds to arrive; nothing was kept", BODY_TIMEOUT.as_secs()),
        )),
    }
}

async fn collect(payload: &mut web::Payload, limit_name: &str, limit_bytes: usize) -> Result<Bytes, Problem> {
    let unreadable = |error: actix_web::error::PayloadError| {
        Problem::new(Kind::BadRequest, format!("the body cannot be read: {error}"))
    };
    // Most bodies come in one piece, which is then used as it is.
    let Some(first) = payload.next().await else { return Ok(Bytes::new()) };
    let first = first.map_err(unreadable)?;
    if first.len() > limit_bytes {
        return Err(Problem::too_large(limit_name, limit_bytes));
    }
    let Some(second) = payload.next().await else { return Ok(first) };
    let mut whole = BytesMut::from(first.as_ref());
    let mut next = Some(second);
    while let Some(piece) = next {
        let piece = piece.map_err(unreadable)?;
        if whole.len() + piece.len() > limit_bytes {
            return Err(Problem::too_large(limit_name, limit_bytes));
        }
        whole.extend_from_slice(&piece);
        next = payload.next().await;
    }
    Ok(whole.freeze())
}
