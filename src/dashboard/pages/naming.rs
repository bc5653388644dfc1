//! Endpoints by what people know them by, their URLs, where a page names several.

use std::collections::{BTreeSet, HashMap};

use maud::{Markup, html};

use crate::auth::Permission;
use crate::dashboard::inside::Trouble;
use crate::dashboard::pages::{endpoint_link, segment};
use crate::dashboard::visitor::{About, Visitor};
use crate::dashboard::wire::{Endpoint, List};

/// URLs by ids. One that is deleted, or cannot be read just now, goes by its id.
#[derive(Default)]
pub struct Names(HashMap<String, String>);

impl Names {
    /// Asks for all of these.
    pub async fn read<'a>(visitor: &Visitor, ids: impl IntoIterator<Item = &'a str>) -> Self {
        let ids: BTreeSet<&str> = ids.into_iter().collect();
        if ids.is_empty() || !visitor.may(Permission::ManageEndpoints) {
            return Self::default();
        }
        let found = endpoints(visitor, &ids.into_iter().collect::<Vec<_>>()).await.unwrap_or_default();
        Self(found.into_iter().map(|endpoint| (endpoint.id, endpoint.url)).collect())
    }

    /// An endpoint's URL.
    pub fn url(&self, id: &str) -> Option<&str> {
        self.0.get(id).map(String::as_str)
    }

    /// A link to it that says its host and path.
    pub fn link(&self, visitor: &Visitor, id: &str) -> Markup {
        let Some(url) = self.url(id) else { return endpoint_link(visitor, id) };
        html! {
            a.cut href=(visitor.to_one(&format!("/endpoints/{}", segment(id)))) title=(url) { (short(url)) }
        }
    }
}

/// Those of these that there are, as many at once as the API's largest page has. Where one is
/// no id at all, those that are asked for with it are not found.
pub async fn endpoints(visitor: &Visitor, ids: &[&str]) -> Result<Vec<Endpoint>, Trouble> {
    // One that hears of all partners is nobody's.
    let about = if visitor.chooses_partner() { About::Partner("*") } else { About::These };
    let mut all = Vec::with_capacity(ids.len());
    for some in ids.chunks(visitor.api.limits.page_max.max(1)) {
        let asked = [("endpoints", &*some.join(",")), ("limit", &*some.len().to_string())];
        match visitor.get::<List<Endpoint>>("/webhook", about, &asked).await {
            Ok(found) => all.extend(found.data),
            Err(trouble) if trouble.status == 422 => {}
            Err(trouble) => return Err(trouble),
        }
    }
    Ok(all)
}

/// A URL without its scheme, and without the slash that every host has.
pub fn short(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    match rest.strip_suffix('/') {
        Some(host) if !host.contains('/') => host,
        _ => rest,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_its_host_and_path() {
        for (url, said) in [
            ("https://example.com/", "example.com"),
            ("https://example.com/hooks/?a=https://b/", "example.com/hooks/?a=https://b/"),
            ("http://[::1]:80/in", "[::1]:80/in"),
            ("https://example.com/in/", "example.com/in/"),
        ] {
            assert_eq!(short(url), said);
        }
    }
}
