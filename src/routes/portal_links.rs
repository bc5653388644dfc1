//! `/partners/{name}/portal-links`: links by which somebody at a partner gets into the
//! dashboard without a key. Operators make, list and revoke them. [`open`] is what the
//! dashboard has a link opened by: once, for whoever is first.

use std::time::Duration;

use actix_web::http::header::HOST;
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Map, Value, json};

use crate::auth::{LinkToken, Pass, Permission, hash_link, told_of_link};
use crate::catalog::pointer_below;
use crate::domain::{Actor, AuditAction, Environment, KeyId, MAX_DESCRIPTION_CHARS, PartnerName, Role, Timestamp};
use crate::routes::extract::Caller;
use crate::routes::problem::{Answer, FieldProblem, Kind, Problem};
use crate::routes::webhook::optional_fields;
use crate::routes::{Api, openapi, operator, page, settings, show, to_the_end};
use crate::store::{self, AuditEntry, KeyRecord, NewPortalLink};

/// Where links are opened; the token stands behind it.
pub const PORTAL_PATH: &str = "/dashboard/portal/";
/// How long a link lasts that does not say.
pub(super) const DEFAULT_SECONDS: u64 = 7 * 24 * 3_600;
/// How short one may be, and how long.
pub(super) const SECONDS: std::ops::RangeInclusive<u64> = 60..=30 * 24 * 3_600;
/// What may be given in place of a token is not longer.
const TOKEN_BYTES_MAX: usize = 128;

/// Makes a link to the portal of a partner and shows it, this once.
#[utoipa::path(
    post, path = "/partners/{name}/portal-links", operation_id = "create_portal_link", tag = "administration",
    params(("name" = openapi::PartnerName, Path, description = "Whose portal.")),
    request_body(content = Option<openapi::NewPortalLink>, description = "May be left out. At most <<settings_bytes>> bytes (`settings_bytes`)."),
    responses((status = 201, description = "What is known of it, and the link.", body = openapi::MadePortalLink))
)]
pub async fn create(
    api: web::Data<Api>,
    caller: Caller,
    name: web::Path<String>,
    request: HttpRequest,
    mut payload: web::Payload,
) -> Answer {
    caller.may(Permission::Operate)?;
    caller.query().only_these(&[])?;
    let partner = known(&api, &name).await?;
    let fields = optional_fields(&api, &request, &mut payload).await?;
    let (new, token) = new_link(fields, partner, api.clock.wall())?;
    let entry = caller.did(AuditAction::PortalLinkCreated);
    let made = api.journal.change(move |transaction| {
        let made = transaction.create_portal_link(&new)?;
        transaction.audit(&told_of_link(entry.clone(), &made));
        Ok(made)
    });
    let record = made.await?;
    log::info!("portal link {} was made", record.id);
    let mut value = show::portal_link(&record);
    value["url"] = json!(url_of(&request, &token));
    Ok(HttpResponse::Created().insert_header(("cache-control", "no-store")).json(value))
}

/// The partner, if there is one and it stays.
async fn known(api: &Api, name: &str) -> Result<PartnerName, Problem> {
    let name: PartnerName = name.parse().map_err(|_| Problem::not_found("partner"))?;
    let wanted = name.clone();
    let found = store::blocking(&api.store, move |store| store.partner(&wanted)).await?;
    found.filter(|partner| partner.erasing_since.is_none()).ok_or_else(|| Problem::not_found("partner"))?;
    Ok(name)
}

/// The link whole, by the name that this server is called by. Browsers keep its session over
/// https and on loopback only, which decides how it begins. Without a name it is the path.
fn url_of(request: &HttpRequest, token: &LinkToken) -> String {
    let path = format!("{PORTAL_PATH}{}", token.reveal());
    let told = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    match told.or_else(|| request.uri().authority().map(|authority| authority.as_str())) {
        None => path,
        Some(host) => {
            let name = host
                .rsplit_once(':')
                .map_or(host, |(name, port)| if port.bytes().all(|byte| byte.is_ascii_digit()) { name } else { host });
            let name = name.trim_matches(['[', ']']);
            let is_loopback =
                name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
            format!("{}://{host}{path}", if is_loopback { "http" } else { "https" })
        }
    }
}

fn new_link(
    mut fields: Map<String, Value>,
    partner: PartnerName,
    now: Timestamp,
) -> Result<(NewPortalLink, LinkToken), Problem> {
    let mut errors = Vec::new();
    let mut wrong = |field: &str, detail: String| errors.push(FieldProblem::new(pointer_below("", field), detail));
    let environment = match fields.remove("environment") {
        None | Some(Value::Null) => Environment::Production,
        Some(Value::String(text)) => text.parse().unwrap_or_else(|error| {
            wrong("environment", format!("{error}"));
            Environment::Production
        }),
        Some(_) => {
            wrong("environment", "expected a string".to_owned());
            Environment::Production
        }
    };
    let seconds = match fields.remove("expires_in_seconds") {
        None | Some(Value::Null) => DEFAULT_SECONDS,
        Some(value) => value.as_u64().filter(|seconds| SECONDS.contains(seconds)).unwrap_or_else(|| {
            let (least, most) = (SECONDS.start(), SECONDS.end());
            wrong("expires_in_seconds", format!("a whole number from {least} to {most} (30 days)"));
            DEFAULT_SECONDS
        }),
    };
    let single_use = match fields.remove("single_use") {
        None | Some(Value::Null) => true,
        Some(Value::Bool(single_use)) => single_use,
        Some(_) => {
            wrong("single_use", "expected true or false".to_owned());
            true
        }
    };
    let description = match fields.remove("description") {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) if text.chars().count() > MAX_DESCRIPTION_CHARS => {
            wrong("description", format!("the limit is {MAX_DESCRIPTION_CHARS} characters"));
            None
        }
        Some(Value::String(text)) => Some(text),
        Some(_) => {
            wrong("description", "expected a string".to_owned());
            None
        }
    };
    for unknown in fields.keys() {
        let known = "`environment`, `expires_in_seconds`, `single_use` and `description`";
        wrong(unknown, format!("unknown field; there is {known}"));
    }
    errors.extend(description.as_deref().and_then(settings::not_text));
    if !errors.is_empty() {
        return Err(Problem::invalid(errors));
    }
    let token = LinkToken::generate().map_err(|error| {
        log::error!("the system has no randomness: {error}");
        Problem::new(Kind::Internal, "no link can be made now")
    })?;
    let new = NewPortalLink {
        hash: token.hash(),
        prefix: token.prefix().to_owned(),
        environment,
        partner,
        description,
        expires_at: now + Duration::from_secs(seconds),
        single_use,
    };
    Ok((new, token))
}

/// Lists a partner's links to the portal, newest first.
#[utoipa::path(
    get, path = "/partners/{name}/portal-links", operation_id = "list_portal_links", tag = "administration",
    params(("name" = openapi::PartnerName, Path, description = "Whose portal."), openapi::Page),
    responses((status = 200, description = "A page, of both environments. Those that ended more than 30 days ago are forgotten.", body = openapi::PortalLinks))
)]
pub async fn list(api: web::Data<Api>, caller: Caller, name: web::Path<String>) -> Answer {
    caller.may(Permission::Operate)?;
    caller.query().only_these(&["limit", "cursor"])?;
    let partner = known(&api, &name).await?;
    let wanted = page::request::<KeyId>(caller.query(), &api.limits)?;
    let found = store::blocking(&api.store, move |store| store.portal_links(&partner, &wanted)).await?;
    Ok(page::answer(&found, |link| link.id.to_string(), show::portal_link))
}

/// Revokes a link: from the answer on it opens nothing, and what began with it is over.
#[utoipa::path(
    delete, path = "/partners/{name}/portal-links/{id}", operation_id = "revoke_portal_link", tag = "administration",
    params(
        ("name" = openapi::PartnerName, Path, description = "Whose portal."),
        ("id" = openapi::KeyId, Path, description = "Which link."),
    ),
    responses((status = 204, description = "It opens nothing any more, and its sessions are over."))
)]
pub async fn revoke(api: web::Data<Api>, caller: Caller, path: web::Path<(String, String)>) -> Answer {
    caller.may(Permission::Operate)?;
    caller.query().only_these(&[])?;
    let (name, id) = path.into_inner();
    let none = || Problem::not_found("portal link");
    let partner = known(&api, &name).await?;
    let id: KeyId = id.parse().map_err(|_| none())?;
    let found = store::blocking(&api.store, move |store| store.key(id)).await?;
    let record = found.filter(|record| record.link.is_some() && record.partner.as_ref() == Some(&partner));
    let entry = told_of_link(caller.did(AuditAction::PortalLinkRevoked), &record.ok_or_else(none)?);
    if !operator::end_key(api, id, entry).await? {
        return Err(none());
    }
    log::info!("portal link {id} was revoked");
    Ok(HttpResponse::NoContent().finish())
}

/// A link that can be opened, before it is.
pub struct Openable {
    hash: [u8; 32],
    token: String,
    record: KeyRecord,
}

impl Openable {
    /// What whoever opens it is known by.
    pub fn pass(&self) -> Pass {
        Pass::Link(self.record.id)
    }

    /// When the link ends, and what began with it.
    pub fn ends_at(&self) -> Option<Timestamp> {
        self.record.expires_at
    }
}

/// Whatever is wrong with a link, it is the same to whoever tries: nobody is told which there
/// are, or were.
fn opens_nothing(api: &Api, request: &HttpRequest, token: &str) -> Problem {
    api.rates.failed(request, token);
    Problem::new(
        Kind::Unauthorized,
        "this link opens nothing (any more): it was used before, has expired, was revoked, or is not complete",
    )
}

/// Looks for a link by what it ends with, under the same rates as keys. Nothing is spent.
pub async fn find(api: &Api, request: &HttpRequest, token: &str) -> Result<Openable, Problem> {
    api.rates.may_try(request, token)?;
    let hash = hash_link(&token[..token.floor_char_boundary(TOKEN_BYTES_MAX)]);
    let now = api.clock.wall();
    let found = store::blocking(&api.store, move |store| store.key_by_hash(&hash)).await?;
    match found.filter(|record| record.can_be_opened(now)) {
        Some(record) => Ok(Openable { hash, token: token.to_owned(), record }),
        None => Err(opens_nothing(api, request, token)),
    }
}

/// Opens it, for good where it opens once: of two who come at once, one is told that it opens
/// nothing.
pub async fn open(api: web::Data<Api>, request: &HttpRequest, link: Openable) -> Result<(), Problem> {
    let Openable { hash, token, .. } = link;
    let entry = AuditEntry {
        address: request.peer_addr().map(|address| address.ip()),
        ..AuditEntry::new(Actor::Key(Role::Partner), AuditAction::PortalLinkOpened)
    };
    let journal = api.journal.clone();
    let opened = to_the_end(async move {
        let opening = journal.change(move |transaction| {
            let opened = transaction.spend_portal_link(&hash)?;
            if let Some(record) = &opened {
                let entry = AuditEntry { key: Some(record.id), ..entry.clone() };
                // The partner reads this entry, and what an operator noted of the link is not for them.
                let record = KeyRecord { description: None, ..record.clone() };
                transaction.audit(&told_of_link(entry, &record));
            }
            Ok(opened)
        });
        Ok(opening.await?)
    })
    .await?;
    match opened {
        Some(record) => {
            log::info!("portal link {} was opened", record.id);
            Ok(())
        }
        None => Err(opens_nothing(&api, request, &token)),
    }
}

/// Ends a link with the session of whoever opened it, where it opened for them alone: nobody
/// else could come by it any more, and a copy of the session is worth nothing. One that opens
/// again stays, for all the others who come by it.
pub async fn end(api: web::Data<Api>, request: &HttpRequest, id: KeyId) -> Result<(), Problem> {
    let found = store::blocking(&api.store, move |store| store.key(id)).await?;
    let is_theirs = |record: &KeyRecord| record.link.is_some_and(|link| link.single_use);
    let Some(record) = found.filter(is_theirs) else { return Ok(()) };
    let entry = AuditEntry {
        address: request.peer_addr().map(|address| address.ip()),
        key: Some(id),
        ..AuditEntry::new(Actor::Key(Role::Partner), AuditAction::PortalLinkRevoked)
    };
    // The partner reads this entry, and what an operator noted of the link is not for them.
    let entry = told_of_link(entry, &KeyRecord { description: None, ..record });
    if operator::end_key(api, id, entry).await? {
        log::info!("portal link {id} ended with its session");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn a_link_begins_as_browsers_need_it() {
        let token = LinkToken::generate().expect("the system has randomness");
        for (host, expected) in [
            ("127.0.0.1:8080", "http://127.0.0.1:8080/dashboard/portal/phl_"),
            ("localhost", "http://localhost/dashboard/portal/phl_"),
            ("[::1]:80", "http://[::1]:80/dashboard/portal/phl_"),
            ("hooks.example:8443", "https://hooks.example:8443/dashboard/portal/phl_"),
            ("127.0.0.1.example", "https://127.0.0.1.example/dashboard/portal/phl_"),
            ("[2001:db8::1]", "https://[2001:db8::1]/dashboard/portal/phl_"),
        ] {
            let request = TestRequest::default().insert_header((HOST, host)).to_http_request();
            assert!(url_of(&request, &token).starts_with(expected), "{host}");
        }
        assert!(url_of(&TestRequest::default().to_http_request(), &token).starts_with(PORTAL_PATH));
    }

    #[test]
    fn what_a_link_may_be_is_bounded() {
        let now = Timestamp::from_millis(1_000);
        let of = |value: Value| {
            let Value::Object(fields) = value else { panic!("an object") };
            new_link(fields, PartnerName::default_partner(), now)
        };
        let (link, _) = of(json!({})).expect("nothing is needed");
        assert_eq!((link.single_use, link.environment), (true, Environment::Production));
        assert_eq!(link.expires_at, now + Duration::from_secs(DEFAULT_SECONDS));
        let (link, _) = of(json!({ "expires_in_seconds": 60, "single_use": false })).expect("the shortest");
        assert_eq!((link.single_use, link.expires_at), (false, now + Duration::from_secs(60)));
        for wrong in [
            json!({ "expires_in_seconds": 59 }),
            json!({ "expires_in_seconds": 2_592_001 }),
            json!({ "expires_in_seconds": "60" }),
            json!({ "expires_in_seconds": 60.5 }),
            json!({ "single_use": "no" }),
            json!({ "environment": "staging" }),
            json!({ "description": "x".repeat(MAX_DESCRIPTION_CHARS + 1) }),
            json!({ "description": "a\u{0}b" }),
            json!({ "token": "mine" }),
        ] {
            assert!(of(wrong.clone()).is_err(), "{wrong}");
        }
    }
}
