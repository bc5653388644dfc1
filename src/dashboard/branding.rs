//! What the portal looks like to partners, and who may put it into their pages: as
//! configured. Decides which of a name, a logo and a colour stand where, and what browsers
//! are told of frames. Operators see Posthaste's own.

use actix_web::HttpRequest;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue};
use actix_web::{HttpMessage as _, HttpResponse};
use maud::{Markup, html};
use sha2::{Digest as _, Sha256};

use crate::dashboard::theme::{self, Rgb};
use crate::dashboard::visitor::ROOT;

/// Most bytes of a logo.
pub const LOGO_BYTES_MAX: usize = 64 * 1_024;
/// A picture is a picture: whoever opens it by itself has nothing run either.
const LOGO_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; sandbox; frame-ancestors 'none'";

/// What is configured.
#[derive(Debug, Clone, Default)]
pub struct PortalOptions {
    /// Origins whose pages may frame it.
    pub frame_origins: Vec<String>,
    /// What it is called.
    pub name: Option<String>,
    /// A picture's bytes.
    pub logo: Option<Logo>,
    /// Its colour on light pages.
    pub accent_light: Option<Rgb>,
    /// And on dark ones.
    pub accent_dark: Option<Rgb>,
}

/// A picture that can be shown.
#[derive(Debug, Clone)]
pub struct Logo {
    bytes: Vec<u8>,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Svg,
    Png,
}

impl Logo {
    /// The picture of a file's bytes, or why that is none.
    pub fn read(bytes: Vec<u8>) -> Result<Self, String> {
        if bytes.len() > LOGO_BYTES_MAX {
            return Err(format!("it has {} bytes, and may have {LOGO_BYTES_MAX}", bytes.len()));
        }
        let kind = if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
            Kind::Png
        } else if std::str::from_utf8(&bytes).is_ok_and(|text| text.contains("<svg")) {
            Kind::Svg
        } else {
            return Err("it is neither SVG nor PNG".to_owned());
        };
        Ok(Self { bytes, kind })
    }
}

/// A file of this node's configuration, named by what is in it.
#[derive(Debug)]
struct File {
    address: String,
    media_type: &'static str,
    policy: Option<&'static str>,
    content: Vec<u8>,
}

impl File {
    fn of(stem: &str, extension: &str, media_type: &'static str, content: Vec<u8>) -> Self {
        let digest = Sha256::digest(&content);
        let hash: String = digest[..6].iter().map(|byte| format!("{byte:02x}")).collect();
        Self { address: format!("{ROOT}/static/{stem}.{hash}.{extension}"), media_type, policy: None, content }
    }
}

/// Browsers are told by this policy that a page may be framed, and by whom.
#[derive(Debug, Clone)]
pub struct MayBeFramed(pub HeaderValue);

/// See the module.
#[derive(Debug, Default)]
pub struct Portal {
    name: Option<String>,
    style: Option<File>,
    logo: Option<File>,
    framed: Option<MayBeFramed>,
}

impl Portal {
    /// The portal that is configured so. `policy` is that of all pages, up to who may frame
    /// them.
    pub fn of(options: PortalOptions, policy: &str) -> Self {
        let ancestors = options.frame_origins.join(" ");
        let framed = HeaderValue::try_from(format!("{policy}; frame-ancestors {ancestors}")).ok();
        Self {
            name: options.name,
            style: theme::style(options.accent_light, options.accent_dark)
                .map(|style| File::of("portal", "css", "text/css; charset=utf-8", style.into_bytes())),
            logo: options.logo.map(|Logo { bytes, kind }| {
                let (extension, media_type) = match kind {
                    Kind::Svg => ("svg", "image/svg+xml"),
                    Kind::Png => ("png", "image/png"),
                };
                File { policy: Some(LOGO_POLICY), ..File::of("logo", extension, media_type, bytes) }
            }),
            framed: framed.filter(|_| !options.frame_origins.is_empty()).map(MayBeFramed),
        }
    }

    /// Whether some page may frame it.
    pub fn has_frames(&self) -> bool {
        self.framed.is_some()
    }

    /// The answer to this request is the portal's, for whoever came by a link: it may be
    /// framed by those who are configured.
    pub fn allow_frames(&self, request: &HttpRequest) {
        if let Some(framed) = &self.framed {
            request.extensions_mut().insert(framed.clone());
        }
    }

    /// Its name, for titles.
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or("Posthaste")
    }

    /// Its name and logo.
    pub fn brand(&self) -> Markup {
        html! {
            @if let Some(logo) = &self.logo { img.logo src=(logo.address) alt="" height="24"; }
            (self.name())
        }
    }

    /// Its colours, where they are its own.
    pub fn style(&self) -> Markup {
        html! { @if let Some(style) = &self.style { link rel="stylesheet" href=(style.address); } }
    }

    /// One of its files, by its address.
    pub fn file(&self, address: &str) -> Option<HttpResponse> {
        let file = [&self.style, &self.logo].into_iter().flatten().find(|file| file.address == address)?;
        let mut answer = HttpResponse::Ok();
        answer
            .insert_header((CONTENT_TYPE, file.media_type))
            .insert_header((CACHE_CONTROL, "public, max-age=31536000, immutable"));
        if let Some(policy) = file.policy {
            answer.insert_header((CONTENT_SECURITY_POLICY, policy));
        }
        Some(answer.body(file.content.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_logo_is_a_picture_of_some_size() {
        assert!(Logo::read(b"<?xml version=\"1.0\"?><svg xmlns=\"http://www.w3.org/2000/svg\"/>".to_vec()).is_ok());
        assert!(Logo::read(b"\x89PNG\r\n\x1a\n...".to_vec()).is_ok());
        for wrong in [b"".to_vec(), b"GIF89a".to_vec(), b"<svg \xff".to_vec(), vec![b' '; LOGO_BYTES_MAX + 1]] {
            assert!(Logo::read(wrong).is_err());
        }
    }

    #[test]
    fn only_those_who_are_configured_may_frame_it() {
        let none = Portal::of(PortalOptions::default(), "default-src 'none'");
        assert!(!none.has_frames());
        let frame_origins = vec!["https://a.example".to_owned(), "https://b.example".to_owned()];
        let some = Portal::of(PortalOptions { frame_origins, ..PortalOptions::default() }, "default-src 'none'");
        let MayBeFramed(policy) = some.framed.expect("there are two");
        assert_eq!(policy, "default-src 'none'; frame-ancestors https://a.example https://b.example");
    }
}
