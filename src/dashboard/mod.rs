//! The dashboard: pages for people, made on the server, of what the API says. It decides
//! what is shown where and in which words. What may be seen and done is the API's to
//! decide: each page asks it from inside ([`inside`]), in the name of whoever signed in
//! ([`visitor`]), so that permissions, limits and the audit log are the same for both.
//!
//! Everything can be read, and the main things done, without a script.

mod answers;
mod assets;
mod branding;
mod cookies;
mod counts;
mod difference;
mod form;
mod frame;
mod icons;
mod inside;
mod live;
mod nodes;
mod origin;
mod pages;
mod payload;
mod receivers;
mod session;
mod svg;
mod theme;
mod visitor;
mod wire;
mod words;

use actix_web::http::header::ACCEPT;
use actix_web::middleware::from_fn;
use actix_web::{HttpRequest, HttpResponse, web};

use crate::routes::{self, Api};

pub use branding::{Logo, PortalOptions};
pub use inside::Inside;

/// What all pages share.
pub struct Dashboard {
    seals: session::Seals,
    nodes: nodes::Told,
    streams: live::Streams,
    portal: std::sync::Arc<branding::Portal>,
}

impl Dashboard {
    /// The dashboard over these routes, and what it is to look like to partners. To be called on an actix system
    /// that lasts.
    pub fn start(api: &Api, portal: PortalOptions) -> Self {
        Self {
            seals: session::Seals::of(std::sync::Arc::clone(&api.store)),
            nodes: nodes::Told::default(),
            streams: live::Streams::default(),
            portal: std::sync::Arc::new(branding::Portal::of(portal, answers::POLICY)),
        }
    }

    /// The node stops: live pages are told, and not waited for.
    pub fn stop(&self) {
        self.streams.stop();
    }
}

/// All pages, for a server to be built with behind the API's routes. It needs
/// `web::Data` of the [`Api`], of the [`Dashboard`], and of each thread's [`Inside`].
pub fn configure(config: &mut web::ServiceConfig) {
    config
        .service(web::resource("/").route(web::get().to(entrance)).default_service(web::to(routes::nowhere)))
        .service(web::scope(visitor::ROOT).wrap(from_fn(answers::guarded)).configure(pages::configure));
}

/// Browsers are shown the dashboard; whatever else asks is told that there is no such
/// route.
async fn entrance(request: HttpRequest) -> HttpResponse {
    let wants = request.headers().get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if wants.contains("text/html") { answers::go(visitor::ROOT) } else { routes::nowhere(request).await }
}
