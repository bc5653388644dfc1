//! `GET /openapi.json`, `GET /docs`: the API told to machines and shown to people. All
//! of it is in the binary; the page fetches nothing from elsewhere, and may not.

use std::sync::Arc;

use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, ETAG, EntityTag, Header as _, IfNoneMatch,
    REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, web};
use utoipa_swagger_ui::Config;

use crate::routes::Api;
use crate::routes::problem::{Answer, Kind, Problem};

const PAGE: &str = include_str!("docs/index.html");
const START: &str = include_str!("docs/start.js");
/// What the page needs of Swagger UI.
const SWAGGER_UI: [&str; 2] = ["swagger-ui.css", "swagger-ui-bundle.js"];
/// Everything is this server's. Swagger UI draws its arrows as `data:` images.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The API as OpenAPI 3.1.
#[utoipa::path(
    get, path = "/openapi.json", operation_id = "describe", tag = "watching",
    params(("If-None-Match" = Option<String>, Header, description = "The `ETag` of an earlier answer.")),
    responses(
        (status = 200, description = "This document.", body = utoipa::openapi::Object, headers(("ETag" = String))),
        (status = 304, description = "It has not changed.", headers(("ETag" = String))),
    )
)]
pub async fn document(api: web::Data<Api>, request: HttpRequest) -> HttpResponse {
    let rendered = api.document.of(&api.limits);
    if let Some(unchanged) = unchanged(&request, &rendered.tag) {
        return unchanged;
    }
    tagged(HttpResponse::Ok(), &rendered.tag).content_type("application/json").body(rendered.json.clone())
}

/// The API to read and to try out, in a browser.
#[utoipa::path(
    get,
    path = "/docs",
    operation_id = "show_docs",
    tag = "watching",
    params(("If-None-Match" = Option<String>, Header, description = "The `ETag` of an earlier answer.")),
    responses(
        (status = 200, description = "A page.", body = String, content_type = "text/html; charset=utf-8", headers(
            ("ETag" = String), ("Content-Security-Policy" = String, description = "Nothing from elsewhere."),
        )),
        (status = 304, description = "It has not changed.", headers(("ETag" = String))),
    )
)]
pub async fn page(request: HttpRequest) -> HttpResponse {
    if let Some(unchanged) = unchanged(&request, env!("CARGO_PKG_VERSION")) {
        return unchanged;
    }
    tagged(HttpResponse::Ok(), env!("CARGO_PKG_VERSION"))
        .insert_header((CONTENT_SECURITY_POLICY, POLICY))
        .insert_header((REFERRER_POLICY, "no-referrer"))
        .content_type("text/html; charset=utf-8")
        .body(PAGE)
}

/// What the page of `/docs` is made of.
#[utoipa::path(
    get, path = "/docs/{file}", operation_id = "show_docs_file", tag = "watching",
    params(
        ("file" = String, Path, description = "`swagger-ui.css`, `swagger-ui-bundle.js` or `start.js`."),
        ("If-None-Match" = Option<String>, Header, description = "The `ETag` of an earlier answer."),
    ),
    responses(
        (status = 200, description = "A file; some are compressed by gzip.", headers(("ETag" = String)), content(
            (String = "text/css; charset=utf-8"), (String = "text/javascript; charset=utf-8"),
        )),
        (status = 304, description = "It has not changed.", headers(("ETag" = String))),
    )
)]
pub async fn file(name: web::Path<String>, request: HttpRequest) -> Answer {
    let version = env!("CARGO_PKG_VERSION");
    let media_type = match name.rsplit('.').next() {
        Some("css") => "text/css; charset=utf-8",
        _ => "text/javascript; charset=utf-8",
    };
    let is_ours = name.as_str() == "start.js";
    if !is_ours && !SWAGGER_UI.contains(&name.as_str()) {
        return Err(Problem::not_found("file"));
    }
    if let Some(unchanged) = unchanged(&request, version) {
        return Ok(unchanged);
    }
    let mut answer = tagged(HttpResponse::Ok(), version);
    answer.content_type(media_type);
    if is_ours {
        return Ok(answer.body(START));
    }
    let found = utoipa_swagger_ui::serve(&name, Arc::new(Config::from("/openapi.json")));
    let Ok(Some(found)) = found else {
        return Err(Problem::new(Kind::Internal, "this file was not built in"));
    };
    if found.gzpipped {
        answer.insert_header((CONTENT_ENCODING, "gzip"));
    }
    Ok(answer.body(found.bytes.into_owned()))
}

/// What may be kept, if it is asked for again each time whether it is still so.
fn tagged(mut answer: HttpResponseBuilder, tag: &str) -> HttpResponseBuilder {
    answer
        .insert_header((ETAG, EntityTag::new_strong(tag.to_owned())))
        .insert_header((CACHE_CONTROL, "no-cache"))
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"));
    answer
}

/// The answer to whoever has it already.
fn unchanged(request: &HttpRequest, tag: &str) -> Option<HttpResponse> {
    let tag_now = EntityTag::new_strong(tag.to_owned());
    let has_it = match IfNoneMatch::parse(request) {
        Ok(IfNoneMatch::Any) => request.headers().contains_key("if-none-match"),
        Ok(IfNoneMatch::Items(tags)) => tags.iter().any(|known| known.weak_eq(&tag_now)),
        Err(_) => false,
    };
    has_it.then(|| tagged(HttpResponse::NotModified(), tag).finish())
}
