//! Whoever looks at a page: by which session, for which environment and partner, and
//! what they may. Decides who is sent to sign in, and which forms are believed. What
//! they see and do is asked of the API, in their name.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use actix_web::dev::Payload;
use actix_web::http::Method;
use actix_web::{FromRequest, HttpRequest, HttpResponse, ResponseError, web};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::auth::{Permission, Principal};
use crate::dashboard::answers::Ending;
use crate::dashboard::branding::Portal;
use crate::dashboard::cookies::Seen;
use crate::dashboard::form::{self, Form};
use crate::dashboard::inside::{self, Call, Inside, Trouble};
use crate::dashboard::origin::{base_of, is_for_a_frame, is_from_here};
use crate::dashboard::pages::undo::Undo;
use crate::dashboard::session::Session;
use crate::dashboard::{Dashboard, answers, cookies};
use crate::domain::{Role, Timestamp};
use crate::routes::{self, Api};

/// Where everything here is.
pub const ROOT: &str = "/dashboard";

/// What the addresses of live parts say of whoever came by a link: browsers do not say of
/// these that they are for a frame. So does the way back from a link that opens nothing: whoever
/// has no session of one is told so, and not asked for a key.
pub const VIA_LINK: (&str, &str) = ("via", "link");

/// See the module.
#[derive(Clone)]
pub struct Visitor {
    /// What all routes share.
    pub api: web::Data<Api>,
    /// What all pages share.
    pub dashboard: web::Data<Dashboard>,
    inside: web::Data<Inside>,
    /// By what they are known.
    pub session: Session,
    principal: Arc<Principal>,
    peer: Option<SocketAddr>,
    /// The page's own path.
    pub path: String,
    /// Where they come back to it.
    pub here: String,
    /// Whether a form is answered by it: then nobody comes back to the same page.
    pub is_posted: bool,
    /// What the address says beside it.
    pub query: Form,
    /// The server as their browser calls it.
    pub base: String,
    /// `light` or `dark`, where they chose.
    pub theme: Option<String>,
    /// What is to be said first.
    pub heard: Option<String>,
    /// How that is undone, while it can be.
    pub undo: Option<Undo>,
    /// The time of the request.
    pub now: Timestamp,
}

/// Whose things a call is about.
#[derive(Debug, Clone, Copy)]
pub enum About<'a> {
    /// Nobody's: what is asked for has no partner and no environment.
    Nobody,
    /// Those of the address: a partner's, or all of them.
    These,
    /// This partner's.
    Partner(&'a str),
}

impl Visitor {
    /// Whether they may do this.
    pub fn may(&self, permission: Permission) -> bool {
        permission.is_given_to(self.principal.role)
    }

    /// Whether they see everything.
    pub fn is_operator(&self) -> bool {
        self.principal.role == Role::Operator
    }

    /// Whether they see what a partner sees: its portal.
    pub fn is_partner(&self) -> bool {
        self.principal.role == Role::Partner
    }

    /// Whether they came by a link to the portal, and have no key.
    pub fn is_by_link(&self) -> bool {
        self.session.is_by_link()
    }

    /// Where they see pages, for cookies. Whoever signed in with a key is never framed.
    pub fn seen(&self) -> Seen {
        if self.is_by_link() { seen(&self.dashboard.portal) } else { Seen::Apart }
    }

    /// What they call this service: partners by the portal's name.
    pub fn service(&self) -> &str {
        if self.is_partner() { self.dashboard.portal.name() } else { "Posthaste" }
    }

    /// Their role, in a word.
    pub fn role(&self) -> &'static str {
        self.principal.role.as_str()
    }

    /// Whether they choose the environment.
    pub fn chooses_environment(&self) -> bool {
        self.principal.environment.is_none()
    }

    /// The environment that is looked at.
    pub fn environment(&self) -> &str {
        match self.principal.environment {
            Some(own) => own.as_str(),
            None if self.query.get("env") == Some("sandbox") => "sandbox",
            None => "production",
        }
    }

    /// The partner that is looked at; `None` is all of them.
    pub fn partner(&self) -> Option<&str> {
        match &self.principal.partner {
            Some(own) => Some(own.as_str()),
            None => self.query.filled("partner"),
        }
    }

    /// Whether they choose the partner.
    pub fn chooses_partner(&self) -> bool {
        self.principal.partner.is_none()
    }

    /// The address of a page, for the same environment and partner.
    pub fn to(&self, path: &str, parameters: &[(&str, &str)]) -> String {
        self.address(path, self.partner(), parameters)
    }

    /// The address of a page that is about one thing, whosever it is.
    pub fn to_one(&self, path: &str) -> String {
        self.to(path, &[])
    }

    /// The address of a page, for one partner or all of them.
    pub fn address(&self, path: &str, partner: Option<&str>, parameters: &[(&str, &str)]) -> String {
        let mut all: Vec<(&str, &str)> = Vec::new();
        if self.chooses_environment() && self.environment() != "production" {
            all.push(("env", self.environment()));
        }
        if let Some(partner) = partner.filter(|_| self.chooses_partner()) {
            all.push(("partner", partner));
        }
        all.extend_from_slice(parameters);
        if path.starts_with("/live/") && self.is_by_link() {
            all.push(VIA_LINK);
        }
        format!("{ROOT}{path}{}", form::query(&all))
    }

    /// What the API is asked for, with whose things are meant.
    pub fn uri(&self, path: &str, about: About<'_>, parameters: &[(&str, &str)]) -> String {
        let mut all: Vec<(&str, &str)> = Vec::new();
        let partner = match about {
            About::Nobody => None,
            About::These => Some(self.partner().unwrap_or("*")),
            About::Partner(name) => Some(name),
        };
        if let Some(partner) = partner {
            if self.chooses_environment() {
                all.push(("environment", self.environment()));
            }
            if self.chooses_partner() {
                all.push(("partner", partner));
            }
        }
        // A page has no more than the API's largest, which may be smaller than a list would like.
        let most = self.api.limits.page_max;
        let largest = most.to_string();
        all.extend(parameters.iter().map(|(name, value)| match *name {
            "limit" if value.parse::<usize>().is_ok_and(|limit| limit > most) => (*name, largest.as_str()),
            _ => (*name, *value),
        }));
        format!("{path}{}", form::query(&all))
    }

    async fn ask(&self, method: Method, uri: &str, body: Option<Bytes>) -> Result<Bytes, Trouble> {
        self.ask_once(method, uri, body, None).await
    }

    async fn ask_once(
        &self,
        method: Method,
        uri: &str,
        body: Option<Bytes>,
        once: Option<&str>,
    ) -> Result<Bytes, Trouble> {
        self.inside.call(Call { method, uri, body, pass: self.session.pass, once, peer: self.peer }).await
    }

    /// Reads something.
    pub async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        about: About<'_>,
        parameters: &[(&str, &str)],
    ) -> Result<T, Trouble> {
        inside::read(&self.ask(Method::GET, &self.uri(path, about, parameters), None).await?)
    }

    /// Has something done, and reads what the API answers.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        about: About<'_>,
        body: Option<&Value>,
    ) -> Result<Bytes, Trouble> {
        let body = body.map(|body| Bytes::from(body.to_string()));
        self.ask(method, &self.uri(path, about, &[]), body).await
    }

    /// The same, once for this key, however often the form is sent.
    pub async fn send_once(
        &self,
        path: &str,
        about: About<'_>,
        body: &Value,
        once: Option<&str>,
    ) -> Result<Bytes, Trouble> {
        let body = Some(Bytes::from(body.to_string()));
        self.ask_once(Method::POST, &self.uri(path, about, &[]), body, once).await
    }

    /// Posts an event of these very bytes.
    pub async fn post_event(&self, partner: &str, body: &str) -> Result<Bytes, Trouble> {
        let uri = self.uri("/events", About::Partner(partner), &[]);
        self.ask(Method::POST, &uri, Some(Bytes::copy_from_slice(body.as_bytes()))).await
    }

    /// What forms of theirs carry.
    pub fn token(&self) -> String {
        self.dashboard.seals.token(&self.session)
    }

    /// The same visitor at a later time, who has not been told to leave since.
    pub fn later(&self) -> Self {
        Self { now: self.api.clock.wall(), heard: None, undo: None, ..self.clone() }
    }
}

/// Where whoever comes by a link sees pages.
pub fn seen(portal: &Portal) -> Seen {
    if portal.has_frames() { Seen::Framed } else { Seen::Apart }
}

/// Why somebody is not let to a page.
#[derive(Debug)]
pub enum Turned {
    /// They are to sign in first, and come back to here.
    Away(String),
    /// They came by a link to this portal, and that has ended; and where they wanted to go.
    Ended(Arc<Portal>, String),
    /// The API says no.
    Refused(Trouble),
}

impl std::fmt::Display for Turned {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Away(_) => formatter.write_str("sign in first"),
            Self::Ended(..) => formatter.write_str("the link to the portal has ended"),
            Self::Refused(trouble) => formatter.write_str(&trouble.detail),
        }
    }
}

impl ResponseError for Turned {
    fn status_code(&self) -> actix_web::http::StatusCode {
        self.error_response().status()
    }

    fn error_response(&self) -> HttpResponse {
        match self {
            Self::Away(back) => answers::to_sign_in(back),
            Self::Ended(portal, back) => answers::ended(portal, back, Ending::Link),
            Self::Refused(trouble) => answers::bare_trouble(trouble),
        }
    }
}

impl FromRequest for Visitor {
    type Error = Turned;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Turned>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move { recognised(&request).await })
    }
}

async fn recognised(request: &HttpRequest) -> Result<Visitor, Turned> {
    let api: &web::Data<Api> = request.app_data().expect("the server is built with its state");
    let dashboard: &web::Data<Dashboard> = request.app_data().expect("the server is built with its state");
    let inside: &web::Data<Inside> = request.app_data().expect("each thread has built the routes");
    let now = api.clock.wall();
    let query = Form::parse(request.query_string().as_bytes());
    let is_for_links = is_for_a_frame(request) || query.get(VIA_LINK.0) == Some(VIA_LINK.1);
    let found = match by_link(request, api, dashboard, now).await? {
        Some(found) => Some(found),
        // Nobody's key is looked at for a frame: what it opens is never shown in one.
        None if is_for_links => None,
        None => by_key(request, api, dashboard, now).await?,
    };
    let Some((session, principal)) = found else {
        if is_for_links || cookies::read(request, cookies::PORTAL).is_some() {
            dashboard.portal.allow_frames(request);
            // A key is not looked at where the address itself is of links.
            let is_of_links = query.get(VIA_LINK.0) == Some(VIA_LINK.1);
            let back = if is_of_links { ROOT.to_owned() } else { back_to(request) };
            return Err(Turned::Ended(Arc::clone(&dashboard.portal), back));
        }
        return Err(Turned::Away(back_to(request)));
    };
    if session.is_by_link() {
        dashboard.portal.allow_frames(request);
    }
    let undo = cookies::undo_of(request).and_then(|text| Undo::opened(&dashboard.seals, &session, &text, now));
    Ok(Visitor {
        api: api.clone(),
        dashboard: dashboard.clone(),
        inside: inside.clone(),
        principal,
        session,
        peer: request.peer_addr(),
        path: request.path().to_owned(),
        here: back_to(request),
        is_posted: request.method() == Method::POST,
        query,
        base: base_of(request),
        theme: cookies::read(request, cookies::THEME)
            .filter(|theme| matches!(*theme, "light" | "dark"))
            .map(str::to_owned),
        heard: cookies::heard(request),
        undo,
        now,
    })
}

type Found = Option<(Session, Arc<Principal>)>;

/// Whoever opened a link, as long as that holds. They are looked for first: whoever has a
/// key as well has it still when they sign out of the portal.
async fn by_link(request: &HttpRequest, api: &Api, dashboard: &Dashboard, now: Timestamp) -> Result<Found, Turned> {
    let mut opened = cookies::all(request, cookies::PORTAL).filter_map(|text| dashboard.seals.open(text, now));
    match opened.find(Session::is_by_link) {
        Some(session) => still_known(api, session).await,
        None => Ok(None),
    }
}

/// Whoever signed in with a key.
async fn by_key(request: &HttpRequest, api: &Api, dashboard: &Dashboard, now: Timestamp) -> Result<Found, Turned> {
    let session = cookies::read(request, cookies::SESSION).and_then(|text| dashboard.seals.open(text, now));
    match session.filter(|session| !session.is_by_link()) {
        Some(session) => still_known(api, session).await,
        None => Ok(None),
    }
}

async fn still_known(api: &Api, session: Session) -> Result<Found, Turned> {
    let known = routes::known_by(api, session.pass).await.map_err(|problem| Turned::Refused(answers::of(&problem)))?;
    Ok(known.map(|principal| (session, principal)))
}

/// Where somebody is to come back to. Where a form was sent to one is led to the page that
/// it was on.
fn back_to(request: &HttpRequest) -> String {
    if request.path().starts_with("/dashboard/live/") { ROOT.to_owned() } else { request.uri().to_string() }
}

/// A form that is believed: from a page of this server, of this session.
pub struct Posted {
    /// By whom.
    pub visitor: Visitor,
    /// What it says.
    pub form: Form,
}

impl FromRequest for Posted {
    type Error = Turned;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Turned>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, payload) = (request.clone(), payload.take());
        Box::pin(async move {
            let form = fields(&request, payload).await?;
            let visitor = recognised(&request).await?;
            let is_theirs = visitor.dashboard.seals.is_token(&visitor.session, form.get("token").unwrap_or_default());
            if !is_from_here(&request) || !is_theirs {
                return Err(Turned::Refused(Trouble {
                    status: 403,
                    title: "This form is not from here".to_owned(),
                    detail:
                        "it was not sent from a page of this dashboard, or you signed in again since that page was \
                             loaded; nothing was done: go back, reload, and send it again"
                            .to_owned(),
                    errors: Vec::new(),
                }));
            }
            Ok(Self { visitor, form })
        })
    }
}

/// A form's fields.
pub async fn fields(request: &HttpRequest, payload: Payload) -> Result<Form, Turned> {
    let api: &web::Data<Api> = request.app_data().expect("the server is built with its state");
    let mut payload = web::Payload::from_request(request, &mut { payload })
        .await
        .map_err(|_| Turned::Refused(Trouble::internal("the form cannot be read")))?;
    let types = ["application/x-www-form-urlencoded"];
    let read = routes::read_body(request, &mut payload, &types, "settings_bytes", api.limits.settings_bytes).await;
    read.map(|body| Form::parse(&body)).map_err(|problem| Turned::Refused(answers::of(&problem)))
}
