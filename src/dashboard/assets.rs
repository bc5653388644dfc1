//! What pages are made of beside their words: a style sheet, a script, an icon. Built
//! in, and named by what is in them, so that browsers keep them for good.

use std::sync::LazyLock;

use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use actix_web::{HttpResponse, web};
use sha2::{Digest as _, Sha256};

use crate::dashboard::Dashboard;
use crate::dashboard::visitor::ROOT;

struct Asset {
    name: &'static str,
    media_type: &'static str,
    content: &'static str,
    address: String,
}

static ASSETS: LazyLock<[Asset; 7]> = LazyLock::new(|| {
    [
        asset("style.css", "text/css; charset=utf-8", include_str!("assets/style.css")),
        asset("dashboard.js", "text/javascript; charset=utf-8", include_str!("assets/dashboard.js")),
        asset("icon.svg", "image/svg+xml", include_str!("assets/icon.svg")),
        // Of one page each, or of a few.
        asset("chart.js", "text/javascript; charset=utf-8", include_str!("assets/chart.js")),
        asset("bulk.js", "text/javascript; charset=utf-8", include_str!("assets/bulk.js")),
        asset("uplot.js", "text/javascript; charset=utf-8", include_str!("assets/vendor/uPlot.iife.min.js")),
        asset("uplot.css", "text/css; charset=utf-8", include_str!("assets/vendor/uPlot.min.css")),
    ]
});

fn asset(name: &'static str, media_type: &'static str, content: &'static str) -> Asset {
    let digest = Sha256::digest(content.as_bytes());
    let hash: String = digest[..6].iter().map(|byte| format!("{byte:02x}")).collect();
    let (stem, extension) = name.split_once('.').expect("each has an extension");
    Asset { name, media_type, content, address: format!("{ROOT}/static/{stem}.{hash}.{extension}") }
}

/// Where one is.
pub fn address(name: &str) -> &'static str {
    let found = ASSETS.iter().find(|asset| asset.name == name);
    &found.expect("only what is built in is asked for").address
}

/// One of them. What another release called it is not there.
pub async fn file(dashboard: web::Data<Dashboard>, name: web::Path<String>) -> HttpResponse {
    let wanted = format!("{ROOT}/static/{name}");
    if let Some(file) = dashboard.portal.file(&wanted) {
        return file;
    }
    let Some(asset) = ASSETS.iter().find(|asset| asset.address == wanted) else {
        return HttpResponse::NotFound().content_type("text/html; charset=utf-8").body("There is no such file.");
    };
    HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, asset.media_type))
        .insert_header((CACHE_CONTROL, "public, max-age=31536000, immutable"))
        .body(asset.content)
}
